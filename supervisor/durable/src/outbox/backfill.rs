//! Subscribers of an event that want what was published before they came, as far as it is retained.
//!
//! The relay of each queue of the outbox retains what it has handed over, and gives it to such a subscriber before anything new:
//! it copies what is retained from its queue into the queue of what overflows for that subscriber, behind which later events of
//! the queue wait. So a subscriber gets the events of a queue in their order, whenever it comes. The sender gives such a
//! subscriber nothing of a queue that is not backfilled, so it does not matter when a relay hears of it.

use std::sync::Arc;

use essaim_protocol::log::{Beginning, Registry};
use essaim_store::TxError;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use essaim_store::tables::retained::{self, BackfillMark};

use super::relay::{PAGE, PAGE_BYTES};
use super::{Outbox, OutboxQueue};

/// One subscription that begins with what is retained.
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

/// The subscriptions that begin with what a capability has retained.
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
    /// Notes where messages of a capability go now; its relays look after the subscribers that want what was before. Whether
    /// those are others now.
    pub fn on_registry(&self, capability: &str, registry: Arc<Registry>) -> bool {
        let backfill: Arc<[_]> = wanting(capability, &registry).into();
        let before = std::mem::replace(&mut *self.registry.lock(), registry.clone());
        self.ended.lock().record_changes(&before, &registry);
        let changed = std::mem::replace(&mut *self.backfill.lock(), backfill.clone()) != backfill;
        if changed {
            self.lock().values().for_each(|relayed| relayed.more.notify_one());
        }
        changed
    }

    /// Puts what is retained of a queue on its way to a subscriber, a page at a time and no more than there is room for; whether
    /// that is all.
    async fn backfill(
        self: &Arc<Self>,
        queue: &OutboxQueue,
        late: &BackfillSubscriber,
        room: u64,
    ) -> Result<bool, TxError> {
        let BackfillSubscriber { event, subscriber, since } = late;
        let reads = self.database.own_reads();
        let after = retained::through(reads, queue, event, subscriber, *since).await?;
        if after == retained::ALL {
            return Ok(true);
        }
        let most = PAGE.min(room.try_into().unwrap_or(PAGE));
        let page = retained::load(reads, queue, event, after, (most, PAGE_BYTES)).await?;
        let all = page.is_empty();
        let through = page.last().map_or(retained::ALL, |(seq, _)| *seq);
        let copies: Vec<_> = page
            .into_iter()
            .map(|(_, record)| OutboxRow { event: true, target: Some(subscriber.to_string()), record })
            .collect();
        let overflow = self.open_overflow(reads, subscriber, queue).await?;
        let tx = self.database.begin().await?;
        let first = self.reserve_numbers(&overflow, copies.len()).ok_or(TxError::Fenced)?;
        table::insert(&tx, &overflow, first, &copies).await?;
        retained::mark(&tx, &BackfillMark { queue, event, subscriber, since: *since, through }).await?;
        match tx.commit().await {
            Ok(()) => self.committed(&overflow, copies.len()),
            Err(error) => {
                self.committed_perhaps(&overflow, copies.len());
                return Err(error);
            }
        }
        if all {
            let lane = queue.as_str();
            tracing::info!(event = %event, subscriber = %subscriber, lane, "a subscriber gets what was kept before it came");
        }
        Ok(all)
    }

    /// Those subscribers that have got what is retained of a queue; none while there is more to put on its way. One for which no
    /// more may wait goes on once that is handed over: what is published meanwhile is retained for it, too.
    pub(super) async fn backfilled(
        self: &Arc<Self>,
        queue: &OutboxQueue,
    ) -> Result<Option<Arc<[BackfillSubscriber]>>, TxError> {
        let wanting = self.backfill.lock().clone();
        let known = self.lock().get(queue).map(|relayed| relayed.backfilled.clone()).unwrap_or_default();
        if queue.is_overflow() || known == wanting {
            return Ok(Some(known));
        }
        let mut backfilled = Vec::with_capacity(wanting.len());
        for late in wanting.iter() {
            if !known.contains(late) {
                match self.room(&late.subscriber, queue) {
                    0 => continue,
                    room if !self.backfill(queue, late, room).await? => return Ok(None),
                    _ => {}
                }
            }
            backfilled.push(late.clone());
        }
        let backfilled: Arc<[_]> = backfilled.into();
        if let Some(relayed) = self.lock().get_mut(queue) {
            relayed.backfilled = backfilled.clone();
        }
        Ok(Some(backfilled))
    }
}
