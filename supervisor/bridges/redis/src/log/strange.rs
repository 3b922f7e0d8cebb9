//! Keys under our names that are no streams.
//!
//! One such key has the server refuse to read all the streams that are named with it. So those keys are found, named once
//! and left out, and looked at again after a while: what is behind them goes on as soon as they are gone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::failed::Failed;
use super::link::Link;
use super::parse;

/// How long a key is left out before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The keys that are left out, each until it is looked at again.
#[derive(Default)]
pub struct Strange(Mutex<HashMap<String, Instant>>);

impl Strange {
    /// Whether a key is left out for now.
    pub fn is_left_out(&self, key: &str, now: Instant) -> bool {
        self.lock().get(key).is_some_and(|until| *until > now)
    }

    /// Whether any key is left out, so that somebody has to look again.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Finds those of these keys that are no streams.
    pub async fn find(&self, link: &Link, keys: impl Iterator<Item = &String>, now: Instant) -> Result<(), Failed> {
        for key in keys {
            let kind = link.ask(redis::cmd("TYPE").arg(key)).await?;
            match parse::text(&kind) {
                Some("stream" | "none") => drop(self.lock().remove(key)),
                kind => {
                    let known = self.lock().insert(key.clone(), now + LOOK_AGAIN).is_some();
                    if !known {
                        tracing::error!(
                            key,
                            kind,
                            "the key of a partition is no stream, so the partition stands still: another program uses the \
                             same names; delete the key, or change bridge.namespace"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// The keys that were read are streams.
    pub fn are_streams<'a>(&self, keys: impl Iterator<Item = &'a String>) {
        let mut left_out = self.lock();
        for key in keys {
            if left_out.remove(key).is_some() {
                tracing::info!(key, "the partition goes on: its key is a stream again");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
