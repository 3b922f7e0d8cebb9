//! Replicas: with `store.durability = "replicated"` a message is stored once enough of them have it.
//!
//! Redis answers a write before its replicas have it, so that a replica that is promoted may lack it. WAIT returns the number of
//! replicas that have all writes of its connection. It blocks later commands of the connection, so appends have a connection of
//! their own, and leases and acknowledgements do not wait behind them. After an append that is not confirmed nothing is appended
//! until it is confirmed, or copies of it would pile up.
//!
//! An entry that is read may not be confirmed yet. Its owner gets it once it is: a message that was read and then lost with its
//! primary would be known as appended, by nobody as handled, and its sender would send another.

use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;
use essaim_protocol::log::AppendError;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};

use super::super::command_error::CommandError;
use super::super::connection::Connected;
use super::link::Link;
use super::parse;

/// Waits until replicas have confirmed what is appended, and what is read.
pub struct Replicas {
    link: Link,
    wanted: u32,
    timeout: Duration,
    outages: Outages,
    /// The channel for the writes that WAIT looks back to after a read.
    reads: String,
    /// The number of the connection whose last append they have confirmed.
    confirmed: Mutex<Option<u64>>,
}

impl Replicas {
    /// The replicas that appends on this link wait for.
    pub fn new(link: Link, settings: &Settings, outages: Outages) -> Self {
        let (wanted, timeout) =
            (settings.durable.replicas, Duration::from_millis(settings.durable.replicas_timeout_ms));
        let reads = format!("{}:reads", settings.bridge.namespace);
        Self { link, wanted, timeout, outages, reads, confirmed: Mutex::default() }
    }

    /// The link for appends alone.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The number of replicas that must confirm an append.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Waits until enough replicas have all appends of this connection; returns at once if they are known to.
    ///
    /// # Errors
    /// Nothing may be appended now.
    pub async fn ready(&self, connected: &mut Connected) -> Result<(), AppendError> {
        if *self.confirmed.lock() == Some(connected.number) {
            return Ok(());
        }
        self.wait(connected)
            .await
            .map_err(|why| format!("nothing is stored until replicas have what was stored before: {why}"))
            .map_err(AppendError::NotStored)
    }

    /// Waits until enough replicas have the last append of this connection.
    ///
    /// # Errors
    /// That is not known. The append may be lost when a replica is promoted.
    pub async fn confirm(&self, connected: &mut Connected) -> Result<(), AppendError> {
        self.confirmed.lock().take();
        self.wait(connected)
            .await
            .map_err(|why| format!("it is stored, and may be lost with Redis' primary: {why}"))
            .map_err(AppendError::Unknown)
    }

    /// Waits until enough replicas have all that this connection, which is used for nothing else, has read.
    ///
    /// # Errors
    /// [`CommandError::NotReplicated`], and those of the commands.
    pub async fn confirm_read(&self, connection: &mut MultiplexedConnection) -> Result<(), CommandError> {
        connection.set_response_timeout(self.timeout + self.link.response_timeout());
        let mut write_and_wait = redis::pipe();
        write_and_wait.cmd("PUBLISH").arg(&self.reads).arg("").ignore().add_command(self.command());
        let (have,): (Value,) =
            write_and_wait.query_async(connection).await.map_err(|error| CommandError::of(&error))?;
        self.judge(&have).map_err(CommandError::NotReplicated)
    }

    async fn wait(&self, connected: &mut Connected) -> Result<(), WaitError> {
        let have = self.link.ask_on(connected, &self.command()).await?;
        self.judge(&have)?;
        self.confirmed.lock().replace(connected.number);
        Ok(())
    }

    fn command(&self) -> Cmd {
        redis::cmd("WAIT").arg(self.wanted).arg(self.timeout.as_millis() as u64).take()
    }

    /// Whether an answer to WAIT is that enough replicas have all.
    fn judge(&self, have: &Value) -> Result<(), TooFewReplicas> {
        let have = parse::number(have).unwrap_or(0);
        if have >= self.wanted.into() {
            self.outages.end(&Dependency::replicas());
            return Ok(());
        }
        let too_few = TooFewReplicas { have, wanted: self.wanted, timeout_ms: self.timeout.as_millis() };
        self.outages.begin(Dependency::replicas(), too_few.to_string());
        Err(too_few)
    }
}

/// Fewer replicas than are wanted have confirmed in time that they have all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{have} of durable.replicas = {wanted} replicas have answered within {timeout_ms} ms")]
pub struct TooFewReplicas {
    have: u64,
    wanted: u32,
    timeout_ms: u128,
}

/// Why it is not known that enough replicas have all.
#[derive(Debug, thiserror::Error)]
enum WaitError {
    #[error(transparent)]
    TooFew(#[from] TooFewReplicas),
    #[error("{}", .0.message())]
    Command(CommandError),
}

impl From<CommandError> for WaitError {
    fn from(failed: CommandError) -> Self {
        Self::Command(failed)
    }
}

/// The number of replicas that are online, from the server's `INFO replication`.
pub fn following(info: &str) -> u32 {
    let is_one = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    info.lines().filter(is_one).count() as u32
}
