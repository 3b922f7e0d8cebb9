//! The savepoint behind which one of several transactions on a SQLite connection works.
//!
//! There is never more than one. It is made together with the first statement behind it, in the same text, since each
//! call of a SQLite connection is two changes of thread, which cost more than the statement. A transaction without
//! statements needs none.

/// The state of the savepoint of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Savepoint {
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

    /// Whether nothing was written behind it yet, so that nothing is to be undone.
    pub fn is_owed(self) -> bool {
        self.owed
    }

    /// The text to run before a statement, and how many statements it has.
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
