//! Keeping a connection: whoever has lost his gets another one, again and again until he is done.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::RedisError;
use tokio::sync::Notify;

use crate::Env;
use crate::backoff::Backoff;
use crate::outages::{Dependency, Outages};

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
    /// What does not work without the connection, and where that is reported.
    pub dependency: Dependency,
    pub outages: &'a Outages,
    pub env: &'a Env,
}

/// Keeps a connection until it is not wanted any more.
pub(super) async fn connected(kept: &impl Kept) {
    let Watched { url, broken, closed, backoff, env, dependency, outages } = kept.watched();
    loop {
        // It may have been lost while nobody kept it.
        if kept.is_connected() {
            broken.notified().await;
        }
        if closed.load(Ordering::Acquire) {
            return;
        }
        if kept.is_connected() {
            continue;
        }
        let mut failures = 0;
        outages.begin(dependency.clone(), format!("the connection to {url} was lost"));
        while let Err(error) = kept.connect().await {
            failures += 1;
            outages.begin(dependency.clone(), format!("{url} does not answer: {error}"));
            tokio::time::sleep(backoff.delay(failures, env)).await;
            if closed.load(Ordering::Acquire) {
                return;
            }
        }
        outages.end(&dependency);
    }
}
