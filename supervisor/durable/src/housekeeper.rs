//! What one host of a capability does for all of them, the owner of partition 0: it relays what nodes that are gone left
//! in the outbox, forgets what need not be remembered any more, and fires the capability's schedules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_protocol::log::Log;
use essaim_store::tables::{inbox, retained};
use essaim_store::{Database, TxError};
use sea_orm::DbErr;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Durable;
use super::outbox::Outbox;
use super::partition::consumer::Hosted;
use super::ports::Peers;
use super::schedule::scheduler::Scheduler;

/// How often it is looked what is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked who subscribes, by every host.
const REGISTRY_EVERY: Duration = Duration::from_secs(1);
/// How often the ids of the inbox are counted, by every host that works.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// Rows that are forgotten in one transaction.
const ROWS_AT_A_TIME: u32 = 5_000;
/// Such transactions before the schedules have their turn again.
const PRUNES_AT_A_TIME: usize = 4;

/// The housekeeping of one capability.
pub struct Housekeeper {
    durable: Arc<Durable>,
    capability: Arc<str>,
    peers: Weak<dyn Peers>,
    database: Database,
    outbox: Arc<Outbox>,
    scheduler: Scheduler,
    /// Ids in the inbox, as last counted and with what this node has added since.
    remembered: Arc<AtomicU64>,
    most_ids: u64,
    most_retained: u64,
    /// How long an id is remembered at least.
    retention_ms: u64,
    log: Arc<dyn Log>,
    /// How often the schedules are looked at.
    pause: Duration,
    next: Instant,
    next_registry: Instant,
    next_count: Instant,
}

/// What a host has of a capability's partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PartitionShare {
    #[default]
    Nothing,
    Some,
    /// Also partition 0, with this epoch: it is the one that works for all.
    First {
        epoch: u64,
    },
}

impl Housekeeper {
    /// `remembered` is where others see how many ids the inbox holds.
    pub fn new(
        durable: &Arc<Durable>,
        hosted: &Hosted,
        (database, outbox): (Database, Arc<Outbox>),
        remembered: Arc<AtomicU64>,
    ) -> Self {
        let retention = Duration::from_hours(durable.config.inbox_retention_hours);
        Self {
            durable: durable.clone(),
            capability: hosted.handlers.capability().clone(),
            peers: hosted.peers.clone(),
            database,
            outbox,
            scheduler: Scheduler::new(durable, hosted),
            remembered,
            most_ids: durable.config.inbox_ids,
            most_retained: durable.config.kept_events,
            retention_ms: (retention.as_millis() as u64).saturating_add(durable.config.clock_skew_ms),
            log: durable.log.clone(),
            pause: Duration::from_millis(durable.config.tend_ms),
            next: durable.env.now(),
            next_registry: durable.env.now(),
            next_count: durable.env.now(),
        }
    }

    /// Does what is due while this host has its share; ends with the sender of it.
    ///
    /// It is a task of its own: a database that takes long must not keep the host from saying that it is there.
    pub async fn run(mut self, mut share: watch::Receiver<PartitionShare>) {
        loop {
            let has = *share.borrow_and_update();
            self.refresh_registry().await;
            if has != PartitionShare::Nothing {
                self.run_due(has).await;
            }
            tokio::select! {
                changed = share.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.pause) => {}
            }
        }
    }

    /// Looks who subscribes to the capability's events: some want what was before.
    async fn refresh_registry(&mut self) {
        let now = self.durable.env.now();
        if now < self.next_registry {
            return;
        }
        self.next_registry = now + REGISTRY_EVERY;
        match self.log.registry().await {
            Ok(registry) => {
                if self.outbox.on_registry(&self.capability, registry) {
                    // What is kept of nodes that are gone is wanted at once.
                    self.next = now;
                }
            }
            Err(error) => tracing::debug!(capability = %self.capability, %error, "the log does not say who subscribes"),
        }
    }

    /// What one host does for all it does only if this is the one.
    async fn run_due(&mut self, share: PartitionShare) {
        let mut results = Vec::new();
        if let PartitionShare::First { epoch } = share {
            results.push(self.scheduler.fire_due(&self.database, &self.outbox, epoch).await);
        }
        let now = self.durable.env.now();
        if now >= self.next {
            self.next = now + LOOK_EVERY;
            if matches!(share, PartitionShare::First { .. }) {
                results.push(self.outbox.adopt(|node| self.is_gone(node)).await.map_err(TxError::from));
                results.push(self.prune().await);
            }
        }
        if now >= self.next_count {
            self.next_count = now + COUNT_EVERY;
            results.push(self.count(&self.database).await.map_err(TxError::from));
            if matches!(share, PartitionShare::First { .. }) {
                results.push(self.bound_retained().await);
            }
        }
        for error in results.into_iter().filter_map(Result::err) {
            tracing::debug!(capability = %self.capability, %error, "housekeeping has to wait");
        }
    }

    async fn count(&self, database: &Database) -> Result<(), DbErr> {
        let ids = inbox::count(database.own_reads()).await?;
        self.remembered.store(ids, Ordering::Relaxed);
        if ids >= self.most_ids {
            let (capability, most) = (&self.capability, self.most_ids);
            tracing::warn!(%capability, ids, most, "durable.inbox_ids is reached: nothing is applied until some may be forgotten");
        }
        Ok(())
    }

    /// Whether a life of this node, or of another one, is over.
    fn is_gone(&self, node: &str) -> bool {
        // A node whose port is gone has ended, and judges nobody.
        self.peers.upgrade().is_some_and(|peers| is_gone(node, &self.capability, self.durable.node(), &*peers))
    }

    /// Forgets what need not be remembered any more, not too much at a time: schedules wait meanwhile.
    async fn prune(&mut self) -> Result<(), TxError> {
        let now = self.durable.env.wall_ms();
        let before = now.saturating_sub(self.retention_ms);
        for _ in 0..PRUNES_AT_A_TIME {
            let tx = self.database.begin().await?;
            let ids = inbox::prune(&tx, before, ROWS_AT_A_TIME).await?;
            let events = retained::prune(&tx, now, ROWS_AT_A_TIME).await?;
            retained::prune_marks(&tx, self.outbox.own_queue()).await?;
            tx.commit().await?;
            if ids.max(events) < u64::from(ROWS_AT_A_TIME) {
                return Ok(());
            }
        }
        // There is more.
        self.next = self.durable.env.now();
        Ok(())
    }

    /// Forgets the oldest of the events that are kept if they are too many.
    async fn bound_retained(&self) -> Result<(), TxError> {
        let events = retained::count(self.database.own_reads()).await?;
        let mut beyond = events.saturating_sub(self.most_retained);
        if beyond == 0 {
            return Ok(());
        }
        let (capability, most) = (&self.capability, self.most_retained);
        tracing::warn!(%capability, events, most, "durable.kept_events is reached: whoever subscribes later misses the oldest");
        while beyond > 0 {
            let tx = self.database.begin().await?;
            let most = u32::try_from(beyond).unwrap_or(u32::MAX).min(ROWS_AT_A_TIME);
            let gone = retained::prune(&tx, u64::MAX, most).await?;
            tx.commit().await?;
            beyond = if gone == 0 { 0 } else { beyond.saturating_sub(gone) };
        }
        Ok(())
    }
}

/// Whether what a life of a node has left of a capability is to be taken up, as far as the others are heard. A live node takes
/// up what its earlier lives have left, but only of what it hosts.
fn is_gone(node: &str, capability: &str, own: &str, peers: &dyn Peers) -> bool {
    // An earlier life of this node: the present one is never asked about.
    node == own || !peers.hosts(node, capability)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hosting(&'static [(&'static str, &'static str)]);

    impl Peers for Hosting {
        fn hosts(&self, node: &str, capability: &str) -> bool {
            self.0.contains(&(node, capability))
        }
    }

    #[test]
    fn what_a_node_has_left_that_does_not_host_the_capability_any_more_is_taken_up() {
        let peers = Hosting(&[("a", "shop"), ("b", "till"), ("c/d", "shop")]);
        let is_gone = |node| is_gone(node, "shop", "own", &peers);
        assert!(!is_gone("a") && !is_gone("c/d"), "it is at work");
        assert!(is_gone("own") && is_gone("away"));
        assert!(is_gone("b"), "it has come back without it");
    }
}
