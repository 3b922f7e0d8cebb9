//! A storm of failing messages: what is kept of it stays in bounds, and what is counted of it is all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use essaim_base::Env;
use essaim_config::Config;
use essaim_contract::{Ask, Capability, Message};
use essaim_core::{Actor, Cx, Fault, Handle, Handles, Roster, Start, StartError, fail};
use essaim_gather::GatherFigures;
use essaim_store::testing::Directory;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::Node;

/// Messages of the storm, and how many are under way at once.
const MESSAGES: u64 = 50_000;
const AT_ONCE: u64 = 64;
const ARBITERS: usize = 1;
const RING_BYTES: u64 = 256 << 10;
/// Less than a configuration may say, so that it is soon full.
const STORE_BYTES: u64 = 512 << 10;
/// What SQLite writes into a journal before the file, with the last transaction.
const JOURNAL_BYTES: u64 = 6 << 20;
/// Records that are stored in a second, and seconds of that at once.
const PER_SECOND: u32 = 500;
const BURST_SECONDS: u64 = 10;

struct Mill;
impl Capability for Mill {
    const NAME: &'static str = "mill";
}

/// A message that fails.
#[derive(Clone, Serialize, Deserialize)]
struct Grind;
impl Message for Grind {
    type To = Mill;
    const NAME: &'static str = "grind";
    const VERSION: u16 = 1;
}
impl Ask for Grind {
    type Reply = ();
    type Error = String;
}

struct MillActor;
impl Actor for MillActor {
    type Capability = Mill;
    type Settings = BTreeMap<String, String>;
    type Shared = ();
    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Grind>();
    }
}
impl Handle<Grind> for MillActor {
    async fn handle(&mut self, _: Grind, _: &mut Cx) -> Result<(), Fault<String>> {
        Err(fail("out of grain"))
    }
}

async fn fails(node: &Node) {
    node.client().ask(Grind).await.expect_err("it fails");
}

#[tokio::test]
async fn of_a_storm_of_failing_messages_all_are_counted_and_few_are_kept() {
    let (directory, began) = (Directory::new(), Instant::now());
    let mut config = Config::default();
    let settings = &mut config.settings;
    (settings.node.arbiters, settings.node.watchdog_ms, settings.node.control_thread) = (ARBITERS, 0, false);
    settings.node.data_dir = directory.path().to_path_buf();
    (settings.trace.ring_bytes, settings.trace.store_bytes) = (RING_BYTES, STORE_BYTES);
    (settings.trace.store_records_per_second, settings.trace.store_interval_ms) = (PER_SECOND, 10);
    let file = directory.path().join("trace.sqlite3");
    let stored = async {
        let roster = Roster::new().host::<MillActor>();
        let node = Node::start(&roster, &["mill"], config, Env::system()).await.unwrap();
        node.up().await;
        let (recorder, gathered) = (node.bus().recorder.clone(), node.bus().gathered.clone().unwrap());
        let accounted = |figures: GatherFigures| figures.gathered + figures.dropped + figures.missed;
        // Where the records of the storm begin is known before.
        fails(&node).await;
        while accounted(gathered.figures()) == 0 {
            tokio::task::yield_now().await;
        }
        let mut under_way: FuturesUnordered<_> = (0..AT_ONCE).map(|_| fails(&node)).collect();
        for sent in AT_ONCE..MESSAGES {
            under_way.next().await;
            under_way.push(fails(&node));
            if sent % 100 == 0 {
                // A ring for each arbiter, and one for the node's own thread.
                assert!(recorder.bytes() as u64 <= RING_BYTES * (ARBITERS as u64 + 1), "{} bytes", recorder.bytes());
                let bytes = gathered.figures().bytes;
                assert!(bytes <= STORE_BYTES + JOURNAL_BYTES, "{bytes} bytes");
            }
        }
        while under_way.next().await.is_some() {}
        assert!(recorder.bytes() as u64 > RING_BYTES / 2, "they are kept, as far as there is room");
        while accounted(gathered.figures()) <= MESSAGES {
            tokio::task::yield_now().await;
        }
        let figures = gathered.figures();
        let most = u64::from(PER_SECOND) * (BURST_SECONDS + began.elapsed().as_secs() + 1);
        assert!(figures.gathered >= u64::from(PER_SECOND) && figures.gathered <= most, "{figures:?} of {most}");
        assert_eq!(accounted(figures), MESSAGES + 1, "each is stored, dropped or missed: {figures:?}");
        let status = node.status().await;
        assert!(status.outages.is_empty(), "{status:?}");
        let counts = &status.capabilities["mill"].messages;
        assert_eq!((counts.outcomes.get("failed"), counts.all()), (Some(&(MESSAGES + 1)), MESSAGES + 1));
        node.drain().await;
    };
    LocalSet::new().run_until(stored).await;
    // What is in the journal goes into the file when that is closed.
    while directory.path().join("trace.sqlite3-wal").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let bytes = std::fs::metadata(file).unwrap().len();
    assert!(bytes > STORE_BYTES / 2 && bytes <= STORE_BYTES, "{bytes} bytes");
}
