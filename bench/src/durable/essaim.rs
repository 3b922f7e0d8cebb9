//! Two nodes, or one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use essaim::config::Config;
use essaim::lock::Mutex;
use essaim::store::Schema;
use essaim::{Actor, Apply, Client, Cx, Env, Fault, Handle, Handles, Node, NodeError, Roster, Start, StartError};
use essaim_contract::{Ask, Capability, Command, Message, Never};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{MESSAGES, TIMED, WARM_UP, at_percentile};
use crate::Error;
use crate::records;
use crate::server::{Scratch, redis_url};

/// With the rest of a record about as many bytes as a message of the bare client.
const TEXT: &str = "0123456789abcdef0123456789abcdef";
/// Messages that are being sent at a time.
const IN_FLIGHT: u64 = 1_024;

struct Tally;
impl Capability for Tally {
    const NAME: &'static str = "tally";
}

struct Ledger;
impl Capability for Ledger {
    const NAME: &'static str = "ledger";
}

/// Declares a command and the ask for how many of it were handled.
macro_rules! messages {
    ($command:ident, $handled:ident, $to:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $command {
            text: String,
        }
        impl Message for $command {
            type To = $to;
            const NAME: &'static str = "count";
            const VERSION: u16 = 1;
        }
        impl Command for $command {}

        #[derive(Serialize, Deserialize)]
        struct $handled;
        impl Message for $handled {
            type To = $to;
            const NAME: &'static str = "handled";
            const VERSION: u16 = 1;
        }
        impl Ask for $handled {
            type Reply = u64;
            type Error = Never;
        }
    };
}
messages!(Count, Handled, Tally);
messages!(Enter, Entered, Ledger);

/// Notified of each message that is handled, where messages are timed.
#[derive(Clone)]
struct Told(Arc<Mutex<Option<mpsc::UnboundedSender<()>>>>);

/// Handles a command by doing nothing.
struct TallyActor(Arc<Shared>);

struct Shared {
    handled: AtomicU64,
    told: Option<Arc<Told>>,
}

impl Actor for TallyActor {
    type Capability = Tally;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Arc<Shared>;

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Arc<Shared>, StartError> {
        Ok(Arc::new(Shared { handled: AtomicU64::new(0), told: start.provided::<Told>() }))
    }
    async fn start(shared: &Arc<Shared>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Count>().ask::<Handled>();
    }
}
impl Apply<Count> for TallyActor {
    async fn apply(&mut self, _: Count, _: &mut Cx) -> Result<(), Fault<String>> {
        self.0.handled.fetch_add(1, Ordering::Relaxed);
        if let Some(told) = &self.0.told {
            let _ = told.0.lock().as_ref().map(|told| told.send(()));
        }
        Ok(())
    }
}
impl Handle<Handled> for TallyActor {
    async fn handle(&mut self, _: Handled, _: &mut Cx) -> Result<u64, Fault> {
        Ok(self.0.handled.load(Ordering::Relaxed))
    }
}

/// Handles a command by inserting a row.
struct LedgerActor(Arc<AtomicU64>);

struct Rows;
impl MigrationName for Rows {
    fn name(&self) -> &str {
        "rows"
    }
}
#[sea_orm_migration::async_trait::async_trait]
impl MigrationTrait for Rows {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE entries (id TEXT PRIMARY KEY, text TEXT NOT NULL)";
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}

impl Actor for LedgerActor {
    type Capability = Ledger;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Arc<AtomicU64>;

    fn schema() -> Option<Schema> {
        Some(Schema::new(vec![Box::new(Rows)]))
    }
    async fn share(_: Self::Settings, _: &mut Start) -> Result<Arc<AtomicU64>, StartError> {
        Ok(Arc::default())
    }
    async fn start(shared: &Arc<AtomicU64>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.command::<Enter>().ask::<Entered>();
    }
}
impl Apply<Enter> for LedgerActor {
    async fn apply(&mut self, m: Enter, cx: &mut Cx) -> Result<(), Fault<String>> {
        let id = cx.new_id().to_string();
        let tx = cx.begin().await?;
        let sql = "INSERT INTO entries (id, text) VALUES ($1, $2)";
        let values = [id.into(), m.text.into()];
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        tx.commit().await?;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
impl Handle<Entered> for LedgerActor {
    async fn handle(&mut self, _: Entered, _: &mut Cx) -> Result<u64, Fault> {
        Ok(self.0.load(Ordering::Relaxed))
    }
}

async fn node(
    name: &str,
    hosts: &[&str],
    url: &str,
    data: &Path,
    database: &str,
    told: Option<Told>,
) -> Result<Node, NodeError> {
    // As the binary logs without any configuration.
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    let mut config = Config::default();
    let settings = &mut config.settings;
    settings.trace = records::config();
    (settings.node.name, settings.node.arbiters, settings.bridge.url) = (name.into(), 1, url.into());
    settings.node.data_dir = data.join(name);
    if database.starts_with("postgres:") {
        settings.capabilities.entry("ledger".into()).or_default().database = database.into();
    }
    let mut roster = Roster::new().host::<TallyActor>().host::<LedgerActor>();
    if let Some(told) = told {
        roster = roster.provide(told);
    }
    let node = Node::start(&roster, hosts, config, Env::system()).await?;
    node.up().await;
    Ok(node)
}

/// The process that handles.
pub fn work(database: &str, scratch: &Path) -> Result<(), Error> {
    let host = if database == "none" { "tally" } else { "ledger" };
    essaim::run(async {
        let _node = node("worker", &[host], &redis_url()?, scratch, database, None).await?;
        std::future::pending().await
    })
}

/// The process that sends.
pub fn send(url: &str, scratch: &Scratch, messages: u64) -> Result<f64, Error> {
    let transactional = messages != MESSAGES;
    essaim::run(async {
        let node = node("sender", &[], url, scratch.path(), "", None).await?;
        let client = node.client();
        let warm_up = WARM_UP.min(messages / 4);
        let figure = match transactional {
            false => {
                while !client.reaches("tally") {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let (count, handled) = (count, async || client.ask(Handled).await.unwrap_or(0));
                throughput(&client, warm_up, messages, count, handled).await?
            }
            true => {
                while !client.reaches("ledger") {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let (enter, handled) = (enter, async || client.ask(Entered).await.unwrap_or(0));
                throughput(&client, warm_up, messages, enter, handled).await?
            }
        };
        node.drain().await;
        Ok(figure)
    })
}

fn count() -> Count {
    Count { text: TEXT.into() }
}

fn enter() -> Enter {
    Enter { text: TEXT.into() }
}

/// One node with the embedded log, that sends to itself.
pub fn embedded(scratch: &Scratch) -> Result<f64, Error> {
    essaim::run(async {
        let node = node("main", &["tally"], "", scratch.path(), "", None).await?;
        let client = node.client();
        let handled = async || client.ask(Handled).await.unwrap_or(0);
        let figure = throughput(&client, WARM_UP, MESSAGES, count, handled).await?;
        node.drain().await;
        Ok(figure)
    })
}

/// Thousands of messages a second, from the first that is sent to the last that is handled.
async fn throughput<M: Command>(
    client: &Client,
    warm_up: u64,
    messages: u64,
    message: fn() -> M,
    handled: impl AsyncFn() -> u64,
) -> Result<f64, Error> {
    let mut until = 0;
    let mut round = async |messages: u64| -> Result<f64, Error> {
        let began = Instant::now();
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|task| {
                let client = client.clone();
                let own = messages / IN_FLIGHT + u64::from(task < messages % IN_FLIGHT);
                tokio::task::spawn_local(async move {
                    for _ in 0..own {
                        while client.send(message()).await.is_err() {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        until += messages;
        while handled().await < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(messages as f64 / began.elapsed().as_secs_f64() / 1e3)
    };
    let began = Instant::now();
    round(warm_up).await?;
    while began.elapsed() < records::settling() {
        round(warm_up).await?;
    }
    round(messages).await
}

/// One message at a time, from before it is sent until it is handled, over Redis in one node.
pub fn latency(url: &str, scratch: &Scratch, percentile: usize) -> Result<f64, Error> {
    essaim::run(async {
        // Bounded by one message at a time.
        let (tell, mut told) = mpsc::unbounded_channel();
        let teller = Told(Arc::new(Mutex::new(Some(tell))));
        let node = node("main", &["tally"], url, scratch.path(), "", Some(teller)).await?;
        let client = node.client();
        let mut times = Vec::with_capacity(TIMED);
        for _ in 0..TIMED {
            let began = Instant::now();
            client.send(count()).await?;
            told.recv().await;
            times.push(began.elapsed().as_nanos() as f64 / 1e3);
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        node.drain().await;
        // The first tenth warms up.
        Ok(at_percentile(times.split_off(TIMED / 10), percentile))
    })
}
