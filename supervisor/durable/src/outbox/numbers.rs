//! The numbers of the messages in a queue. They rise for ever, under each owner, and none is used again: an earlier owner's relay
//! may still be about to forget what it has handed over, and would forget another message. What is retained of a queue is in
//! their order, too.
//!
//! Which numbers are in use is seen from what is there. Of those that are forgotten the database notes one that none of them
//! is above, in the transaction in which they are; some ahead, so that few transactions do. An epoch alone would not do, since
//! it may end a moment after it began, or have come from a clock that was far ahead.

use std::sync::atomic::Ordering;

use essaim_store::own_rows::OwnQueries;
use essaim_store::tables::{numbers, outbox as table};
use sea_orm::DbErr;

use super::{Outbox, OutboxQueue, QueueKind};

/// Numbers that are noted as used up before they are.
const AHEAD: u64 = 1 << 16;
/// Numbers of one epoch, for releases that have numbered by epochs alone and may work beside this one.
const OF_AN_EPOCH: u64 = 1 << 11;
/// The highest number that is made of an epoch. Epochs are microseconds since 1970, so those of 2041 are beyond it.
const HIGHEST_OF_AN_EPOCH: u64 = u64::MAX >> 2;

/// What a queue holds as it is opened.
pub(super) struct QueueExtent {
    /// No number up to this one is used any more.
    pub last: u64,
    /// The numbers up to this one are noted as used up.
    pub used_up: u64,
    /// Messages in it, counted no further than they are bounded.
    pub messages: u64,
}

impl Outbox {
    /// The numbers of one ownership of a partition are above this one.
    pub fn floor(epoch: u64) -> u64 {
        epoch.saturating_mul(OF_AN_EPOCH).min(HIGHEST_OF_AN_EPOCH)
    }

    /// What a queue holds under an ownership, once no earlier one can add to it.
    pub(super) async fn extent(
        &self,
        db: &impl OwnQueries,
        queue: &OutboxQueue,
        epoch: u64,
    ) -> Result<QueueExtent, DbErr> {
        let most = if queue.is_overflow() { self.config.overflow_messages } else { self.config.outbox_messages };
        // What is there first: numbers are noted before that is forgotten.
        let there = table::extent(db, queue, most.saturating_add(1)).await?;
        let used_up = numbers::through(db, queue).await?;
        let last = there.last.max(used_up).max(Self::floor(epoch));
        Ok(QueueExtent { last, used_up, messages: there.count })
    }

    /// Numbers for so many messages of a queue; the first one. `None` if it is closed: then its partition is lost, even if its
    /// fence does not say so yet, and nobody here knows which numbers are in use.
    pub fn reserve_numbers(&self, queue: &OutboxQueue, count: usize) -> Option<u64> {
        Some(self.lock().get(queue)?.last.fetch_add(count as u64, Ordering::Relaxed) + 1)
    }

    /// Notes that these numbers of a queue are used up; up to which one all are, once that is committed.
    pub(super) async fn use_up(&self, db: &impl OwnQueries, queue: &OutboxQueue, done: &[u64]) -> Result<u64, DbErr> {
        let noted = self.lock().get(queue).map_or(0, |relayed| relayed.used_up.load(Ordering::Relaxed));
        let highest = done.iter().copied().max().unwrap_or(0);
        // A life of a node is not lived again.
        if highest <= noted || matches!(queue.kind(), QueueKind::Node { .. }) {
            return Ok(noted);
        }
        let through = highest.saturating_add(AHEAD);
        numbers::use_up(db, queue, through).await?;
        Ok(through)
    }
}
