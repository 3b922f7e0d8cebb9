//! Replicas: with `store.durability = "replicated"` a message is stored once so many of them have it.
//!
//! Redis answers a write before its replicas have it, so that a replica that is promoted may lack it. WAIT tells how many
//! replicas have all that was written on its connection. It holds up what stands behind it there, so appends have a
//! connection of their own, and leases and acknowledgements do not wait with them. After an append that is not confirmed nothing
//! is appended until it is, or copies of it would pile up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;

use super::super::failed::Failed;
use super::super::keep::Connected;
use super::link::Link;
use super::parse;

/// Has appends confirmed by replicas.
pub struct Replicas {
    link: Link,
    wanted: u32,
    timeout: Duration,
    outages: Outages,
    /// The connection on which they had the last append.
    confirmed: Mutex<Option<u64>>,
}

impl Replicas {
    /// The replicas that appends on this link wait for.
    pub fn new(link: Link, settings: &Settings, outages: Outages) -> Self {
        let (wanted, timeout) =
            (settings.durable.replicas, Duration::from_millis(settings.durable.replicas_timeout_ms));
        Self { link, wanted, timeout, outages, confirmed: Mutex::default() }
    }

    /// The link that carries appends and nothing else.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// How many are wanted.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Waits until enough replicas have what was appended on this connection; at once if they are known to.
    ///
    /// # Errors
    /// Why nothing may be appended now.
    pub async fn ready(&self, connected: &mut Connected) -> Result<(), String> {
        if *self.lock() == Some(connected.number) {
            return Ok(());
        }
        self.wait(connected)
            .await
            .map_err(|why| format!("nothing is stored until replicas have what was stored before: {why}"))
    }

    /// Waits until enough replicas have what was just appended on this connection.
    ///
    /// # Errors
    /// Why that is not known. It may be lost when a replica is promoted.
    pub async fn confirm(&self, connected: &mut Connected) -> Result<(), String> {
        self.lock().take();
        self.wait(connected).await.map_err(|why| format!("it is stored, and may be lost with Redis' primary: {why}"))
    }

    async fn wait(&self, connected: &mut Connected) -> Result<(), String> {
        let (wanted, timeout) = (self.wanted, self.timeout.as_millis() as u64);
        let mut wait = redis::cmd("WAIT");
        let answer = self.link.ask_on(connected, wait.arg(wanted).arg(timeout)).await;
        let have = answer.map_err(|failed: Failed| failed.words())?;
        match parse::number(&have) {
            Some(have) if have >= wanted.into() => {
                self.lock().replace(connected.number);
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

    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replicas that follow, of a server that says this of its replication.
pub fn following(info: &str) -> u32 {
    let is_one = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    info.lines().filter(is_one).count() as u32
}
