//! The end of a SQLite file's use: what is only in its journal (`FILE-wal`) moves into the file, so that a copy of the file alone
//! is whole.

use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::sleep;

use super::Database;
use super::error::StoreError;

/// How often a commit is waited for that several transactions share, and how long each time.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

impl Database {
    /// Moves what is only in the journal of its file into the file, and empties the journal; nothing on a server. For the end of
    /// a node: what is written later is in the journal again.
    ///
    /// # Errors
    /// If the file cannot be written, or another program reads from the journal.
    pub async fn settle(&self) -> Result<(), DbErr> {
        if !self.kind().has_one_host() {
            return Ok(());
        }
        let writes = &self.inner.writes;
        for _ in 0..LOOKS {
            let mut lease =
                writes.lease(writes.env.now() + writes.limits.acquire).await.map_err(StoreError::into_exec_error)?;
            if lease.group.is_some() {
                drop(lease);
                sleep(BETWEEN_LOOKS).await;
                continue;
            }
            let limit = writes.env.now() + writes.limits.transaction;
            let done = lease.work(limit, |mut c| async move { c.settle().await }).await;
            return match done.map_err(StoreError::into_query_error)? {
                true => Ok(()),
                false => Err(DbErr::Custom("another program reads from its journal".into())),
            };
        }
        Err(DbErr::Custom("its last transactions did not end".into()))
    }
}
