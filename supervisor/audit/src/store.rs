//! The store as the rest of the node sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;
use essaim_store::ClockHold;
use sea_orm::sqlx::{Error, SqliteConnection, query};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use crate::entry::{ActEnd, Asker, AuditEntry, AuditQuestion};
use crate::file::{AuditError, OpenFile, file_of};
use crate::rows;

/// The longest wait for the disk. A connection that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pages that are given back to the disk at a time.
const RETURNED_PAGES: &str = "PRAGMA incremental_vacuum(1000)";

/// The audit in the file of this node. Nothing is opened before somebody changes something.
pub struct AuditStore {
    path: PathBuf,
    node: String,
    env: Env,
    outages: Outages,
    most_bytes: u64,
    life: Duration,
    /// A connection whose work did not end well is dropped, and the file is opened anew.
    open: AsyncMutex<Option<OpenFile>>,
}

impl AuditStore {
    /// The store of a node.
    pub fn of(settings: &Settings, env: &Env, outages: &Outages) -> Arc<Self> {
        Arc::new(Self {
            path: file_of(&settings.node),
            node: settings.node.name.clone(),
            env: env.clone(),
            outages: outages.clone(),
            most_bytes: settings.audit.max_bytes,
            life: Duration::from_secs(settings.audit.keep_days.saturating_mul(86_400)),
            open: AsyncMutex::default(),
        })
    }

    /// Keeps that somebody is about to do something, and returns its number. It is on the disk then.
    ///
    /// # Errors
    /// What is wrong with the file: then it is not to be done. It is an outage from then on, until something was kept.
    pub async fn begin(&self, asker: &Asker, act: &str) -> Result<u64, AuditError> {
        let at_ms = self.env.wall_ms();
        let before_ms = at_ms.saturating_sub(self.life.as_millis() as u64);
        let begin = async |connection: &mut SqliteConnection| {
            query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
            let was_full = rows::tidy(connection, before_ms, self.most_bytes).await?;
            let id = rows::add(connection, asker, act, at_ms).await?;
            query("COMMIT").execute(connection).await?;
            Ok((id, was_full))
        };
        let (id, was_full) = self.write(begin).await?;
        if was_full {
            self.write(async |connection| query(RETURNED_PAGES).fetch_all(connection).await.map(drop)).await?;
            let bytes = self.most_bytes;
            tracing::warn!(bytes, "the oldest acts of the audit are gone before their time (audit.max_bytes)");
        }
        Ok(id)
    }

    /// Keeps how it ended. It is done already: what cannot be kept is told the log.
    pub async fn end(&self, id: u64, end: &ActEnd) {
        let at_ms = self.env.wall_ms();
        let ended = self.write(async |connection| rows::end(connection, id, end, at_ms).await).await;
        if let Err(error) = ended {
            let ended = end.kind.as_str();
            tracing::warn!(act = id, ended, %error, "the audit does not have how an act has ended");
        }
    }

    /// The latest acts that a question asks for, the latest first.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn list(&self, question: &AuditQuestion) -> Result<Vec<AuditEntry>, AuditError> {
        // Who reads makes no file.
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        self.work(async |connection| rows::list(connection, &self.node, question).await).await
    }

    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Error>,
    ) -> Result<T, AuditError> {
        let written = self.work(work).await;
        match &written {
            Ok(_) => self.outages.end(&Dependency::audit()),
            Err(error) => self.outages.begin(Dependency::audit(), error.to_string()),
        }
        written
    }

    async fn work<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Error>,
    ) -> Result<T, AuditError> {
        let mut kept = self.open.lock().await;
        let _hold = ClockHold::of(&self.env);
        // One whose work did not end, also because nobody waits for it any more, is not used again.
        let silent = |_| AuditError::Silent(self.path.clone());
        let mut file = match kept.take().filter(|file| file.is_at(&self.path)) {
            Some(file) => file,
            None => timeout(PATIENCE, OpenFile::open(&self.path)).await.map_err(silent)??,
        };
        let done = timeout(PATIENCE, work(&mut file.connection)).await.map_err(silent)?;
        let done = done.map_err(|error| AuditError::of(&self.path, &error))?;
        *kept = Some(file);
        Ok(done)
    }
}
