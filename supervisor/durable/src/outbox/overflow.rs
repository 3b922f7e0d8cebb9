//! Events that wait in their publisher's database for a subscriber that has no room.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbErr};

use super::Outbox;
use super::page::Page;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use essaim_store::{Transaction, TxError};

/// The lane from which a lane overflows; itself if it is none of what overflows.
pub(super) fn origin(lane: &str) -> &str {
    lane.strip_prefix("o/").and_then(|rest| rest.split_once('/')).map_or(lane, |(_, origin)| origin)
}

impl Outbox {
    /// The subscribers for whom events of this lane wait already, so that later ones wait behind. Those whose events are all
    /// handed over get the next ones at once: nobody but the relay of this lane, which asks, adds to theirs.
    pub(super) fn overflowing(&self, lane: &str) -> Arc<[Arc<str>]> {
        let mut lanes = self.lock();
        let of_lane = |name: &str| {
            let subscriber = name.strip_prefix("o/")?.strip_suffix(lane)?.strip_suffix('/')?;
            Some(Arc::from(subscriber))
        };
        lanes.retain(|name, overflow| of_lane(name).is_none() || !overflow.is_drained());
        lanes.keys().filter_map(|name| of_lane(name)).collect()
    }

    /// The lane of what overflows from a lane for one subscriber; it is opened if it is not.
    pub(super) async fn overflow_lane(
        self: &Arc<Self>,
        db: &impl ConnectionTrait,
        subscriber: &str,
        lane: &str,
    ) -> Result<Arc<str>, DbErr> {
        let name: Arc<str> = format!("o/{subscriber}/{lane}").into();
        let epoch = self.lock().get(lane).map_or(0, |lane| lane.epoch);
        if !self.lock().contains_key(&name) {
            let known = self.known(db, &name, epoch).await?;
            self.relay(name.clone(), epoch, known);
        }
        Ok(name)
    }

    /// How many more events of a lane may wait for a subscriber, about.
    pub(super) fn room(&self, subscriber: &str, lane: &str) -> u64 {
        let waiting = self.lock().get(&*format!("o/{subscriber}/{lane}")).map_or(0, |lane| lane.waiting());
        self.config.overflow_messages.saturating_sub(waiting)
    }

    /// Has the events of a page wait whose subscribers have no room, and drops those that would be too many; how many were
    /// added to each lane.
    pub(super) async fn overflow(
        self: &Arc<Self>,
        tx: &Transaction,
        lane: &str,
        page: &Page,
    ) -> Result<HashMap<Arc<str>, usize>, TxError> {
        let mut rooms = HashMap::<&str, u64>::new();
        let mut dropped = HashMap::<&str, u64>::new();
        let mut added = HashMap::<_, usize>::new();
        for (subscriber, outgoing) in &page.overflow {
            let room = rooms.entry(subscriber).or_insert_with(|| self.room(subscriber, lane));
            if *room == 0 {
                *dropped.entry(subscriber).or_default() += 1;
                continue;
            }
            *room -= 1;
            let name = self.overflow_lane(tx, subscriber, lane).await?;
            let copy = OutboxRow { target: Some(subscriber.to_string()), ..outgoing.clone() };
            let number = self.numbers(&name, 1).ok_or(TxError::Fenced)?;
            table::insert(tx, &name, number, &[copy]).await?;
            *added.entry(name).or_default() += 1;
        }
        for (subscriber, messages) in dropped {
            let most = self.config.overflow_messages;
            tracing::warn!(
                subscriber,
                lane,
                messages,
                "durable.overflow_messages = {most} events wait on disk for a subscriber that has no room: further ones \
                 are dropped; end its subscription, or raise the bound"
            );
        }
        Ok(added)
    }

    /// What has overflowed from a lane is handed over: there is room again for what is kept for latecomers.
    pub(super) fn drained(&self, overflow: &str) {
        let from = origin(overflow);
        if from != overflow
            && let Some(lane) = self.lock().get(from)
        {
            lane.more.notify_one();
        }
    }
}
