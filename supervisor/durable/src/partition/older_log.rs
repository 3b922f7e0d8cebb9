//! A log that is older than a database: it was restored to an earlier state, and has forgotten what it had appended since.
//!
//! The database that has finished such messages knows of them, and of all before them. Those that were applied stay done; the others
//! are gone, and the ledger misses them as soon as the log counts on from behind them. What no database had finished by
//! then, or anything after it, nobody can name.

use essaim_protocol::log::LogError;
use essaim_store::tables::log_gaps::{self, LogGap};

use super::takeover::Ownership;
use crate::Durable;

impl Ownership {
    /// Records in the database what the log has forgotten, and has the log count on from behind it.
    ///
    /// # Errors
    /// The log's or the database's; doing it again does no harm.
    pub async fn catch_up(&self, durable: &Durable) -> Result<(), String> {
        let (Some(store), partition) = (&self.owner.store, &self.owner.partition) else { return Ok(()) };
        let of_log = |error: LogError| error.to_string();
        let counted = durable.log.appended(partition).await.map_err(of_log)?;
        if counted < self.appended {
            let gap = LogGap {
                partition: partition.number,
                first: counted,
                through: self.appended,
                found_ms: self.owner.env.wall_ms(),
            };
            let tx = store.database.begin().await.map_err(|e| e.to_string())?;
            log_gaps::record(&tx, gap).await.map_err(|e| e.to_string())?;
            tx.commit().await.map_err(|e| e.to_string())?;
            durable.log_is_older(partition, gap);
        }
        durable.log.raise(partition, self.appended).await.map_err(of_log)
    }
}
