//! The connection for commands.
//!
//! A command on a connection that is lost is `Unanswered`; while there is no connection it is `NotSent`. The client library's own
//! reconnecting manager would hide the difference. A connection whose server says that it does not take writes is given up at
//! once: nothing may be read there either.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;
use essaim_protocol::wire::ClaimError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, RedisError, Script, Value};
use tokio::time::timeout;

use super::super::Cluster;
use super::super::command_error::CommandError;
use super::super::connection::{Connected, ConnectionKeeper, ConnectionUse};
use super::super::endpoint::{Endpoint, NoConnection, run_of};
use super::scripts::call;
use super::scripts::restore::ARRIVE;

/// The connection for commands, kept up for as long as this lives.
pub struct Link {
    shared: Arc<LinkShared>,
}

struct LinkShared {
    keeper: ConnectionKeeper,
    cluster: Arc<Cluster>,
    registry: String,
    env: Env,
    /// The duration of a restore.
    grace: Duration,
}

impl Link {
    pub async fn connect(
        endpoint: Arc<Endpoint>,
        settings: &Settings,
        cluster: Arc<Cluster>,
        (registry, grace): (String, Duration),
        (dependency, outages): (Dependency, &Outages),
        env: &Env,
    ) -> Result<Self, ClaimError> {
        let keeper = ConnectionKeeper::new(endpoint, settings, dependency, outages, env);
        let link = Self { shared: Arc::new(LinkShared { keeper, cluster, registry, env: env.clone(), grace }) };
        link.shared.keeper.begin(&link.shared).await?;
        Ok(link)
    }

    /// The task that keeps it connected for as long as it lives.
    pub fn keeper(&self) -> impl FnMut() -> BoxFuture<'static, ()> + Send + 'static {
        let shared = self.shared.clone();
        move || {
            let shared = shared.clone();
            async move { shared.keeper.keep(&shared).await }.boxed()
        }
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&self, command: &Cmd) -> Result<Value, CommandError> {
        self.ask_on(&mut self.connected()?, command).await
    }

    /// Runs a script, and loads it first if the server does not have it.
    pub async fn run(&self, script: &Script, call: &Cmd) -> Result<Value, CommandError> {
        self.run_on(&mut self.connected()?, script, call).await
    }

    /// As [`Link::run`], for a call that contains the `run_id` of the server process.
    pub async fn run_knowing(&self, script: &Script, call: impl FnOnce(&str) -> Cmd) -> Result<Value, CommandError> {
        let mut connected = self.connected()?;
        let call = call(&connected.run);
        self.run_on(&mut connected, script, &call).await
    }

    /// As [`Link::run`], on a connection that [`Link::connected`] has given.
    pub async fn run_on(&self, connected: &mut Connected, script: &Script, call: &Cmd) -> Result<Value, CommandError> {
        match self.ask_on(connected, call).await {
            Err(CommandError::Refused { code, .. }) if code == "NOSCRIPT" => {}
            answer => return answer,
        }
        // A call without its script has changed nothing, whether it can be loaded now or not.
        let loaded = script.load_async(&mut connected.connection).await;
        loaded.map_err(|error| {
            let failed = CommandError::of(&error);
            self.failed_on(connected.number, &failed);
            CommandError::NotSent(failed.message())
        })?;
        self.ask_on(connected, call).await
    }

    /// As [`Link::ask`], on a connection that [`Link::connected`] has given.
    pub async fn ask_on(&self, connected: &mut Connected, command: &Cmd) -> Result<Value, CommandError> {
        command.query_async(&mut connected.connection).await.map_err(|error| {
            let failed = CommandError::of(&error);
            self.failed_on(connected.number, &failed);
            failed
        })
    }

    /// Gives up the connection of this number if the error says that it is of no more use.
    pub fn failed_on(&self, number: u64, failed: &CommandError) {
        if matches!(failed, CommandError::Unanswered(_)) {
            self.shared.keeper.lost(number);
        } else if failed.is_wrong_server() {
            self.shared.keeper.lost_for(number, || failed.message());
        }
    }

    /// The number of the connection in use; 0 if there is none.
    pub fn number(&self) -> u64 {
        self.shared.keeper.current().map_or(0, |current| current.number)
    }

    /// Waits until the connection of this number is no longer in use.
    pub async fn has_left(&self, number: u64) {
        let mut current = self.shared.keeper.watch();
        let _ = current.wait_for(|current| current.as_ref().map_or(0, |c| c.number) != number).await;
    }

    /// Waits until there is a connection, for so long; whether there is.
    pub async fn wait(&self, patience: Duration) -> bool {
        let mut current = self.shared.keeper.watch();
        matches!(timeout(patience, current.wait_for(Option::is_some)).await, Ok(Ok(_)))
    }

    /// The time in which each answer is expected.
    pub fn response_timeout(&self) -> Duration {
        self.shared.keeper.endpoint().response_timeout()
    }

    /// Where the server is, as it may be shown.
    pub fn url(&self) -> &str {
        self.shared.keeper.endpoint().url()
    }

    /// The connection that is in use, for commands that must go by the same one.
    pub fn connected(&self) -> Result<Connected, CommandError> {
        let keeper = &self.shared.keeper;
        keeper.current().ok_or_else(|| {
            CommandError::NotSent(format!("there is no connection to Redis at {}: {}", self.url(), keeper.cause()))
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.keeper.close();
    }
}

impl LinkShared {
    /// Has nodes tell a server process that is another than before what they know.
    async fn arrive(&self, connection: &mut MultiplexedConnection, run: &str) -> Result<(), RedisError> {
        ARRIVE.load_async(connection).await?;
        let mut arrive = call(&ARRIVE, std::slice::from_ref(&self.registry));
        arrive.arg(run).arg(self.grace.as_micros() as u64).query_async::<Value>(connection).await.map(drop)
    }
}

impl ConnectionUse for Arc<LinkShared> {
    async fn connect(&self, number: u64) -> Result<Connected, NoConnection> {
        let shared = Arc::downgrade(self);
        let endpoint = self.keeper.endpoint();
        let config = endpoint.config().set_push_sender(move |push: PushInfo| {
            let Some(shared) = shared.upgrade() else { return Err(redis::aio::SendError) };
            if push.kind == PushKind::Disconnection {
                shared.keeper.lost(number);
            }
            Ok(())
        });
        let mut connection = endpoint.connect(&config).await?;
        // What belongs to another cluster is neither read nor written.
        let standing = self.cluster.confirm(&mut connection, &self.env).await?;
        if let Some(reason) = self.cluster.end(&standing) {
            return Err(NoConnection::Away(reason));
        }
        let run = run_of(&mut connection).await?;
        self.arrive(&mut connection, &run).await?;
        Ok(Connected { number, connection, run })
    }

    fn connected(&self, _: &Connected, _: Option<&Connected>) {}

    /// What is under way on it is answered there.
    async fn replaced(&self, _: Connected) {}
}
