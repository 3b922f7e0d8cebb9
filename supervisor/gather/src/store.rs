//! The store as the rest of the node sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::lock::Mutex;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;
use essaim_store::ClockHold;
use essaim_store::tables::mentions::Subject;
use essaim_trace::{Cursor, MessageRecord};
use sea_orm::sqlx::{Error, SqliteConnection};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};
use tokio::time::timeout;

use crate::file::{FILE, GatherError, Writer, open_reader};
use crate::rate::Rates;
use crate::read::{self, StoredPage, StoredQuestion};
use crate::write::{self, StoredRow};

/// The longest wait for the disk. A connection that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The gathered records in the file of this node. Nothing is opened before it is used.
pub struct GatheredStore {
    path: PathBuf,
    env: Env,
    outages: Outages,
    most_bytes: i64,
    life: Duration,
    /// The one that writes; a connection whose work did not end well is dropped, and the file is opened anew.
    writer: AsyncMutex<Option<Writer>>,
    /// Held for a turn of gathering.
    turn: AsyncMutex<()>,
    reader: AsyncMutex<Option<SqliteConnection>>,
    rates: Mutex<Rates>,
    /// The last page could not be added: only one that can be ends the outage.
    has_failed: AtomicBool,
    gathered: AtomicU64,
    dropped: AtomicU64,
    missed: AtomicU64,
}

/// A page of a node's records.
pub struct NodePage {
    pub node: String,
    pub records: Vec<MessageRecord>,
    /// Records that were gone from the node's rings before they were read.
    pub missed: u64,
    /// Where its next page begins.
    pub next: Cursor,
}

/// What is counted of gathered records, since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GatherFigures {
    /// Records that were stored.
    pub gathered: u64,
    /// Records that were not stored, since they were too many in a second.
    pub dropped: u64,
    /// Records that were gone before they were read.
    pub missed: u64,
    /// The size of the file with its journal, in bytes.
    pub bytes: u64,
}

impl GatheredStore {
    /// The store of a node; `None` if another node stores, or none does.
    pub fn of(settings: &Settings, env: &Env, outages: &Outages) -> Option<Arc<Self>> {
        let trace = &settings.trace;
        let is_here = settings.store_node() == Some(&settings.node.name);
        is_here.then(|| {
            Arc::new(Self {
                path: settings.node.data_dir.join(FILE),
                env: env.clone(),
                outages: outages.clone(),
                most_bytes: i64::try_from(trace.store_bytes).unwrap_or(i64::MAX),
                life: Duration::from_secs(trace.store_hours.saturating_mul(3_600)),
                writer: AsyncMutex::default(),
                turn: AsyncMutex::default(),
                reader: AsyncMutex::default(),
                rates: Mutex::new(Rates::new(trace.store_records_per_second, trace.slow_ms)),
                has_failed: AtomicBool::default(),
                gathered: AtomicU64::default(),
                dropped: AtomicU64::default(),
                missed: AtomicU64::default(),
            })
        })
    }

    /// Waits until no turn of gathering is under way: two at once would store what each of them has read.
    pub async fn turn(&self) -> AsyncMutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Makes the file ready for a turn of gathering: opens it if it is not open, and removes what is too old. Returns where each
    /// node's next page begins.
    ///
    /// # Errors
    /// What is wrong with the file. It is an outage from then on, until something was written.
    pub async fn prepare(&self) -> Result<BTreeMap<String, Cursor>, GatherError> {
        let before_ms = self.env.wall().saturating_sub(self.life).as_millis() as i64;
        let tidied = async |writer: &mut Writer| {
            write::tidy(&mut writer.connection, before_ms, self.most_bytes).await?;
            Ok(writer.cursors.clone())
        };
        let tidied = self.write(tidied).await;
        self.report(&tidied, self.has_failed.load(Ordering::Relaxed));
        tidied
    }

    /// Stores a page, but for what is too much in a second.
    ///
    /// # Errors
    /// What is wrong with the file. Nothing of the page is stored then.
    pub async fn add(&self, page: NodePage) -> Result<(), GatherError> {
        let NodePage { node, records, missed, next } = page;
        let read = records.len();
        let admitted = self.rates.lock().admit(&node, records, self.env.now());
        let rows: Vec<_> = admitted.iter().filter_map(StoredRow::of).collect();
        let (stored, now_ms) = (rows.len(), self.env.wall_ms() as i64);
        let mut rows = Some(rows);
        let add = async |writer: &mut Writer| {
            let (node, rows) = (&*node, rows.take().unwrap_or_default());
            write::add(&mut writer.connection, (node, &next), rows, now_ms, self.most_bytes).await?;
            writer.cursors.insert(node.into(), next.clone());
            Ok(())
        };
        let added = self.write(add).await;
        self.has_failed.store(added.is_err(), Ordering::Relaxed);
        self.report(&added, false);
        added?;
        self.gathered.fetch_add(stored as u64, Ordering::Relaxed);
        self.dropped.fetch_add((read - stored) as u64, Ordering::Relaxed);
        self.missed.fetch_add(missed, Ordering::Relaxed);
        Ok(())
    }

    /// The stored records that a question asks for, in about so many bytes at most.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn page(&self, question: &StoredQuestion, most_bytes: usize) -> Result<StoredPage, GatherError> {
        let now_us = self.env.wall().as_micros() as u64;
        let mut reader = self.reader.lock().await;
        let _hold = ClockHold::of(&self.env);
        // One whose work did not end, also because nobody waits for it any more, is not used again.
        let idle = reader.take();
        let work = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => open_reader(&self.path).await?,
            };
            let page = read::page(&mut connection, question, now_us, most_bytes).await?;
            Ok((connection, page))
        };
        let (connection, page) = self.within_patience(work).await?;
        *reader = Some(connection);
        Ok(page)
    }

    /// What is counted.
    pub fn figures(&self) -> GatherFigures {
        let mut journal = self.path.clone().into_os_string();
        journal.push("-wal");
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        GatherFigures {
            gathered: self.gathered.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            bytes: size(&self.path) + size(journal.as_ref()),
        }
    }

    /// Reports whether writing works; `is_in_doubt` if a success does not say so.
    fn report<T>(&self, written: &Result<T, GatherError>, is_in_doubt: bool) {
        match written {
            Ok(_) if is_in_doubt => {}
            Ok(_) => self.outages.end(&Dependency::records()),
            Err(error) => self.outages.begin(Dependency::records(), error.to_string()),
        }
    }

    /// How many records mention a subject.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn count_of(&self, subject: &Subject) -> Result<u64, GatherError> {
        self.write(async |writer: &mut Writer| write::count_of(&mut writer.connection, subject).await).await
    }

    /// Erases the records that mention a subject; returns how many.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn erase(&self, subject: &Subject) -> Result<u64, GatherError> {
        self.write(async |writer: &mut Writer| write::erase(&mut writer.connection, subject).await).await
    }

    /// Moves what is only in the journal of the file into the file, for the end of the node.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn settle(&self) -> Result<(), GatherError> {
        *self.reader.lock().await = None;
        let settle = async |writer: &mut Writer| write::settle(&mut writer.connection).await;
        self.write(settle).await
    }

    async fn write<T>(&self, work: impl AsyncFnOnce(&mut Writer) -> Result<T, Error>) -> Result<T, GatherError> {
        let mut kept = self.writer.lock().await;
        let _hold = ClockHold::of(&self.env);
        let mut writer = match kept.take().filter(|writer| writer.is_at(&self.path)) {
            Some(writer) => writer,
            None => {
                *self.reader.lock().await = None;
                let opened = timeout(PATIENCE, Writer::open(&self.path)).await;
                opened.map_err(|_| GatherError::Silent(self.path.clone()))??
            }
        };
        let done = self.within_patience(work(&mut writer)).await?;
        *kept = Some(writer);
        Ok(done)
    }

    async fn within_patience<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, GatherError> {
        match timeout(PATIENCE, work).await {
            Ok(done) => done.map_err(|error| GatherError::of(&self.path, &error)),
            Err(_) => Err(GatherError::Silent(self.path.clone())),
        }
    }
}
