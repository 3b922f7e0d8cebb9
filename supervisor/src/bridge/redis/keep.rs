//! Keeping a connection: whoever has lost his gets another one, again and again until he is done.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::RedisError;
use tokio::sync::Notify;

use crate::Env;
use crate::backoff::Backoff;

/// A connection that is made anew whenever it is lost.
pub(super) trait Kept {
    fn watched(&self) -> Watched<'_>;

    fn is_connected(&self) -> bool;

    /// Makes the connection, and puts it into use.
    fn connect(&self) -> impl Future<Output = Result<(), RedisError>> + Send;
}

/// What keeping a connection needs to look at.
pub(super) struct Watched<'a> {
    pub url: &'a str,
    /// Told when the connection is lost, and when it is not wanted any more.
    pub broken: &'a Notify,
    /// It is not wanted any more.
    pub closed: &'a AtomicBool,
    pub backoff: Backoff,
    pub env: &'a Env,
}

/// Keeps a connection until it is not wanted any more; `what` it leads to is for the log lines.
pub(super) async fn connected(what: &str, kept: &impl Kept) {
    let Watched { url, broken, closed, backoff, env } = kept.watched();
    loop {
        // It may have been lost while nobody kept it.
        if kept.is_connected() {
            broken.notified().await;
        }
        let mut failures = 0;
        while !kept.is_connected() {
            if closed.load(Ordering::Acquire) {
                return;
            }
            match kept.connect().await {
                Ok(()) => tracing::info!(url, failures, "connected to the {what} again"),
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(url, %error, "the {what} does not answer; trying again");
                    }
                    tokio::time::sleep(backoff.delay(failures, env)).await;
                }
            }
        }
        if closed.load(Ordering::Acquire) {
            return;
        }
    }
}
