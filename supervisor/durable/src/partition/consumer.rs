//! One capability's part in the work on its partitions: this node says again and again that it is there, works on those
//! partitions that it owns, and gives up those that another host should have.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_base::outages::Dependency;
use essaim_base::task::TaskName;
use essaim_protocol::log::{HostHeartbeat, OwnedPartition, Partition};
use essaim_store::Database;
use essaim_store::tables::fence::Takeover;
use futures_util::future::AbortHandle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::copies::Copies;
use super::owner::CapabilityStore;
use super::takeover::{Claim, Ownership};
use super::unhandled::UnhandledMessages;
use super::worker::{Worker, WorkerEnd};
use crate::Durable;
use crate::housekeeper::{Housekeeper, PartitionShare};
use crate::outbox::{Outbox, OutboxQueue};
use crate::ports::{Handlers, Peers};
use crate::schedule::Timetable;

/// The consumer of one capability in this node.
pub struct Consumer {
    durable: Arc<Durable>,
    capability: Hosted,
    workers: HashMap<u32, RunningWorker>,
    /// Partitions whose workers have stopped as they were told.
    given_up: Vec<u32>,
    /// What its workers find no handler of.
    unhandled: Arc<UnhandledMessages>,
    /// Partitions whose databases have seen a higher epoch than this host was given.
    stale_epochs: Vec<(u32, u64)>,
    /// When the log last took note of this host.
    last_heartbeat: Instant,
    ended: mpsc::UnboundedSender<(u32, WorkerEnd)>,
    /// What the keeper is told of this host's share.
    share: watch::Sender<PartitionShare>,
    /// Ids in the inbox, as the keeper counts them and with what this node has added since.
    remembered: Arc<AtomicU64>,
    /// Messages that are under way in this node.
    copies: Arc<Copies>,
}

struct RunningWorker {
    epoch: u64,
    /// The log has said that the partition is not this host's under that epoch: the worker ends, and gives nothing up.
    is_lost: bool,
    stop: watch::Sender<bool>,
    task: AbortHandle,
}

impl RunningWorker {
    /// Has the worker finish what is under way, and end.
    fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// One capability that this node hosts.
#[derive(Clone)]
pub struct Hosted {
    pub handlers: Arc<dyn Handlers>,
    /// What it sends itself at set times.
    pub timetables: Arc<[Timetable]>,
    /// Its database and the way out of it, if it declares a schema.
    pub store: Option<(Database, Arc<Outbox>)>,
    /// Weak since the node, which holds all of this, implements it.
    pub peers: Weak<dyn Peers>,
}

impl Hosted {
    fn name(&self) -> &Arc<str> {
        self.handlers.capability()
    }
}

impl Consumer {
    /// Begins to work on a capability's durable messages, on the thread for that.
    pub fn start(durable: Arc<Durable>, capability: Hosted) {
        if capability.store.is_none() && capability.handlers.messages().is_empty() {
            return;
        }
        let (tasks, name) = (durable.tasks.clone(), TaskName::of("consumer", capability.name()));
        tasks.restarted(name, move || Self::run(durable.clone(), capability.clone()));
    }

    /// Works until the node leaves.
    async fn run(durable: Arc<Durable>, capability: Hosted) {
        let left = durable.drain.join();
        // Bounded by the capability's partitions.
        let (ended, mut endings) = mpsc::unbounded_channel();
        let (share, reported) = watch::channel(PartitionShare::default());
        let (remembered, copies, unhandled) = Default::default();
        let (workers, given_up, stale_epochs) = (HashMap::new(), Vec::new(), Vec::new());
        let last_heartbeat = durable.env.now();
        let mut consumer = Self {
            last_heartbeat,
            durable,
            capability,
            workers,
            given_up,
            unhandled,
            stale_epochs,
            ended,
            share,
            remembered,
            copies,
        };
        let ready = async {
            consumer.capability.handlers.running().await;
            consumer.register().await;
        };
        let durable = consumer.durable.clone();
        tokio::select! {
            () = ready => {}
            // Nothing was begun.
            () = durable.drain.begun() => return drop(left),
        }
        consumer.keep(reported);
        let pause = Duration::from_millis(consumer.durable.config.tend_ms);
        loop {
            let leaving = consumer.durable.drain.is_draining();
            let able = !leaving && consumer.is_able();
            if !able {
                consumer.workers.values().for_each(RunningWorker::stop);
            }
            let gone = !able && consumer.workers.is_empty();
            consumer.heartbeat(gone).await;
            if gone && leaving {
                break;
            }
            consumer.report_share(leaving);
            let next = Instant::now() + pause;
            loop {
                tokio::select! {
                    Some((number, how)) = endings.recv() => {
                        consumer.record_end(number, how);
                        // A partition that is free, or an end that is waited for, waits no longer; one that was lost is
                        // looked after in time, or the cause of the loss could keep this busy.
                        if how == WorkerEnd::Stopped {
                            break;
                        }
                    }
                    () = consumer.durable.drain.begun(), if !leaving => break,
                    () = tokio::time::sleep_until(next) => break,
                }
            }
        }
        drop(left);
    }

    /// Whether it can work: while the capability rests here, having been given up, or handlers have blocked all its threads for
    /// a lease, others work on what it had.
    fn is_able(&self) -> bool {
        let lease = Duration::from_millis(self.durable.config.lease_ms);
        let handlers = &self.capability.handlers;
        !handlers.is_resting() && !handlers.is_blocked_for(lease)
    }

    /// Begins the housekeeping, if there is anything to be kept.
    fn keep(&self, reported: watch::Receiver<PartitionShare>) {
        if let Some(store) = self.capability.store.clone() {
            let (durable, capability) = (self.durable.clone(), self.capability.clone());
            let (name, remembered) = (TaskName::of("keeper", capability.name()), self.remembered.clone());
            let keep = move || {
                Housekeeper::new(&durable, &capability, store.clone(), remembered.clone()).run(reported.clone())
            };
            self.durable.tasks.restarted(name, keep);
        }
    }

    /// Tells the keeper what this host works on.
    fn report_share(&self, leaving: bool) {
        let owned = |worker: &&RunningWorker| !worker.is_lost;
        let share = match self.workers.get(&0).filter(owned) {
            _ if leaving || !self.workers.values().any(|worker| owned(&worker)) => PartitionShare::Nothing,
            Some(first) => PartitionShare::First { epoch: first.epoch },
            None => PartitionShare::Some,
        };
        self.share.send_if_modified(|reported| std::mem::replace(reported, share) != share);
    }

    fn record_end(&mut self, number: u32, how: WorkerEnd) {
        let worker = self.workers.remove(&number);
        match how {
            // What is owned now, if it is, is owned anew.
            _ if worker.is_none_or(|worker| worker.is_lost) => {}
            WorkerEnd::Stopped => self.given_up.push(number),
            WorkerEnd::StaleEpoch(seen) => self.stale_epochs.push((number, seen)),
            WorkerEnd::Lost => {}
        }
    }

    /// Makes the capability and what it subscribes to known, again and again until the log answers.
    async fn register(&self) {
        let messages = self.capability.handlers.messages();
        let subscriptions: Vec<_> =
            messages.into_iter().filter_map(|(name, subscription)| Some((name.to_string(), subscription?))).collect();
        let (capability, log) = (&**self.capability.name(), &self.durable.log);
        let configured = self.durable.partitions(capability);
        let mut tries = 0;
        let registry = loop {
            let registered = async {
                log.register(capability, configured, &subscriptions).await?;
                log.registry().await
            };
            let error = match registered.await {
                Ok(registry) => break registry,
                Err(error) => error,
            };
            tries += 1;
            if tries == 3 {
                tracing::warn!(capability, %error, "the log does not answer; durable messages wait");
            }
            tokio::time::sleep(self.durable.pause(tries)).await;
        };
        let used = registry.partitions.get(capability).copied().unwrap_or(configured);
        if used != configured {
            tracing::warn!(
                capability,
                used,
                configured,
                "the number of partitions stays what it was when the first message came: keys would change their places"
            );
        }
    }

    async fn heartbeat(&mut self, gone: bool) {
        let handles = self.capability.handlers.messages();
        let heartbeat = HostHeartbeat {
            capability: self.capability.name().clone(),
            host: self.durable.host.clone(),
            handles: handles.iter().map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>(),
            leaving: gone,
            given_up: self.given_up.clone(),
            unhandled: self.unhandled.list(),
            stale_epochs: self.stale_epochs.clone(),
            lease: Duration::from_millis(self.durable.config.lease_ms),
        };
        let limit = Duration::from_millis(self.durable.config.lease_ms);
        let owned = match timeout(limit, self.durable.log.heartbeat(&heartbeat)).await {
            Ok(Ok(owned)) => owned,
            Ok(Err(error)) => return self.heartbeat_failed(&error.to_string()),
            Err(_) => return self.heartbeat_failed("the log does not answer"),
        };
        self.last_heartbeat = self.durable.env.now();
        self.durable.tasks.outages().end(&Dependency::partitions(self.capability.name()));
        self.unhandled.answered(&heartbeat.unhandled, &owned);
        self.given_up.drain(..).for_each(|number| self.unhandled.forget(number));
        self.stale_epochs.clear();
        if gone {
            return;
        }
        // A partition that has another owner, or that this one got anew: its worker finds the fence closed. The fence does not part
        // it from another under the same epoch, as where a log has lost its records of owners and then restored them: no other
        // begins before it has ended.
        for (number, worker) in &mut self.workers {
            if !owned.iter().any(|o| o.number == *number && o.epoch == worker.epoch) {
                worker.is_lost = true;
                worker.stop();
            }
        }
        if self.durable.drain.is_draining() || !self.is_able() {
            return;
        }
        for OwnedPartition { number, epoch, wanted } in owned {
            match self.workers.get(&number) {
                Some(worker) if wanted => worker.stop(),
                Some(_) => {}
                None => self.work_on(number, epoch),
            }
        }
    }

    /// What fails for half of a lease is an outage, unless the log as a whole has one.
    fn heartbeat_failed(&self, error: &str) {
        let capability = self.capability.name();
        tracing::debug!(%capability, error, "tending failed");
        let (for_long, outages) =
            (self.durable.env.now().saturating_duration_since(self.last_heartbeat), self.durable.tasks.outages());
        let lease = Duration::from_millis(self.durable.config.lease_ms);
        if for_long * 2 > lease && !outages.has(&self.durable.dependency()) {
            outages.begin(Dependency::partitions(capability), error);
        }
    }

    fn work_on(&mut self, number: u32, epoch: u64) {
        let (stop, stopped) = watch::channel(false);
        let partition = Partition { capability: self.capability.name().clone(), number };
        let store = self.capability.store.clone().map(|(database, outbox)| CapabilityStore {
            database,
            outbox,
            queue: OutboxQueue::of_partition(number),
            remembered: self.remembered.clone(),
            copies: self.copies.clone(),
        });
        let (durable, handlers) = (self.durable.clone(), self.capability.handlers.clone());
        let unhandled = self.unhandled.clone();
        let (name, ended) = (TaskName::of("worker", self.capability.name()).which(number), self.ended.clone());
        let task = self.durable.tasks.restarted(name, move || {
            let (durable, partition, handlers) = (durable.clone(), partition.clone(), handlers.clone());
            let (store, unhandled) = (store.clone(), unhandled.clone());
            let (stopped, ended) = (stopped.clone(), ended.clone());
            async move {
                let how = work(durable, (partition, epoch), handlers, store, unhandled, stopped).await;
                let _ = ended.send((number, how));
            }
        });
        self.workers.insert(number, RunningWorker { epoch, is_lost: false, stop, task });
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // After a panic: the restarted consumer begins with workers of its own.
        self.workers.values().for_each(|worker| worker.task.abort());
    }
}

async fn work(
    durable: Arc<Durable>,
    (partition, epoch): (Partition, u64),
    handlers: Arc<dyn Handlers>,
    store: Option<CapabilityStore>,
    unhandled: Arc<UnhandledMessages>,
    mut stop: watch::Receiver<bool>,
) -> WorkerEnd {
    let mut tries = 0;
    let mut ownership = loop {
        if *stop.borrow() {
            return WorkerEnd::Stopped;
        }
        let claimed = async {
            let log = durable.log.identity().await.map_err(|e| e.to_string())?;
            let (partition, handlers, config) = (partition.clone(), handlers.clone(), durable.config.clone());
            let (env, store, unhandled, stop) = (durable.env.clone(), store.clone(), unhandled.clone(), stop.clone());
            let trust = durable.trust.clone();
            let claim = Claim { partition, epoch, log, handlers, config, trust, env, store, unhandled, stop };
            let taken = Ownership::take(claim).await.map_err(|e| e.to_string())?;
            if let Takeover::Done(ownership) = &taken {
                ownership.catch_up(&durable).await?;
            }
            Ok(taken)
        };
        let claimed: Result<_, String> = claimed.await;
        let error = match claimed {
            Ok(Takeover::Done(ownership)) => break *ownership,
            Ok(Takeover::Stale(seen)) => return WorkerEnd::StaleEpoch(seen),
            Err(error) => error,
        };
        tries += 1;
        if tries == 3 {
            let (capability, number) = (&partition.capability, partition.number);
            tracing::warn!(%capability, number, error, "a partition waits for its database or the log; trying again");
        }
        let _ = timeout(durable.pause(tries), stop.wait_for(|s| *s)).await;
    };
    tracing::debug!(capability = %partition.capability, partition = partition.number, epoch, "owns a partition");
    let _relaying = ownership.outbox_queue.take();
    ownership.left.iter().for_each(|log| durable.log_left_behind(log));
    let (_subscription, entries, in_flight) = durable.reader.subscribe(&partition);
    Worker::new(ownership, durable.log.clone(), in_flight).work(entries).await
}
