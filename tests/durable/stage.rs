//! The probes in one node, or in two with a real Redis between them, and `essaim` asking one of them.

use std::process::Command as Program;
use std::time::Duration;

use essaim::api::FindRecords;
use essaim::config::{AfterDead, BridgeConfig, Config, Settings};
use essaim::trace::Filter;
use essaim::{Env, Roster, SendOptions};
use essaim_contract::{Capability, Command, MessageId};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::kiosk::{Doings, KioskActor, PostActor, Press, PressActor};
use super::probe::{AlbumActor, BellActor, ClockActor, HoardActor, Probe, ShopActor};
use crate::errors::{TestNode, config};
use crate::support::{Api, Process, Redis, Scratch, essaim, eventually, free_port};

/// Nodes that host the probes. They end with the value.
pub struct Stage {
    /// The node that is asked comes first, and the shop's last.
    nodes: Vec<TestNode>,
    /// The admin listener of the node that is asked.
    url: String,
    data: Scratch,
    runtime: Runtime,
    redis: Option<Redis>,
}

/// Output and exit code of a command.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Stage {
    /// All in one node.
    pub fn embedded(probe: &Probe) -> Self {
        Self::start(probe, &[("all", &["shop", "bell"])], None)
    }

    /// The shop in a node of its own; the other one is asked.
    pub fn over_redis(probe: &Probe) -> Self {
        Self::start(probe, &[("near", &["bell"]), ("far", &["shop"])], Some(Redis::start()))
    }

    /// As [`Stage::over_redis`], with a small limit on the size of messages between nodes.
    pub fn terse(probe: &Probe) -> Self {
        let terse = |settings: &mut Settings| settings.wire.max_message_bytes = 32 << 10;
        let nodes: [(_, &[_]); 2] = [("near", &["bell"]), ("far", &["shop"])];
        Self::start_with(probe, &nodes, Some(Redis::start()), Scratch::new("durable"), terse)
    }

    /// As [`Stage::embedded`], where a key waits until its dead letter is replayed or dropped.
    pub fn holding(probe: &Probe) -> Self {
        let hold = |settings: &mut Settings| settings.durable.after_dead = AfterDead::Hold;
        Self::start_with(probe, &[("all", &["shop", "bell"])], None, Scratch::new("durable"), hold)
    }

    /// The shop, and a subscriber with little room for its events.
    pub fn hoarding(probe: &Probe) -> Self {
        let narrow = |settings: &mut Settings| settings.durable.partition_messages = 2;
        Self::start_with(probe, &[("all", &["shop", "hoard"])], None, Scratch::new("durable"), narrow)
    }

    /// A subscriber to the shop's retained events, over Redis.
    pub fn collecting(probe: &Probe) -> Self {
        Self::start(probe, &[("all", &["shop", "album"])], Some(Redis::start()))
    }

    /// The shop alone, with data that is there already.
    pub fn shop_alone(probe: &Probe, data: Scratch) -> Self {
        Self::start_with(probe, &[("all", &["shop"])], None, data, |_| {})
    }

    /// The clock alone, with data that may be there already.
    pub fn clock(probe: &Probe, data: Option<Scratch>) -> Self {
        let data = data.unwrap_or_else(|| Scratch::new("durable"));
        Self::start_with(probe, &[("clock", &["clock"])], None, data, |_| {})
    }

    /// These in one node, with or without a bridge, with data that may be there already.
    pub fn on(probe: &Probe, hosts: &'static [&'static str], redis: Option<Redis>, data: Option<Scratch>) -> Self {
        let data = data.unwrap_or_else(|| Scratch::new("durable"));
        Self::start_with(probe, &[("all", hosts)], redis, data, |_| {})
    }

    /// The shop and the bell in one node, whose bridge is configured like this, with data that may be there already.
    pub fn bridged(probe: &Probe, redis: Redis, data: Option<Scratch>, bridge: impl Fn(&mut BridgeConfig)) -> Self {
        let data = data.unwrap_or_else(|| Scratch::new("durable"));
        let change = |settings: &mut Settings| bridge(&mut settings.bridge);
        Self::start_with(probe, &[("all", &["shop", "bell"])], Some(redis), data, change)
    }

    /// The shop in a node of its own if there is a Redis, where the clocks of nodes are hardly apart and nodes may have a secret.
    pub fn with_good_clocks(probe: &Probe, redis: Option<Redis>, apart_ms: u64, secret: &str) -> Self {
        let nodes: &[(_, &'static [_])] = match redis {
            Some(_) => &[("near", &["bell"]), ("far", &["shop"])],
            None => &[("all", &["shop", "bell"])],
        };
        let change = |settings: &mut Settings| {
            settings.durable.clock_skew_ms = apart_ms;
            settings.bridge.secret = secret.into();
        };
        Self::start_with(probe, nodes, redis, Scratch::new("durable"), change)
    }

    fn start(probe: &Probe, nodes: &[(&str, &'static [&'static str])], redis: Option<Redis>) -> Self {
        Self::start_with(probe, nodes, redis, Scratch::new("durable"), |_| {})
    }

    fn start_with(
        probe: &Probe,
        nodes: &[(&str, &'static [&'static str])],
        redis: Option<Redis>,
        data: Scratch,
        change: impl Fn(&mut Settings),
    ) -> Self {
        Self::start_hosting(probe, &Doings::default(), nodes, redis, data, change)
    }

    /// Those whose messages die of what is in them.
    pub fn mending(
        probe: &Probe,
        doings: &Doings,
        nodes: &[(&str, &'static [&'static str])],
        redis: Option<Redis>,
        change: impl Fn(&mut Settings),
    ) -> Self {
        Self::start_hosting(probe, doings, nodes, redis, Scratch::new("durable"), change)
    }

    fn start_hosting(
        probe: &Probe,
        doings: &Doings,
        nodes: &[(&str, &'static [&'static str])],
        redis: Option<Redis>,
        data: Scratch,
        change: impl Fn(&mut Settings),
    ) -> Self {
        let mut urls = Vec::new();
        let mut start = |(name, hosts): &(&str, &'static [&'static str])| {
            let mut config: Config = config(name, redis.as_ref().map(Redis::url).as_deref());
            let (settings, port) = (&mut config.settings, free_port());
            settings.node.admin_listen = format!("127.0.0.1:{port}");
            settings.node.data_dir = data.path().to_path_buf();
            (settings.durable.partitions, settings.durable.attempts) = (2, 2);
            (settings.durable.backoff_first_ms, settings.durable.backoff_most_ms) = (1, 10);
            change(settings);
            urls.push(format!("127.0.0.1:{port}"));
            let roster = Roster::new()
                .host::<ShopActor>()
                .host::<BellActor>()
                .host::<HoardActor>()
                .host::<ClockActor>()
                .host::<AlbumActor>()
                .host::<KioskActor>()
                .host::<PressActor>()
                .host::<PostActor>();
            let roster = roster.provide(probe.clone()).provide(doings.clone());
            TestNode::try_start(roster, hosts, config).expect("the node starts")
        };
        let started = nodes.iter().map(&mut start).collect();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let url = urls.swap_remove(0);
        let stage = Self { nodes: started, url, data, runtime, redis };
        // The press has no durable messages, of which the ledger could tell.
        let durable = |host: &&str| *host != Press::NAME;
        let hosted: Vec<&str> = nodes.iter().flat_map(|(_, hosts)| hosts.iter().copied()).filter(durable).collect();
        eventually("every host to answer", || stage.is_answered(&hosted).then_some(()));
        stage
    }

    fn is_answered(&self, hosted: &[&str]) -> bool {
        let ledger = self.ask("/durable/ledger", serde_json::json!({}));
        let lines = ledger["lines"].as_array().expect("there is a list");
        hosted.iter().all(|host| lines.iter().any(|line| line["capability"] == **host))
    }

    /// Sends a command from the node that is asked.
    pub fn send<M: Command>(&self, message: M) -> String {
        self.runtime.block_on(self.nodes[0].client().send(message)).expect("it is stored").to_string()
    }

    /// As [`Stage::send`], to be handled so much later.
    pub fn send_later<M: Command>(&self, message: M, after: Duration) -> String {
        let sent = self.nodes[0].client().send_with(message, SendOptions::new().after(after));
        self.runtime.block_on(sent).expect("it is stored").to_string()
    }

    /// As [`Stage::send`], again and again until it is stored, under one id.
    pub fn send_at_last<M: Command + Clone>(&self, message: M) -> String {
        let id = MessageId::parse(Env::system().id().to_string()).expect("it is a UUID of version 7");
        let options = || SendOptions::new().id(id.clone());
        let send = || self.runtime.block_on(self.nodes[0].client().send_with(message.clone(), options())).ok();
        eventually("a message to be stored", send).to_string()
    }

    /// Runs `essaim` with these arguments against the node that is asked.
    pub fn essaim(&self, arguments: &[&str]) -> Said {
        let mut command = essaim();
        said(command.args(arguments).args(["--url", &self.url]))
    }

    /// As [`Stage::essaim`], of a command that succeeds; its JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.essaim(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, Some(0), "{}", said.text);
        serde_json::from_str(&said.text).unwrap_or_else(|e| panic!("{e}: {}", said.text))
    }

    /// Asks the node as `essaim` does.
    pub fn ask(&self, path: &str, question: Value) -> Value {
        self.admin().post(path, question).is(200).body
    }

    /// How many records of messages fulfil a condition, in all nodes.
    pub fn records(&self, condition: &str) -> usize {
        let filter = Filter::of([condition]).expect("it is a condition");
        let question = FindRecords { filter, ..FindRecords::default() };
        let asked = essaim::operators::ask(self.nodes[0].client(), question);
        self.runtime.block_on(asked).expect("it is answered").records.len()
    }

    /// A client of the first node's admin listener.
    pub fn admin(&self) -> Api {
        let (_, port) = self.url.rsplit_once(':').expect("it has a port");
        Api::at(port.parse().expect("it is a number"))
    }

    /// Waits until so many dead letters are listed; all of them.
    #[track_caller]
    pub fn dead(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} dead letters"), || {
            let letters = self.json(&["dead", "list"])["letters"].as_array().cloned().unwrap_or_default();
            (letters.len() == count).then_some(letters)
        })
    }

    /// Waits until nothing is on its way and all of it is accounted for.
    #[track_caller]
    pub fn at_rest(&self) -> Value {
        eventually("the ledger to be at rest", || {
            let ledger = self.json(&["ledger"]);
            let lines = ledger["lines"].as_array()?;
            let rests = |line: &Value| line["waiting"] == 0 && line["parked"] == 0;
            lines.iter().all(rests).then(|| ledger.clone())
        })
    }

    /// The Redis between the nodes.
    #[track_caller]
    pub fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("the nodes are bridged")
    }

    /// Restarts the Redis between the nodes; it is empty then.
    pub fn restart_redis(&mut self) {
        self.redis.as_mut().expect("the nodes are bridged").restart();
    }

    /// Changes a capability's database behind the node's back.
    pub fn sql(&self, capability: &str, sql: &str) -> String {
        let mut program = Program::new("sqlite3");
        program.arg("-cmd").arg(".timeout 60000").arg(self.data.join(&format!("{capability}.sqlite3"))).arg(sql);
        let output = program.output().expect("there is sqlite3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What was changed by the doing of whoever asked, and how that ended, as the audit has it.
    pub fn acts(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.data.path()) else { return Vec::new() };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let audits = names.filter_map(|name| name.strip_suffix(".sqlite3").map(String::from));
        let read = |audit: String| self.sql(&audit, "SELECT act || ': ' || ended FROM acts ORDER BY id");
        let acts: String = audits.filter(|name| name.ends_with(".audit")).map(read).collect();
        acts.lines().map(Into::into).collect()
    }

    /// Ends the node that was started last; its capabilities are hosted nowhere then.
    pub fn leave(&mut self) {
        drop(self.nodes.pop());
    }

    /// Ends the nodes; the data stays.
    pub fn end(self) -> Scratch {
        self.end_beside_redis().0
    }

    /// As [`Stage::end`]; the Redis between the nodes goes on.
    pub fn end_beside_redis(self) -> (Scratch, Option<Redis>) {
        let Self { nodes, data, redis, .. } = self;
        drop(nodes);
        // The threads of an admin listener let go of their node a moment after it has ended.
        let mut settings = Settings::default();
        settings.node.data_dir = data.path().to_path_buf();
        eventually("the log to be let go of", || essaim::store::held("log", &settings).is_none().then_some(()));
        (data, redis)
    }
}

/// Runs a command to its end; nobody is at its terminal.
pub fn said(command: &mut Program) -> Said {
    let mut process = Process::start("essaim", command);
    let code = process.exit_code();
    Said { code, text: process.lines().join("\n") }
}
