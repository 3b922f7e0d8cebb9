//! A handler that blocks its thread, as one does that computes or calls what does not return: the node stays a member, and
//! what its partitions hold is worked on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use essaim::lock::{Condvar, Mutex, MutexGuard};
use essaim::{Actor, Apply, Cx, Fault, Handles, Roster, Start, StartError};
use essaim_contract::{Capability, Command, Message};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::errors::{TestNode, config};
use crate::support::{Api, Redis, Scratch, eventually, free_port};

/// Shorter than the time for which a handler must block its thread before its partition goes elsewhere.
const LEASE_MS: u64 = 1_000;
/// More than one for each partition, so that each node has some.
const MESSAGES: usize = 40;
const PARTITIONS: u32 = 4;

pub struct Mason;
impl Capability for Mason {
    const NAME: &'static str = "mason";
}

/// The first time that 0 is laid, its handler blocks its thread.
#[derive(Serialize, Deserialize)]
pub struct Lay(pub usize);
impl Message for Lay {
    type To = Mason;
    const NAME: &'static str = "lay";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(self.0.to_string().into())
    }
}
impl Command for Lay {}

/// What the handlers of all nodes do.
#[derive(Clone, Default)]
pub struct Site(Arc<(Mutex<Laid>, Condvar)>);

#[derive(Default)]
pub struct Laid {
    /// By node, in order.
    by: Vec<(String, usize)>,
    blocks: Option<String>,
    unblocked: bool,
}

impl Site {
    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.0.0.lock()
    }

    fn lay(&self, node: &str, number: usize) {
        let mut laid = self.laid();
        if number == 0 && laid.blocks.is_none() {
            laid.blocks = Some(node.into());
            self.0.1.wait_while(&mut laid, |laid| !laid.unblocked);
        }
        laid.by.push((node.into(), number));
    }

    fn unblock(&self) {
        self.laid().unblocked = true;
        self.0.1.notify_all();
    }

    fn is_laid(&self, number: usize) -> bool {
        self.laid().by.iter().any(|(_, laid)| *laid == number)
    }
}

pub struct MasonActor(Site, String);
impl Actor for MasonActor {
    type Capability = Mason;
    type Settings = BTreeMap<String, String>;
    type Shared = Site;

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Site, StartError> {
        start.provided::<Site>().map(|s| (*s).clone()).ok_or_else(|| StartError::new("the test provides it"))
    }
    async fn start(site: &Site, start: &mut Start) -> Result<Self, StartError> {
        Ok(Self(site.clone(), start.node().to_string()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Lay>();
    }
}
impl Apply<Lay> for MasonActor {
    async fn apply(&mut self, Lay(number): Lay, _: &mut Cx) -> Result<(), Fault<String>> {
        self.0.lay(&self.1, number);
        Ok(())
    }
}

/// Two hosts with so many threads for handlers each, and a handler that blocks one of them.
struct Stage {
    site: Site,
    nodes: Vec<TestNode>,
    admins: BTreeMap<&'static str, Api>,
    blocked: &'static str,
    other: &'static str,
    runtime: Runtime,
    _data: Scratch,
    _redis: Redis,
}

impl Stage {
    fn with_threads(arbiters: usize) -> Self {
        let (redis, data, site) = (Redis::start(), Scratch::new("blocked"), Site::default());
        let mut admins = BTreeMap::new();
        let mut start = |name: &'static str| {
            let (mut config, port) = (config(name, Some(&redis.url())), free_port());
            let settings = &mut config.settings;
            (settings.node.arbiters, settings.node.data_dir) = (arbiters, data.path().to_path_buf());
            (settings.node.admin_listen, settings.node.watchdog_ms) = (format!("127.0.0.1:{port}"), 400);
            (settings.members.heartbeat_ms, settings.members.silent_ms) = (100, LEASE_MS / 2);
            (settings.members.lease_ms, settings.durable.partitions) = (LEASE_MS, PARTITIONS);
            (settings.durable.backoff_first_ms, settings.durable.backoff_most_ms) = (20, 100);
            admins.insert(name, Api::at(port));
            let roster = Roster::new().host::<MasonActor>().provide(site.clone());
            TestNode::try_start(roster, &["mason"], config).expect("the node starts")
        };
        let nodes = vec![start("one"), start("two")];
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let (blocked, other) = ("", "");
        let mut stage = Self { site, nodes, admins, blocked, other, runtime, _data: data, _redis: redis };
        stage.each_has_partitions();
        stage.send(0);
        let blocks = eventually("the handler that blocks", || stage.site.laid().blocks.clone());
        (stage.blocked, stage.other) = if blocks == "one" { ("one", "two") } else { ("two", "one") };
        stage
    }

    fn send(&self, number: usize) {
        self.runtime.block_on(self.nodes[0].client().send(Lay(number))).expect("it is stored");
    }

    fn status(&self, node: &str) -> Value {
        self.admins[node].get("/status").is(200).body
    }

    fn partitions(&self, node: &str) -> usize {
        let status = self.status(node);
        status["capabilities"]["mason"]["durable"]["partitions"].as_array().map_or(0, Vec::len)
    }

    fn each_has_partitions(&self) {
        let shared = || ["one", "two"].iter().all(|node| self.partitions(node) == PARTITIONS as usize / 2);
        eventually("the partitions to be shared", || shared().then_some(()));
    }

    /// Asserts that the node whose handler blocks is a member as before, and answers its operators.
    fn blocked_node_is_well(&self) {
        let epoch = self.status(self.blocked)["epoch"].clone();
        let others = self.status(self.other)["members"].clone();
        let member = others.as_array().and_then(|all| all.iter().find(|m| m["node"] == self.blocked));
        let member = member.unwrap_or_else(|| panic!("`{}` is no member any more: {others}", self.blocked));
        let heard_ms = member["heard_ms_ago"].as_u64().expect("it is a number");
        assert!(member["epoch"] == epoch && heard_ms < LEASE_MS, "{member}");
        self.admins[self.blocked].get("/readyz").is(200);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // However a test ends: its nodes have threads to join.
        self.site.unblock();
    }
}

#[test]
fn a_handler_that_blocks_the_last_thread_costs_its_node_no_lease_and_its_partitions_go_to_another_host() {
    let stage = Stage::with_threads(1);
    eventually("what the handler holds up to be applied elsewhere", || stage.site.is_laid(0).then_some(()));
    let moved = || stage.partitions(stage.other) == PARTITIONS as usize;
    eventually("all partitions to be the other host's", || moved().then_some(()));
    stage.blocked_node_is_well();
    (1..MESSAGES).for_each(|number| stage.send(number));
    let all = || (1..MESSAGES).all(|number| stage.site.is_laid(number));
    eventually("all to be applied", || all().then_some(()));
    stage.blocked_node_is_well();
    assert!(stage.site.laid().by.iter().all(|(node, _)| node == stage.other));
    stage.site.unblock();
    stage.each_has_partitions();
}

#[test]
fn a_node_with_a_thread_to_spare_keeps_its_partitions_and_goes_on() {
    let stage = Stage::with_threads(2);
    (1..MESSAGES).for_each(|number| stage.send(number));
    let all = || (0..MESSAGES).all(|number| stage.site.is_laid(number));
    eventually("all to be applied, what the handler holds up among them", || all().then_some(()));
    assert!(stage.site.laid().by.iter().any(|(node, _)| node == stage.blocked), "it works on what it owns");
    assert_eq!(stage.partitions(stage.blocked), PARTITIONS as usize / 2);
    stage.blocked_node_is_well();
}
