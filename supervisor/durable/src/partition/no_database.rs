//! The work for a capability without a database: tried again from memory, applied at least once.

use std::rc::Rc;

use bytes::Bytes;
use essaim_protocol::log::Tally;
use essaim_store::tables::dead::DeadReason;

use super::owner::{Attempt, PartitionOwner};
use super::queue::{LogMessage, Tries};
use super::work::WorkOutcome;

/// What the log is told of messages besides that they are done.
#[derive(Debug, Default)]
pub struct LogReport {
    pub tally: Tally,
    /// Dead letters, by their ids.
    pub dead: Vec<(String, Bytes)>,
}

impl LogReport {
    pub fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.dead.extend(other.dead);
    }
}

/// Tries once to apply a message. What a crash interrupts begins anew, with its attempts.
pub async fn work(owner: Rc<PartitionOwner>, message: Rc<LogMessage>, tries: Tries) -> WorkOutcome {
    let record = &message.record;
    let buried = |tally: Tally| WorkOutcome::Reported(LogReport { tally, dead: Vec::new() });
    let delivery = owner.delivery(record, message.offset, (None, tries), None);
    let (why, counts, mut reason) = match owner.attempt(record, &delivery).await {
        Attempt::Applied | Attempt::Repeated => return buried(Tally { handled: 1, ..Tally::default() }),
        Attempt::Expired => return buried(Tally { expired: 1, ..Tally::default() }),
        Attempt::Left => return WorkOutcome::Left,
        Attempt::Rejected(why) => (why, true, Some(DeadReason::Rejected)),
        Attempt::Unreadable(why) => (why, true, Some(DeadReason::Unreadable)),
        Attempt::Failed { why, counts } => (why, counts, None),
        Attempt::Doubtful(why) => (why, true, None),
        Attempt::Unsupported(why) => (why, true, None),
        Attempt::UnhandledMessages(_) => return WorkOutcome::Retry { due_ms: owner.next_try(Tries::default()), tries },
    };
    let tries = tries.another(counts);
    if reason.is_none() && counts && tries.attempts >= owner.config.attempts {
        reason = Some(owner.reason_of(record));
    }
    let Some(reason) = reason else {
        return WorkOutcome::Retry { due_ms: owner.next_try(tries), tries };
    };
    let (id, attempts) = (&record.id, tries.attempts);
    owner.log_death(record, reason, attempts, &why);
    let now = owner.env.wall_ms();
    let bytes = crate::dead::encode_for_log(&owner.trust.keys, record, (reason, attempts, &why), now);
    let dead = vec![(id.to_string(), bytes)];
    WorkOutcome::Reported(LogReport { tally: Tally { dead: 1, ..Tally::default() }, dead })
}
