//! Replicas: with `store.durability = "replicated"` a message is stored once enough of them have it.
//!
//! Redis answers a write before its replicas have it, so that a replica that is promoted may lack it. WAIT returns the number of
//! replicas that have all writes of its connection. It blocks later commands of the connection, so appends have a connection of
//! their own, and leases and acknowledgements do not wait behind them. After an append that is not confirmed nothing is appended
//! until it is confirmed, or copies of it would pile up.

use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;

use super::super::command_error::CommandError;
use super::super::connection::Connected;
use super::link::Link;
use super::parse;

/// Waits until replicas have confirmed appends.
pub struct Replicas {
    link: Link,
    wanted: u32,
    timeout: Duration,
    outages: Outages,
    /// The number of the connection whose last append they have confirmed.
    confirmed: Mutex<Option<u64>>,
}

impl Replicas {
    /// The replicas that appends on this link wait for.
    pub fn new(link: Link, settings: &Settings, outages: Outages) -> Self {
        let (wanted, timeout) =
            (settings.durable.replicas, Duration::from_millis(settings.durable.replicas_timeout_ms));
        Self { link, wanted, timeout, outages, confirmed: Mutex::default() }
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
    /// The reason why nothing may be appended now.
    pub async fn ready(&self, connected: &mut Connected) -> Result<(), String> {
        if *self.confirmed.lock() == Some(connected.number) {
            return Ok(());
        }
        self.wait(connected)
            .await
            .map_err(|why| format!("nothing is stored until replicas have what was stored before: {why}"))
    }

    /// Waits until enough replicas have the last append of this connection.
    ///
    /// # Errors
    /// The reason why that is not known. The append may be lost when a replica is promoted.
    pub async fn confirm(&self, connected: &mut Connected) -> Result<(), String> {
        self.confirmed.lock().take();
        self.wait(connected).await.map_err(|why| format!("it is stored, and may be lost with Redis' primary: {why}"))
    }

    async fn wait(&self, connected: &mut Connected) -> Result<(), String> {
        let (wanted, timeout) = (self.wanted, self.timeout.as_millis() as u64);
        let mut wait = redis::cmd("WAIT");
        let answer = self.link.ask_on(connected, wait.arg(wanted).arg(timeout)).await;
        let have = answer.map_err(|failed: CommandError| failed.message())?;
        match parse::number(&have) {
            Some(have) if have >= wanted.into() => {
                self.confirmed.lock().replace(connected.number);
                self.outages.end(&Dependency::replicas());
                Ok(())
            }
            have => {
                let have = have.unwrap_or(0);
                let why = format!("{have} of durable.replicas = {wanted} replicas have answered within {timeout} ms");
                self.outages.begin(Dependency::replicas(), &*why);
                Err(why)
            }
        }
    }
}

/// The number of replicas that are online, from the server's `INFO replication`.
pub fn following(info: &str) -> u32 {
    let is_one = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    info.lines().filter(is_one).count() as u32
}
