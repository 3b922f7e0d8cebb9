//! For how long partitions stand still when one of their hosts is killed or leaves, or another one comes.
//!
//! Two hosts on one PostgreSQL share the partitions of a capability, and a command for each partition is sent all the
//! time. A handler that has committed says so in a datagram to the process that measures, which looks at its own clock
//! then: so no clocks of two processes are compared.

use std::borrow::Cow;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::{Duration, Instant};

use essaim::config::Config;
use essaim::lock::Mutex;
use essaim::store::Schema;
use essaim::{Actor, Apply, Client, Cx, Env, Fault, Handles, Node, NodeError, Roster, Start, StartError};
use essaim_contract::{Capability, Command, Message};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::Kept;
use crate::Error;
use crate::postgres::Postgres;
use crate::server::{REDIS, Scratch, Server, redis_url};

/// One key for each of the eight partitions: a partition is a hash modulo eight in which eight digits stay apart.
const KEYS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];
/// How often each partition gets a command.
const PERIOD: Duration = Duration::from_millis(10);
/// How long nothing else happens before a handover and after it.
const QUIET: Duration = Duration::from_millis(500);
/// The longest wait for hosts to share the partitions.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a host finds its database.
const DATABASE: &str = "ESSAIM_BENCH_DATABASE";
/// The hosts, as datagrams name them.
const FIRST: u8 = b'1';
const SECOND: u8 = b'2';

struct Baton;
impl Capability for Baton {
    const NAME: &'static str = "baton";
}

#[derive(Serialize, Deserialize)]
struct Pass {
    key: String,
}
impl Message for Pass {
    type To = Baton;
    const NAME: &'static str = "pass";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.key))
    }
}
impl Command for Pass {}

/// Socket on which a host reports what it has applied.
struct Line {
    host: u8,
    socket: UdpSocket,
}

/// Applies a command in a transaction and says so.
struct BatonActor(Option<Arc<Line>>);

impl Actor for BatonActor {
    type Capability = Baton;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Option<Arc<Line>>;

    fn schema() -> Option<Schema> {
        Some(Schema::new(Vec::new()))
    }
    async fn share(_: Self::Settings, start: &mut Start) -> Result<Self::Shared, StartError> {
        Ok(start.provided::<Line>())
    }
    async fn start(shared: &Self::Shared, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Pass>();
    }
}
impl Apply<Pass> for BatonActor {
    async fn apply(&mut self, m: Pass, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        tx.commit().await?;
        if let (Some(line), Some(key)) = (&self.0, m.key.bytes().next()) {
            let _ = line.socket.send(&[line.host, key]);
        }
        Ok(())
    }
}

async fn node(name: &str, hosts: &[&str], url: &str, data: &Path, line: Option<Line>) -> Result<Node, NodeError> {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    let mut config = Config::default();
    let settings = &mut config.settings;
    (settings.node.name, settings.node.arbiters, settings.bridge.url) = (name.into(), 1, url.into());
    settings.node.data_dir = data.join(name);
    settings.durable.partitions = KEYS.len() as u32;
    if let Ok(database) = std::env::var(DATABASE) {
        settings.capabilities.entry(Baton::NAME.into()).or_default().database = database;
    }
    let mut roster = Roster::new().host::<BatonActor>();
    if let Some(line) = line {
        roster = roster.provide(line);
    }
    let node = Node::start(&roster, hosts, config, Env::system()).await?;
    node.up().await;
    Ok(node)
}

/// The process of a host, until it is told to leave.
pub fn host(name: &str, port: &str, scratch: &Path) -> Result<(), Error> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port.parse()?))?;
    let host = name.bytes().next().ok_or("a host has a name")?;
    essaim::run(async {
        let mut told_to_leave = signal(SignalKind::terminate())?;
        let node = node(name, &[Baton::NAME], &redis_url()?, scratch, Some(Line { host, socket })).await?;
        told_to_leave.recv().await;
        node.drain().await;
        Ok(())
    })
}

/// The longest time in which a partition applied nothing, in milliseconds, when the second of two hosts is `killed` or has
/// `left`, or has `joined`.
pub fn run(what: &str, scratch: &Scratch) -> Result<f64, Error> {
    let (redis, postgres) = (Kept::start(scratch, "everysec")?, Postgres::start(scratch)?);
    let ear = Ear::listen()?;
    let start = |name: u8| {
        let mut program = Program::new(std::env::current_exe()?);
        program.args(["work", "handover", &char::from(name).to_string(), &ear.port.to_string()]).arg(scratch.path());
        Server::start(program.env(REDIS, redis.url()).env(DATABASE, postgres.url()))
    };
    let _first = start(FIRST)?;
    let both = [FIRST, SECOND];
    let (before, after): (&[u8], &[u8]) = if what == "joined" { (&both[..1], &both) } else { (&both, &both[..1]) };
    let mut second = (what != "joined").then(|| start(SECOND)).transpose()?;
    essaim::run(async {
        let node = node("sender", &[], &redis.url(), scratch.path(), None).await?;
        KEYS.iter().for_each(|key| drop(tokio::task::spawn_local(send(node.client(), key))));
        ear.hears_equally(before).await?;
        tokio::time::sleep(QUIET).await;
        let began = Instant::now();
        match (what, second.take()) {
            ("killed", Some(second)) => drop(second),
            ("left", Some(leaving)) => {
                leaving.terminate()?;
                second = Some(leaving);
            }
            ("joined", None) => second = Some(start(SECOND)?),
            _ => return Err(format!("no handover {what}").into()),
        }
        ear.hears_equally(after).await?;
        tokio::time::sleep(QUIET).await;
        let silence = ear.longest_silence(began);
        node.drain().await;
        drop(second);
        Ok(silence.as_secs_f64() * 1e3)
    })
}

/// Sends a command of that key again and again.
async fn send(client: Client, key: &'static str) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        // A command that is not stored is left out of the measurement.
        let _ = client.send(Pass { key: key.into() }).await;
    }
}

/// Collects the datagrams in which hosts report what they have applied.
struct Ear {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Clone, Copy)]
struct Heard {
    host: u8,
    key: u8,
    at: Instant,
}

impl Ear {
    /// Listens on a thread of its own until the process ends.
    fn listen() -> Result<Self, Error> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (port, heard) = (socket.local_addr()?.port(), Arc::<Mutex<Vec<Heard>>>::default());
        let ear = Self { port, heard: heard.clone() };
        std::thread::spawn(move || {
            let mut datagram = [0; 2];
            while socket.recv(&mut datagram).is_ok() {
                let [host, key] = datagram;
                heard.lock().push(Heard { host, key, at: Instant::now() });
            }
        });
        Ok(ear)
    }

    /// Reports of one partition, in order.
    fn of(&self, key: &str) -> Vec<Heard> {
        self.heard.lock().iter().filter(|heard| key.as_bytes() == [heard.key]).copied().collect()
    }

    /// Waits until each of these hosts was the last to apply something in as many partitions as the others.
    async fn hears_equally(&self, hosts: &[u8]) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let last: Vec<u8> = KEYS.iter().filter_map(|key| Some(self.of(key).last()?.host)).collect();
            let share = |host: &u8| last.iter().filter(|last| *last == host).count();
            if hosts.iter().all(|host| share(host) == KEYS.len() / hosts.len()) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("the hosts {hosts:?} do not share the partitions: {last:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The longest time since then in which nothing was heard of some partition.
    fn longest_silence(&self, since: Instant) -> Duration {
        let longest = |key: &&str| {
            let times: Vec<Instant> = self.of(key).iter().map(|heard| heard.at).chain([Instant::now()]).collect();
            let silences = times.windows(2).filter(|pair| pair[1] > since).map(|pair| pair[1] - pair[0]);
            silences.max().unwrap_or_default()
        };
        KEYS.iter().map(longest).max().unwrap_or_default()
    }
}
