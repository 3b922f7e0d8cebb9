//! The connection that carries commands.
//!
//! What was under way on a connection that is lost is `Unanswered`; while there is none, nothing is sent, and that is
//! said as well. The crate's own reconnecting manager would hide the difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, PushInfo, PushKind, RedisError, Script, Value};
use tokio::sync::{Notify, watch};

use super::super::keep::{self, Kept, Watched};
use super::super::{Cluster, Endpoint};
use super::scripts::call;
use super::scripts::telling::ARRIVE;
use crate::Env;
use crate::backoff::Backoff;
use crate::bridge::log::LogError;
use crate::outages::{Dependency, Outages};

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// It was surely not sent.
    NotSent(String),
    /// The server answered with an error.
    Refused {
        /// Such as `OOM`.
        code: String,
        /// All that it said.
        said: String,
    },
    /// It was sent, and whether it was done is not known.
    Unanswered(String),
}

impl Failed {
    pub fn of(error: &RedisError) -> Self {
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
                let detail = error.detail().unwrap_or_default();
                Self::Refused { code: code.into(), said: format!("{code} {detail}") }
            }
            _ => Self::Unanswered(error.to_string()),
        }
    }

    /// What happened and, where it is known, what to do.
    pub fn words(&self) -> String {
        match self {
            Self::NotSent(words) => words.clone(),
            Self::Refused { said, .. } => advice(said),
            Self::Unanswered(error) => format!("Redis did not answer ({error})"),
        }
    }
}

impl From<Failed> for LogError {
    fn from(failed: Failed) -> Self {
        Self(failed.words())
    }
}

/// What to do when Redis refuses with these words.
pub fn advice(said: &str) -> String {
    let todo = match said.split_whitespace().next().unwrap_or_default() {
        "OOM" => "its memory is full: raise maxmemory, or wait until messages are handled",
        "MISCONF" => "it cannot write to its disk: see its log, and make room",
        "READONLY" => "it is a replica: bridge.url must name the primary",
        "NOREPLICAS" => "too few replicas are connected for its min-replicas-to-write",
        "LOADING" => "it is still loading its data and will answer soon",
        "MASTERDOWN" => "it is a replica without its primary: bridge.url must name the primary",
        "BUSY" => "somebody's script has been running for too long: see SCRIPT KILL",
        "NOPERM" => "the user of bridge.url may not do this: see its ACL",
        "NOAUTH" | "WRONGPASS" => "bridge.url has no valid user and password",
        "CROSSSLOT" | "MOVED" | "CLUSTERDOWN" => "the log needs a single server, not a cluster",
        "WRONGTYPE" => "somebody else uses the same keys: change bridge.namespace",
        "ERR" if said.contains("exhausted the last possible ID") => {
            "an entry that was not written by a node has used up the ids of a partition's stream: stop what writes there, and \
             delete the stream once nothing waits in it"
        }
        _ => return format!("Redis refused: {said}"),
    };
    format!("Redis refused, {todo} ({said})")
}

/// The connection for commands, as long as this lives.
pub struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Arc<Endpoint>,
    cluster: Arc<Cluster>,
    registry: String,
    backoff: Backoff,
    env: Env,
    /// The connection that is in use, if one is.
    current: watch::Sender<Option<Connected>>,
    connections: AtomicU64,
    /// Wakes the loop that keeps the connection.
    broken: Notify,
    closed: AtomicBool,
    /// How long nodes tell what a server has forgotten.
    grace: Duration,
    outages: Outages,
}

#[derive(Clone)]
struct Connected {
    number: u64,
    connection: MultiplexedConnection,
    run: Arc<str>,
}

impl Link {
    pub async fn connect(
        endpoint: Arc<Endpoint>,
        cluster: Arc<Cluster>,
        (registry, grace): (String, Duration),
        backoff: Backoff,
        env: Env,
        outages: Outages,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            endpoint,
            cluster,
            registry,
            backoff,
            env,
            current: watch::Sender::new(None),
            connections: AtomicU64::new(0),
            broken: Notify::new(),
            closed: AtomicBool::new(false),
            grace,
            outages,
        });
        let link = Self { shared };
        link.shared.connect().await.map_err(|e| Failed::of(&e).words())?;
        Ok(link)
    }

    /// What keeps it connected as long as it lives.
    pub fn keeper(&self) -> impl FnMut() -> BoxFuture<'static, ()> + Send + 'static {
        let shared = self.shared.clone();
        move || {
            let shared = shared.clone();
            async move { keep::connected(&shared).await }.boxed()
        }
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&self, command: &Cmd) -> Result<Value, Failed> {
        self.ask_on(&mut self.connected()?, command).await
    }

    /// Runs a script, which the server may have forgotten.
    pub async fn run(&self, script: &Script, call: &Cmd) -> Result<Value, Failed> {
        self.run_on(&mut self.connected()?, script, call).await
    }

    /// As [`Link::run`], for a script that is told which server process runs it: the call is made for that.
    pub async fn run_knowing(&self, script: &Script, call: impl FnOnce(&str) -> Cmd) -> Result<Value, Failed> {
        let mut connected = self.connected()?;
        let call = call(&connected.run);
        self.run_on(&mut connected, script, &call).await
    }

    async fn run_on(&self, connected: &mut Connected, script: &Script, call: &Cmd) -> Result<Value, Failed> {
        match self.ask_on(connected, call).await {
            Err(Failed::Refused { code, .. }) if code == "NOSCRIPT" => {}
            answer => return answer,
        }
        // Without its script a call has done nothing, whatever becomes of the loading.
        let loaded = script.load_async(&mut connected.connection).await;
        loaded.map_err(|error| {
            let failed = Failed::of(&error);
            if matches!(failed, Failed::Unanswered(_)) {
                self.shared.lost(connected.number);
            }
            Failed::NotSent(failed.words())
        })?;
        self.ask_on(connected, call).await
    }

    async fn ask_on(&self, connected: &mut Connected, command: &Cmd) -> Result<Value, Failed> {
        command.query_async(&mut connected.connection).await.map_err(|error| {
            let failed = Failed::of(&error);
            if matches!(failed, Failed::Unanswered(_)) {
                self.shared.lost(connected.number);
            }
            failed
        })
    }

    /// Waits until there is a connection, for so long; whether there is.
    pub async fn wait(&self, patience: Duration) -> bool {
        let mut current = self.shared.current.subscribe();
        let connected = tokio::time::timeout(patience, current.wait_for(Option::is_some)).await;
        matches!(connected, Ok(Ok(_)))
    }

    /// Where the server is, as it may be shown.
    pub fn url(&self) -> &str {
        self.shared.endpoint.url()
    }

    fn connected(&self) -> Result<Connected, Failed> {
        let connected = self.shared.current.borrow().clone();
        connected.ok_or_else(|| {
            Failed::NotSent(format!("there is no connection to Redis at {}", self.shared.endpoint.url()))
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.current.send_replace(None);
        self.shared.broken.notify_one();
    }
}

impl Shared {
    /// Notes, once, that the connection of this number is gone.
    fn lost(&self, number: u64) {
        let gone = self.current.send_if_modified(|current| current.take_if(|c| c.number == number).is_some());
        if gone {
            self.broken.notify_one();
        }
    }

    async fn connect(self: &Arc<Self>) -> Result<(), RedisError> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::downgrade(self);
        let config = self.endpoint.config().set_push_sender(move |push: PushInfo| {
            let Some(shared) = shared.upgrade() else { return Err(redis::aio::SendError) };
            if push.kind == PushKind::Disconnection {
                shared.lost(number);
            }
            Ok(())
        });
        let mut connection = self.endpoint.connect(&config).await?;
        // A server that is loading its data refuses this, so nobody meets it before it is ready. What belongs to another
        // cluster is neither read nor written.
        let standing = self.cluster.confirm(&mut connection, &self.env).await?;
        if let Some(reason) = self.cluster.end(&standing) {
            return Err(RedisError::from((ErrorKind::Client, "another cluster is there", reason)));
        }
        let run = run(&mut connection).await?;
        self.arrive(&mut connection, &run).await?;
        self.current.send_replace(Some(Connected { number, connection, run: run.into() }));
        if self.closed.load(Ordering::Acquire) {
            self.current.send_replace(None);
        }
        Ok(())
    }

    /// Has nodes tell a server process that is another than before what they know.
    async fn arrive(&self, connection: &mut MultiplexedConnection, run: &str) -> Result<(), RedisError> {
        ARRIVE.load_async(connection).await?;
        let mut arrive = call(&ARRIVE, std::slice::from_ref(&self.registry));
        arrive.arg(run).arg(self.grace.as_micros() as u64).query_async::<Value>(connection).await.map(drop)
    }
}

impl Kept for Arc<Shared> {
    fn watched(&self) -> Watched<'_> {
        let Shared { endpoint, broken, closed, backoff, env, outages, .. } = &**self;
        let (url, dependency) = (endpoint.url(), Dependency::log(true));
        Watched { url, broken, closed, backoff: *backoff, dependency, outages, env }
    }

    fn is_connected(&self) -> bool {
        self.current.borrow().is_some()
    }

    async fn connect(&self) -> Result<(), RedisError> {
        Shared::connect(self).await
    }
}

/// Which process the server is; empty if the user of the URL may not know.
async fn run(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let info: Result<String, _> = redis::cmd("INFO").arg("server").query_async(connection).await;
    match info {
        Ok(info) => Ok(info.lines().find_map(|l| l.strip_prefix("run_id:")).unwrap_or_default().trim().into()),
        Err(error) if matches!(Failed::of(&error), Failed::Refused { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}
