//! Capabilities that subscribe to an event and want what was published before, as far as it is kept.
//!
//! The relay of each lane of the outbox keeps what it has handed over, and gives it to a latecomer before anything new: it
//! copies what is kept from its lane into the lane of what overflows for that subscriber, behind which later events of the
//! lane wait. So a subscriber gets the events of a lane in their order, whenever it comes. The sender gives a latecomer
//! nothing of a lane that has not caught up, so it does not matter when a relay hears of it.

use std::sync::Arc;

use super::{Outbox, PAGE, PAGE_BYTES, lock};
use essaim_protocol::log::{Beginning, Registry};
use essaim_store::TxError;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use essaim_store::tables::retained::{self, BackfillMark};

/// One subscription that begins with what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackfillSubscriber {
    pub event: Arc<str>,
    pub subscriber: Arc<str>,
    /// Which of its subscriptions.
    pub since: u64,
}

impl BackfillSubscriber {
    pub fn is(&self, event: &str, subscriber: &str, since: u64) -> bool {
        *self.event == *event && *self.subscriber == *subscriber && self.since == since
    }
}

/// Those who want what a capability has kept.
fn wanting(capability: &str, registry: &Registry) -> Vec<BackfillSubscriber> {
    let own = |event: &str| event.split('.').next() == Some(capability);
    let mut backfill = Vec::new();
    for (event, subscribers) in registry.subscriptions.iter().filter(|(event, _)| own(event)) {
        let event: Arc<str> = event.as_str().into();
        let late = subscribers.iter().filter(|(_, how)| how.from == Beginning::EarliestRetained);
        backfill.extend(late.map(|(subscriber, how)| BackfillSubscriber {
            event: event.clone(),
            subscriber: subscriber.as_str().into(),
            since: how.since,
        }));
    }
    backfill
}

impl Outbox {
    /// Hears where messages of a capability go now; its relays look after whoever wants what was before. Whether those are
    /// others now.
    pub fn on_registry(&self, capability: &str, registry: Arc<Registry>) -> bool {
        let backfill: Arc<[_]> = wanting(capability, &registry).into();
        let before = std::mem::replace(&mut *lock(&self.registry), registry.clone());
        lock(&self.ended).record_changes(&before, &registry);
        let changed = std::mem::replace(&mut *lock(&self.backfill), backfill.clone()) != backfill;
        if changed {
            self.lock().values().for_each(|lane| lane.more.notify_one());
        }
        changed
    }

    /// Puts what is kept of a lane on its way to a latecomer, a page at a time and no more than there is room for; whether
    /// that is all.
    async fn catch_up(self: &Arc<Self>, lane: &str, late: &BackfillSubscriber, room: u64) -> Result<bool, TxError> {
        let BackfillSubscriber { event, subscriber, since } = late;
        let reads = self.database.reads();
        let after = retained::through(reads, lane, event, subscriber, *since).await?;
        if after == retained::ALL {
            return Ok(true);
        }
        let most = PAGE.min(room.try_into().unwrap_or(PAGE));
        let page = retained::load(reads, lane, event, after, (most, PAGE_BYTES)).await?;
        let all = page.is_empty();
        let through = page.last().map_or(retained::ALL, |(seq, _)| *seq);
        let copies: Vec<_> = page
            .into_iter()
            .map(|(_, record)| OutboxRow { event: true, target: Some(subscriber.to_string()), record })
            .collect();
        let overflow = self.overflow_lane(reads, subscriber, lane).await?;
        let tx = self.database.begin().await?;
        let first = self.numbers(&overflow, copies.len()).ok_or(TxError::Fenced)?;
        table::insert(&tx, &overflow, first, &copies).await?;
        retained::mark(&tx, &BackfillMark { queue: lane, event, subscriber, since: *since, through }).await?;
        match tx.commit().await {
            Ok(()) => self.committed(&overflow, copies.len()),
            Err(error) => {
                self.committed_perhaps(&overflow, copies.len());
                return Err(error);
            }
        }
        if all {
            tracing::info!(event = %event, subscriber = %subscriber, lane, "a subscriber gets what was kept before it came");
        }
        Ok(all)
    }

    /// Those latecomers who have got what is kept of a lane; none while there is more to put on its way. One for whom no
    /// more may wait goes on once that is handed over: what is published meanwhile is kept for it, too.
    pub(super) async fn backfilled(self: &Arc<Self>, lane: &str) -> Result<Option<Arc<[BackfillSubscriber]>>, TxError> {
        let backfill = lock(&self.backfill).clone();
        let known = self.lock().get(lane).map(|lane| lane.backfilled.clone()).unwrap_or_default();
        if lane.starts_with("o/") || known == backfill {
            return Ok(Some(known));
        }
        let mut backfilled = Vec::with_capacity(backfill.len());
        for late in backfill.iter() {
            if !known.contains(late) {
                match self.room(&late.subscriber, lane) {
                    0 => continue,
                    room if !self.catch_up(lane, late, room).await? => return Ok(None),
                    _ => {}
                }
            }
            backfilled.push(late.clone());
        }
        let backfilled: Arc<[_]> = backfilled.into();
        if let Some(lane) = self.lock().get_mut(lane) {
            lane.backfilled = backfilled.clone();
        }
        Ok(Some(backfilled))
    }
}
