//! Events that wait in their publisher's database for a subscriber that has no room.

use std::collections::HashMap;
use std::sync::Arc;

use essaim_store::own_rows::OwnQueries;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use essaim_store::{Transaction, TxError};
use sea_orm::DbErr;

use super::page::RelayedPage;
use super::{Outbox, OutboxQueue, QueueKind};

impl Outbox {
    /// The subscribers for whom events of this queue wait already, so that later ones wait behind. Those whose events are all
    /// handed over get the next ones at once: only the relay of this queue, which asks, adds to theirs.
    pub(super) fn overflowing(&self, queue: &OutboxQueue) -> Arc<[Arc<str>]> {
        let mut queues = self.lock();
        let subscriber_of = |other: &OutboxQueue| match other.kind() {
            QueueKind::Overflow { subscriber, of } if of == queue => Some(subscriber.clone()),
            _ => None,
        };
        queues.retain(|other, relayed| subscriber_of(other).is_none() || !relayed.counters.is_drained());
        queues.keys().filter_map(subscriber_of).collect()
    }

    /// The queue of what overflows from a queue for one subscriber; it is opened if it is not.
    pub(super) async fn open_overflow(
        self: &Arc<Self>,
        db: &impl OwnQueries,
        subscriber: &str,
        queue: &OutboxQueue,
    ) -> Result<OutboxQueue, DbErr> {
        let overflow = queue.overflow(subscriber);
        let opening = self.lock().get(queue).map(|relayed| relayed.opening);
        if !self.lock().contains_key(&overflow) {
            let opening = opening.unwrap_or_else(|| self.opening(0));
            let extent = self.extent(db, &overflow, opening.epoch).await?;
            self.relay(overflow.clone(), opening, extent);
        }
        Ok(overflow)
    }

    /// How many more events of a queue may wait for a subscriber, about.
    pub(super) fn room(&self, subscriber: &str, queue: &OutboxQueue) -> u64 {
        let overflow = queue.overflow(subscriber);
        let waiting = self.lock().get(&overflow).map_or(0, |relayed| relayed.counters.waiting());
        self.config.overflow_messages.saturating_sub(waiting)
    }

    /// Has the events of a page wait whose subscribers have no room, and drops those that would be too many; how many were
    /// added to each queue.
    pub(super) async fn overflow(
        self: &Arc<Self>,
        tx: &Transaction,
        queue: &OutboxQueue,
        page: &RelayedPage,
    ) -> Result<HashMap<OutboxQueue, usize>, TxError> {
        let mut rooms = HashMap::<&str, u64>::new();
        let mut dropped = HashMap::<&str, u64>::new();
        let mut added = HashMap::<_, usize>::new();
        for (subscriber, row) in &page.overflow {
            let room = rooms.entry(subscriber).or_insert_with(|| self.room(subscriber, queue));
            if *room == 0 {
                *dropped.entry(subscriber).or_default() += 1;
                continue;
            }
            *room -= 1;
            let overflow = self.open_overflow(tx, subscriber, queue).await?;
            let copy = OutboxRow { target: Some(subscriber.to_string()), ..row.clone() };
            let number = self.reserve_numbers(&overflow, 1).ok_or(TxError::Fenced)?;
            table::insert(tx, &overflow, number, &[copy]).await?;
            *added.entry(overflow).or_default() += 1;
        }
        for (subscriber, messages) in dropped {
            let most = self.config.overflow_messages;
            tracing::warn!(
                subscriber,
                lane = queue.as_str(),
                messages,
                "durable.overflow_messages = {most} events wait on disk for a subscriber that has no room: further ones \
                 are dropped; end its subscription, or raise the bound"
            );
        }
        Ok(added)
    }

    /// What has overflowed from a queue is handed over: there is room again for what is retained for subscribers that came late.
    pub(super) fn wake_origin(&self, overflow: &OutboxQueue) {
        if overflow.is_overflow()
            && let Some(relayed) = self.lock().get(overflow.origin())
        {
            relayed.more.notify_one();
        }
    }
}
