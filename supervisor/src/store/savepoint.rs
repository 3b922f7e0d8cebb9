//! The savepoint behind which one of several transactions on a SQLite connection works.
//!
//! There is never more than one. It is made together with the first statement behind it, in the same text, since each
//! call of a SQLite connection is two changes of thread, which cost more than the statement. A transaction without
//! statements needs none.

/// What is known about the savepoint of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Savepoint {
    /// It was made, with what one of the transactions wrote behind it.
    made: bool,
    /// It is to be made anew before the next statement.
    owed: bool,
}

impl Savepoint {
    /// Another transaction begins.
    pub fn owe(&mut self) {
        self.owed = true;
    }

    /// Whether there is nothing behind it yet, so that there is nothing to undo.
    pub fn is_owed(self) -> bool {
        self.owed
    }

    /// What is to be run before a statement, and in how many statements.
    pub fn pay(&mut self) -> (&'static str, usize) {
        if !std::mem::take(&mut self.owed) {
            return ("", 0);
        }
        match std::mem::replace(&mut self.made, true) {
            true => ("RELEASE essaim; SAVEPOINT essaim; ", 2),
            false => ("SAVEPOINT essaim; ", 1),
        }
    }
}
