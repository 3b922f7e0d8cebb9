//! Checkpoints: what is in the journal of a SQLite file moves into the file.
//!
//! A checkpoint waits for the disk. SQLite's own is a part of a COMMIT, and whoever wants to write waits for both. Here another
//! connection does it beside the one that writes. What is written meanwhile is left in the journal, which under load would never be
//! empty and begin anew: once it is long, who writes waits until the little that is left is moved as well.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::Arc;

use essaim_base::lock::Mutex;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::task::spawn_blocking;

/// Pages in the journal after which a checkpoint begins, as in SQLite itself.
const PAGES: c_int = 1_000;

/// Pages in the journal after which one is waited for.
const MOST_PAGES: c_int = 4 * PAGES;

thread_local! {
    /// The pages of the journal after the commit that this thread has just made.
    static JOURNAL_PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// The checkpoints of one file.
pub struct Checkpoints {
    /// The connection that makes them.
    beside: Arc<Mutex<Connection>>,
    /// How many have begun since the journal has.
    begun: c_int,
}

impl Checkpoints {
    pub fn by(beside: Connection) -> Self {
        Self { beside: Arc::new(Mutex::new(beside)), begun: 0 }
    }

    /// Begins a checkpoint if the journal has so many more pages after a commit; waits for one if it is too long.
    pub async fn after_commit(&mut self, journal_pages: c_int) {
        let (due, is_too_long) = (journal_pages / PAGES, journal_pages >= MOST_PAGES);
        if due > self.begun || is_too_long {
            let beside = self.beside.clone();
            #[allow(clippy::disallowed_methods)] // One for each file, and those that wait for it are few.
            let made = spawn_blocking(move || checkpoint(&beside.lock()));
            if is_too_long {
                // What it has not moved the next one does.
                let _ = made.await;
            }
        }
        self.begun = due;
    }
}

/// Takes the place of SQLite's own checkpoints.
pub fn count_pages(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    JOURNAL_PAGES.set(pages);
    Ok(())
}

/// The pages of the journal after the commit that this thread has just made.
pub fn journal_pages() -> c_int {
    JOURNAL_PAGES.replace(0)
}

/// Moves what it can while others read and write.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
