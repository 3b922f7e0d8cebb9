//! Keys of partitions that are no streams, because another program uses the same names.
//!
//! Because of one such key the server refuses to read all streams of the same command. So these keys are found, reported once
//! and left out, and checked again after a while: their partitions go on as soon as the keys are deleted.

use std::collections::HashMap;
use std::time::Duration;

use essaim_base::lock::Mutex;
use tokio::time::Instant;

use super::super::command_error::CommandError;
use super::link::Link;
use super::parse;

/// How long a key is left out before it is checked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The keys that are left out, each until it is checked again.
#[derive(Default)]
pub struct WrongTypeKeys(Mutex<HashMap<String, Instant>>);

impl WrongTypeKeys {
    /// Whether a key is left out for now.
    pub fn is_left_out(&self, key: &str, now: Instant) -> bool {
        self.0.lock().get(key).is_some_and(|until| *until > now)
    }

    /// Whether no key is left out.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Finds and leaves out those of these keys that are no streams.
    pub async fn find(
        &self,
        link: &Link,
        keys: impl Iterator<Item = &String>,
        now: Instant,
    ) -> Result<(), CommandError> {
        for key in keys {
            let kind = link.ask(redis::cmd("TYPE").arg(key)).await?;
            match parse::text(&kind) {
                Some("stream" | "none") => drop(self.0.lock().remove(key)),
                kind => {
                    let known = self.0.lock().insert(key.clone(), now + LOOK_AGAIN).is_some();
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

    /// Records that these keys are streams.
    pub fn are_streams<'a>(&self, keys: impl Iterator<Item = &'a String>) {
        let mut left_out = self.0.lock();
        for key in keys {
            if left_out.remove(key).is_some() {
                tracing::info!(key, "the partition goes on: its key is a stream again");
            }
        }
    }
}
