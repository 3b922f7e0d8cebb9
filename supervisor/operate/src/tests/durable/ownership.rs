//! One host's partitions, while what the log says of them changes.

use essaim_durable::{Consumer, Durable, DurableParts, Hosted};
use essaim_protocol::log::*;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::*;

/// A word that takes its handler a while, and how often one has begun with it.
pub(super) const LONG: &str = "long";
pub(super) static RUNS: AtomicU32 = AtomicU32::new(0);

/// A log that leaves a partition out of its answers now and then, as after a failover to a server that was a moment behind.
struct ForgetfulLog {
    log: Arc<dyn Log>,
    /// Heartbeats that were answered, and how many of the next answers leave the partition 0 out.
    answers: watch::Sender<(u32, u32)>,
}

impl ForgetfulLog {
    /// Waits for the next answer to a heartbeat.
    async fn answered(&self) {
        let mut answers = self.answers.subscribe();
        let (before, _) = *answers.borrow_and_update();
        answers.wait_for(|(answers, _)| *answers > before).await.unwrap();
    }
}

impl Log for ForgetfulLog {
    fn settle(&self) -> BoxFuture<'_, ()> {
        self.log.settle()
    }

    fn heartbeat<'a>(&'a self, heartbeat: &'a HostHeartbeat) -> BoxFuture<'a, Result<Vec<OwnedPartition>, LogError>> {
        Box::pin(async move {
            let mut owned = self.log.heartbeat(heartbeat).await?;
            self.answers.send_modify(|(answers, left_out)| {
                *answers += 1;
                if *left_out > 0 {
                    *left_out -= 1;
                    owned.retain(|partition| partition.number != 0);
                }
            });
            Ok(owned)
        })
    }

    fn registry(&self) -> BoxFuture<'_, Result<Arc<Registry>, LogError>> {
        self.log.registry()
    }
    fn register<'a>(
        &'a self,
        capability: &'a str,
        partitions: u32,
        subscriptions: &'a [(String, Subscription)],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        self.log.register(capability, partitions, subscriptions)
    }
    fn unsubscribe<'a>(&'a self, event: &'a str, capability: &'a str) -> BoxFuture<'a, Result<bool, LogError>> {
        self.log.unsubscribe(event, capability)
    }
    fn retire<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Retired, LogError>> {
        self.log.retire(capability)
    }
    fn append<'a>(
        &'a self,
        registry: u64,
        most: u64,
        appends: &'a [Append],
    ) -> BoxFuture<'a, Result<Vec<Appended>, AppendError>> {
        self.log.append(registry, most, appends)
    }
    fn read<'a>(
        &'a self,
        readings: &'a [Reading],
        patience: Duration,
    ) -> BoxFuture<'a, Result<FoundEntries, LogError>> {
        self.log.read(readings, patience)
    }
    fn acknowledge<'a>(
        &'a self,
        acknowledges: &'a [Acknowledge],
    ) -> BoxFuture<'a, Result<Vec<Acknowledged>, LogError>> {
        self.log.acknowledge(acknowledges)
    }
    fn check(&self) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.check()
    }
    fn appended<'a>(&'a self, partition: &'a Partition) -> BoxFuture<'a, Result<u64, LogError>> {
        self.log.appended(partition)
    }
    fn raise<'a>(&'a self, partition: &'a Partition, appended: u64) -> BoxFuture<'a, Result<(), LogError>> {
        self.log.raise(partition, appended)
    }
    fn identity(&self) -> BoxFuture<'_, Result<String, LogError>> {
        self.log.identity()
    }
    fn counts<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Vec<PartitionCount>, LogError>> {
        self.log.counts(capability)
    }
    fn dead_count<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<u64, LogError>> {
        self.log.dead_count(capability)
    }
    fn dead<'a>(
        &'a self,
        capability: &'a str,
        from: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<DeadLetterPage, LogError>> {
        self.log.dead(capability, from, most)
    }
    fn dead_with<'a>(
        &'a self,
        capability: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, bytes::Bytes)>, LogError>> {
        self.log.dead_with(capability, ids)
    }
    fn forget<'a>(
        &'a self,
        capability: &'a str,
        letters: &'a [(String, bytes::Bytes)],
    ) -> BoxFuture<'a, Result<u64, LogError>> {
        self.log.forget(capability, letters)
    }
    fn weaker_than_configured(&self) -> BoxFuture<'_, Option<String>> {
        self.log.weaker_than_configured()
    }
}

/// A host of its own that works on the shop's messages in place of the stage's, on a log that forgets.
async fn forgetful_host(t: &Stage) -> (Arc<Durable>, Arc<ForgetfulLog>) {
    let (bus, before) = (t.node.bus(), t.node.bus().durable().unwrap());
    t.run(before.drain.run()).await;
    let log = Arc::new(ForgetfulLog { log: before.log.clone(), answers: watch::Sender::default() });
    let durable = t
        .run(async {
            let (env, migrated_kind) = (&bus.env, "embedded");
            let durable = Durable::start(DurableParts {
                log: log.clone(),
                settings: &bus.settings,
                env,
                tasks: &bus.tasks,
                recorder: bus.recorder.clone(),
                migrated_kind,
            });
            let (host, database) = (bus.host("shop").unwrap(), t.database("shop"));
            let store = Some((database, host.outbox().unwrap()));
            let timetables = Arc::default();
            let peers = std::sync::Weak::<essaim_core::node::bus::Bus>::new();
            Consumer::start(durable.clone(), Hosted { handlers: host.clone(), timetables, store, peers });
            log.answered().await;
            durable
        })
        .await;
    (durable, log)
}

/// As a log that lost its records of owners and had them restored: the answer to one heartbeat lacks a partition, and the next
/// has it again, under the same epoch.
#[tokio::test]
async fn a_partition_that_one_answer_of_the_log_leaves_out_is_worked_on_by_one_worker_at_a_time() {
    let t = Stage::start(&["shop"], |s| {
        (s.durable.partitions, s.durable.tend_ms) = (1, 20);
    })
    .await;
    let (durable, log) = forgetful_host(&t).await;
    t.note("a", LONG).await;
    t.run(async {
        while RUNS.load(Ordering::Relaxed) == 0 {
            log.answered().await;
        }
        log.answers.send_modify(|(_, left_out)| *left_out = 1);
        while log.answers.borrow().1 > 0 {
            log.answered().await;
        }
    })
    .await;
    t.note("a", "next").await;
    let words = tokio::time::timeout(Duration::from_secs(10), t.words("shop", 2)).await;
    assert_eq!(words.expect("nothing is committed from then on"), [LONG, "next"]);
    assert_eq!(t.at_rest("shop").await, (2, 0, 0, 0));
    assert_eq!(RUNS.load(Ordering::Relaxed), 1, "a second worker has begun beside the first");
    t.run(durable.drain.run()).await;
}
