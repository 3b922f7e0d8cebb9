//! The work for a capability without a database: tried again in memory, applied at least once.

use std::rc::Rc;

use bytes::Bytes;

use super::owner::{Attempt, Owner};
use super::queue::Job;
use crate::bridge::log::Tally;
use crate::store::durable::dead::Reason;

/// What the log is told of a message besides that it is done.
#[derive(Debug, Default)]
pub(crate) struct Buried {
    pub tally: Tally,
    pub dead: Option<(String, Bytes)>,
}

/// Works on a message until it is applied or given up. What a crash interrupts begins anew, with its attempts.
pub(crate) async fn work(owner: Rc<Owner>, job: Rc<Job>) -> Buried {
    let record = &job.record;
    if let Some(not_before) = record.not_before {
        owner.until(Some(not_before)).await;
    }
    let mut attempts = 0;
    loop {
        if owner.is_expired(record) {
            return Buried { tally: Tally { expired: 1, ..Tally::default() }, dead: None };
        }
        let (reason, why) = match owner.attempt(record, job.offset, None).await {
            Attempt::Applied => return Buried { tally: Tally { handled: 1, ..Tally::default() }, dead: None },
            Attempt::Rejected(why) => (Reason::Rejected, why),
            Attempt::Unreadable(why) => (Reason::Unreadable, why),
            Attempt::Failed { why, counts } => {
                attempts += 1;
                if !counts || attempts < owner.config.attempts {
                    tokio::time::sleep(owner.backoff(attempts)).await;
                    continue;
                }
                (Reason::Attempts, why)
            }
            Attempt::Doubtful(why) => {
                attempts += 1;
                if attempts < owner.config.attempts {
                    tokio::time::sleep(owner.backoff(attempts)).await;
                    continue;
                }
                (Reason::Attempts, why)
            }
        };
        let (message, id) = (&record.name, &record.id);
        tracing::error!(message, %id, reason = reason.as_str(), attempts, why, "a message is a dead letter now");
        let bytes = crate::durable::dead::encode_bare(record, reason, attempts, &why, owner.env.wall_ms());
        return Buried { tally: Tally { dead: 1, ..Tally::default() }, dead: Some((id.to_string(), bytes)) };
    }
}
