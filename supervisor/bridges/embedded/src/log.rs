//! The log of a single process: one SQLite file in `node.data_dir`.
//!
//! One task writes. It takes all waiting jobs, stores them in one transaction, and answers once that has committed: many senders
//! share a commit, and a lone one does not wait for others. The file has no other writer, so the task has the counters of every
//! partition in memory, and reads them only at the start and after a failure. Reads have connections of their own, and query only
//! if the writer has published that there are entries.
//!
//! # Layout
//! - `write_job`, `writer`: the changes that wait to be stored, and the task that stores them.
//! - `state`, `owners`: the writer's state, and how jobs change it.
//! - `published`: the part of it that readers see.
//! - `tables`, `rows`: tables and statements; `dead_letters`: those of dead letters.

mod dead_letters;
mod owners;
mod published;
mod rows;
mod state;
mod tables;
mod write_job;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use essaim_base::Env;
use essaim_base::outages::Dependency;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::Settings;
use essaim_protocol::log::{
    Acknowledge, Acknowledged, Append, AppendError, Appended, DeadLetterPage, FoundEntries, HostHeartbeat, Log,
    LogError, OwnedPartition, Partition, PartitionCount, Reading, Registry, Retired, Subscription,
};
use essaim_store::{Database, DatabaseError, OutageReports, held};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use sea_orm::DbErr;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout_at;

use self::published::Published;
use self::write_job::{Answer, WriteJob};
use self::writer::Writer;

/// The name of the file.
const FILE: &str = "log.sqlite3";

/// A log in a file of this process alone.
pub struct EmbeddedLog {
    database: Database,
    published: Arc<Published>,
    jobs: mpsc::Sender<WriteJob>,
    env: Env,
}

impl EmbeddedLog {
    /// The beginning of the identity of every such log.
    pub const KIND: &str = "embedded/";

    /// Opens the log, and makes it if there is none. Its writer runs on the thread of these tasks.
    ///
    /// # Errors
    /// The problem and what to do about it, such as that another process has the file.
    pub async fn open(settings: &Settings, env: Env, tasks: &Tasks) -> Result<Self, DatabaseError> {
        let path = settings.node.data_dir.join(FILE);
        let reports =
            OutageReports { tasks, recheck: TaskName::of_node("log-recheck"), dependency: Dependency::log(false) };
        let database = Database::open_file("log", &path, settings, &tables::schema(), &env, reports).await?;
        database.watch_file(tasks, Duration::from_millis(settings.store.file_check_ms));
        let published = Arc::new(Published::default());
        let (base, readers_view, clock) = (database.clone(), published.clone(), env.clone());
        let new = move || Writer::new(base.clone(), readers_view.clone(), clock.clone());
        let mut writer = new();
        let unreadable =
            |e: AppendError| DatabaseError::Unusable(format!("the log {} is unreadable: {e}", path.display()));
        writer.load().await.map_err(unreadable)?;
        // Bounded by `durable.sends_waiting`.
        let (jobs, waiting) = mpsc::channel(settings.durable.sends_waiting.max(1));
        let (waiting, mut first) = (Arc::new(Mutex::new(waiting)), Some(writer));
        let next = move || first.take().unwrap_or_else(&new).run(waiting.clone());
        tasks.restarted_anywhere(TaskName::of_node("log-writer"), next);
        Ok(Self { database, published, jobs, env })
    }

    /// Its file.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Whether the data directory has such a log that no process has open.
    pub fn is_left_at(settings: &Settings) -> bool {
        settings.node.data_dir.join(FILE).exists() && held("log", settings).is_none()
    }

    /// Sends a job to the writer, and waits for its answer.
    async fn ask<T, E: From<AppendError>>(&self, job: impl FnOnce(Answer<T, E>) -> WriteJob) -> Result<T, E> {
        let (answer, arrives) = Answer::new();
        if self.jobs.send(job(answer)).await.is_err() {
            return Err(AppendError::NotStored("the log is closed".into()).into());
        }
        let ended = |_| Err(AppendError::Unknown("the log ended before it answered".into()).into());
        arrives.await.unwrap_or_else(ended)
    }

    /// The present entries. If there are none behind `after`, it moves to the position of the last entry ever.
    async fn look(&self, readings: &[Reading], after: &mut [u64]) -> Result<FoundEntries, LogError> {
        let mut found = Vec::new();
        for (reading, after) in readings.iter().zip(after) {
            let place = self.published.place(&reading.partition);
            let Some(place) = place.filter(|place| place.last > *after && reading.most > 0) else { continue };
            let entries =
                rows::read(self.database.own_reads(), place.id, *after, reading.most).await.map_err(not_read)?;
            if entries.is_empty() {
                // The entries have been acknowledged, and do not come back.
                *after = place.last;
            } else {
                found.push((reading.partition.clone(), entries));
            }
        }
        Ok(found)
    }
}

impl Log for EmbeddedLog {
    fn settle(&self) -> BoxFuture<'_, ()> {
        let settle = async {
            if let Err(error) = self.database.settle().await {
                tracing::warn!(%error, "the file of the log is not whole without its -wal");
            }
        };
        settle.boxed()
    }

    fn registry(&self) -> BoxFuture<'_, Result<Arc<Registry>, LogError>> {
        ready(Ok(self.published.registry())).boxed()
    }

    fn register<'a>(
        &'a self,
        capability: &'a str,
        partitions: u32,
        subscriptions: &'a [(String, Subscription)],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        let (capability, subscriptions) = (capability.to_string(), subscriptions.to_vec());
        self.ask(move |answer| WriteJob::Register { capability, partitions, subscriptions, answer }).boxed()
    }

    fn unsubscribe<'a>(&'a self, event: &'a str, capability: &'a str) -> BoxFuture<'a, Result<bool, LogError>> {
        let (event, capability) = (event.to_string(), capability.to_string());
        self.ask(move |answer| WriteJob::Unsubscribe { event, capability, answer }).boxed()
    }

    fn retire<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Retired, LogError>> {
        let capability = capability.to_string();
        self.ask(move |answer| WriteJob::Retire { capability, answer }).boxed()
    }

    fn append<'a>(
        &'a self,
        registry: u64,
        most: u64,
        appends: &'a [Append],
    ) -> BoxFuture<'a, Result<Vec<Appended>, AppendError>> {
        self.ask(move |answer| WriteJob::Append { registry, most, appends: appends.to_vec(), answer }).boxed()
    }

    fn heartbeat<'a>(&'a self, heartbeat: &'a HostHeartbeat) -> BoxFuture<'a, Result<Vec<OwnedPartition>, LogError>> {
        self.ask(move |answer| WriteJob::Heartbeat { heartbeat: heartbeat.clone(), answer }).boxed()
    }

    fn read<'a>(
        &'a self,
        readings: &'a [Reading],
        patience: Duration,
    ) -> BoxFuture<'a, Result<FoundEntries, LogError>> {
        let until = self.env.now() + patience;
        async move {
            let mut changes = self.published.changes();
            let mut after: Vec<u64> = readings.iter().map(|reading| reading.after.0).collect();
            loop {
                // Before looking, so that nothing can come between the look and the wait.
                changes.mark_unchanged();
                let found = self.look(readings, &mut after).await?;
                if !found.is_empty() {
                    return Ok(found);
                }
                let Ok(Ok(())) = timeout_at(until, changes.changed()).await else { return Ok(Vec::new()) };
            }
        }
        .boxed()
    }

    fn acknowledge<'a>(
        &'a self,
        acknowledges: &'a [Acknowledge],
    ) -> BoxFuture<'a, Result<Vec<Acknowledged>, LogError>> {
        self.ask(move |answer| WriteJob::Acknowledge { acknowledges: acknowledges.to_vec(), answer }).boxed()
    }

    fn appended<'a>(&'a self, partition: &'a Partition) -> BoxFuture<'a, Result<u64, LogError>> {
        let place = self.published.place(partition);
        let unknown = || LogError::UnknownPartition(partition.clone());
        ready(place.map(|place| place.loaded.unwrap_or(place.appended)).ok_or_else(unknown)).boxed()
    }

    fn raise<'a>(&'a self, partition: &'a Partition, appended: u64) -> BoxFuture<'a, Result<(), LogError>> {
        self.ask(move |answer| WriteJob::Raise { partition: partition.clone(), appended, answer }).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LogError>> {
        ready(Ok(())).boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<String, LogError>> {
        async move { rows::identity(self.database.reads()).await.map_err(not_read) }.boxed()
    }

    fn counts<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<Vec<PartitionCount>, LogError>> {
        async move {
            let mut counts = rows::count(self.database.reads(), capability).await.map_err(not_read)?;
            let owners = self.published.owners(capability);
            for count in &mut counts {
                count.owner = owners.get(count.number as usize).cloned().flatten();
            }
            Ok(counts)
        }
        .boxed()
    }

    fn dead_count<'a>(&'a self, capability: &'a str) -> BoxFuture<'a, Result<u64, LogError>> {
        async move { dead_letters::count(self.database.reads(), capability).await.map_err(not_read) }.boxed()
    }

    fn dead<'a>(
        &'a self,
        capability: &'a str,
        from: Option<&'a str>,
        most: u32,
    ) -> BoxFuture<'a, Result<DeadLetterPage, LogError>> {
        async move { dead_letters::page(self.database.reads(), capability, from, most.max(1)).await.map_err(not_read) }
            .boxed()
    }

    fn dead_with<'a>(
        &'a self,
        capability: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, LogError>> {
        async move { dead_letters::with(self.database.reads(), capability, ids).await.map_err(not_read) }.boxed()
    }

    fn forget<'a>(
        &'a self,
        capability: &'a str,
        letters: &'a [(String, Bytes)],
    ) -> BoxFuture<'a, Result<u64, LogError>> {
        let (capability, letters) = (capability.to_string(), letters.to_vec());
        self.ask(move |answer| WriteJob::Forget { capability, letters, answer }).boxed()
    }

    /// SQLite is opened with the durability that is configured.
    fn weaker_than_configured(&self) -> BoxFuture<'_, Option<String>> {
        ready(None).boxed()
    }
}

fn not_read(error: DbErr) -> LogError {
    LogError::Refused(format!("the log could not be read: {error}"))
}
