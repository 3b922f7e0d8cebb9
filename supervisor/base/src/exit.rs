//! The exit codes of a process: they say to its service manager why it ended.
//!
//! Those that `sysexits.h` has a name for keep its number.

/// The command line cannot be understood.
pub const USAGE: u8 = 2;
/// The ledger does not balance, what was named is not there, or a capability that is to be retired is hosted
/// (`EX_DATAERR`).
pub const DATA: u8 = 65;
/// The node that a command asks does not answer, or not for every capability (`EX_UNAVAILABLE`).
pub const UNAVAILABLE: u8 = 69;
/// A capability was given up and `supervision.exit_when_failed` is set (`EX_SOFTWARE`).
pub const GIVEN_UP: u8 = 70;
/// Another process runs under this node's name with a higher epoch.
pub const SUPERSEDED: u8 = 71;
/// Another live node has this node's name, or a capability that has one host; or another cluster has the database that the
/// bridge leads to.
pub const TAKEN: u8 = 72;
/// The data directory cannot be written to, or another process owns a file in it (`EX_CANTCREAT`).
pub const DATA_DIR: u8 = 73;
/// What a command was asked for could not be written (`EX_IOERR`).
pub const OUTPUT: u8 = 74;
/// The bridge does not answer (`EX_TEMPFAIL`).
pub const BRIDGE: u8 = 75;
/// The address to listen at is in use.
pub const ADDRESS_IN_USE: u8 = 76;
/// The node has lost its place: another cluster stands where its own was, or another node has a capability that has one
/// host. Starting it again may mend it.
pub const DISPLACED: u8 = 77;
/// The configuration is wrong (`EX_CONFIG`).
pub const CONFIG: u8 = 78;
/// A task of the runtime has panicked without which the node cannot go on.
pub const TASK: u8 = 79;
/// The file of a database or of the log was deleted, replaced or emptied while it was open.
pub const FILE: u8 = 80;

/// A second signal ended the process before it had drained.
pub const SECOND_SIGNAL: u8 = 130;

/// A reason for a node to end by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Fatal {
    /// The process's exit code, one of this module's.
    pub code: u8,
    /// One line that says what happened and what to do.
    pub reason: String,
}

impl Fatal {
    /// An end with this code, for this reason.
    pub fn new(code: u8, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}
