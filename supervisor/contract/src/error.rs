//! Errors of asks.
//!
//! The four variants of [`AskError`] are four different truths, and a caller that reads them can act rightly:
//! `Rejected` and `Failed` mean that nothing needs to be undone, `NotDelivered` that trying again is safe, and
//! `Unknown` that only an idempotent message may be sent again. The details are for logs and operators; what a
//! stranger on HTTP is told is decided at the edge from the variant alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an ask has no reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskError<E> {
    /// The actor ran and said no, for a business reason.
    Rejected(E),
    /// The actor ran and failed; nothing was committed.
    Failed(Failure),
    /// The message surely did not run.
    NotDelivered(NotDelivered),
    /// The message may have run.
    Unknown(Unknown),
}

impl<E> AskError<E> {
    /// The same error with another type of rejection.
    pub fn map_rejected<F>(self, f: impl FnOnce(E) -> F) -> AskError<F> {
        match self {
            Self::Rejected(e) => AskError::Rejected(f(e)),
            Self::Failed(x) => AskError::Failed(x),
            Self::NotDelivered(x) => AskError::NotDelivered(x),
            Self::Unknown(x) => AskError::Unknown(x),
        }
    }

    /// The business error, if it is one.
    pub fn rejection(&self) -> Option<&E> {
        match self {
            Self::Rejected(e) => Some(e),
            _ => None,
        }
    }
}

/// A handler that ran and failed without committing anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// The detail, for logs and operators; never shown to a stranger.
    pub detail: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The handler panicked.
    Panicked,
    /// The capability's database refused or failed.
    Database,
    /// A dependency of the handler was away: a capability that it asked surely did not run, or its database could not
    /// be reached. Trying again makes sense.
    Unavailable,
    /// Any other error that the handler returned.
    Error,
}

/// Why a message surely did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotDelivered {
    /// No live node hosts the capability.
    NoHost {
        /// The capability that was asked.
        capability: String,
    },
    /// The capability, or the way to it, has as many messages admitted as it may.
    Overloaded {
        /// The capability that was asked.
        capability: String,
        /// The bound that was reached, in words with its unit.
        bound: String,
    },
    /// The node is leaving and takes no new asks.
    Draining {
        /// The node that refused.
        node: String,
    },
    /// The ask is not declared in `ASKS`, or its chain already holds the capability that was asked.
    Cycle {
        /// The capabilities on the way, the one that was asked last.
        chain: Vec<String>,
    },
    /// The node does not know the message in this version.
    Unsupported {
        /// The message's wire name.
        message: String,
    },
    /// The deadline passed while the message waited.
    Expired {
        /// How many messages were admitted before it and not yet done.
        queued_behind: u32,
        /// For how long it was queued, in milliseconds; 0 if that is not known.
        #[serde(default, skip_serializing_if = "is_zero")]
        queued_ms: u64,
        /// What the first of them was doing, in words; empty if that is not known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        behind: String,
    },
    /// The capability gave up restarting; see its node's log.
    Failed {
        /// The capability that was asked.
        capability: String,
        /// What stopped it.
        reason: String,
    },
    /// The capability has not started yet.
    Starting {
        /// The capability that was asked.
        capability: String,
        /// What its start is waiting for, where that is known.
        reason: String,
    },
    /// The message is larger than `wire.max_message_bytes`.
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The receiver could not read the message.
    Undecodable {
        /// The message's wire name.
        message: String,
        /// What was wrong with it.
        detail: String,
    },
    /// The wire reported that nobody listens at the node's inbox, or could not be handed the message.
    Unreachable {
        /// The node that was to receive it.
        node: String,
    },
}

/// Why it is not known whether a message ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The deadline passed while the handler was running.
    TimedOut {
        /// How long it had been running, in milliseconds.
        running_ms: u64,
        /// What it was doing, in words; empty if that is not known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        doing: String,
    },
    /// Nothing was heard from the node until the deadline.
    NoAnswer {
        /// The node that was asked.
        node: String,
    },
    /// The node died, or its name was taken over, while it had the message.
    NodeLost {
        /// The node that was asked.
        node: String,
    },
    /// The wire was lost while the message was on it, or its answer may have been.
    WireLost {
        /// The node that was asked.
        node: String,
    },
    /// The database did not say whether the commit took place.
    CommitUnanswered,
    /// The handler committed and failed afterwards.
    FailedAfterCommit {
        /// How it failed.
        detail: String,
    },
    /// The handler gave up because an ask of its own has an unknown outcome.
    Downstream {
        /// What is known about that ask.
        detail: String,
    },
    /// The answer came and could not be read.
    UndecodableAnswer {
        /// What was wrong with it.
        detail: String,
    },
}

impl<E: fmt::Display> fmt::Display for AskError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(e) => write!(f, "rejected: {e}"),
            Self::Failed(e) => write!(f, "failed, nothing was committed: {e}"),
            Self::NotDelivered(e) => write!(f, "not delivered: {e}"),
            Self::Unknown(e) => write!(f, "outcome unknown: {e}"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for AskError<E> {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FailureKind::Panicked => "panicked",
            FailureKind::Database => "database",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Error => "error",
        };
        write!(f, "{kind}: {}", self.detail)
    }
}

impl fmt::Display for NotDelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost { capability } => write!(f, "no live node hosts `{capability}`"),
            Self::Overloaded { capability, bound } => write!(f, "`{capability}` is overloaded: {bound}"),
            Self::Draining { node } => write!(f, "node `{node}` is draining"),
            Self::Cycle { chain } => {
                write!(f, "the ask is not declared or would close a cycle: {}", chain.join(" -> "))
            }
            Self::Unsupported { message } => write!(f, "the node does not know `{message}`"),
            Self::Expired { queued_behind, queued_ms, behind } => {
                write!(f, "the deadline passed while it was queued behind {queued_behind}")?;
                if *queued_ms > 0 {
                    write!(f, " for {queued_ms} ms")?;
                }
                if behind.is_empty() { Ok(()) } else { write!(f, ": {behind}") }
            }
            Self::Failed { capability, reason } => write!(f, "`{capability}` has failed: {reason}"),
            Self::Starting { capability, reason } => write!(f, "`{capability}` has not started: {reason}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "{bytes} bytes are more than wire.max_message_bytes ({limit})")
            }
            Self::Undecodable { message, detail } => write!(f, "the receiver cannot read `{message}`: {detail}"),
            Self::Unreachable { node } => write!(f, "nobody listens at node `{node}`"),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { running_ms, doing } => {
                write!(f, "the deadline passed after running for {running_ms} ms")?;
                if doing.is_empty() { Ok(()) } else { write!(f, ", {doing}") }
            }
            Self::NoAnswer { node } => write!(f, "node `{node}` did not answer before the deadline"),
            Self::NodeLost { node } => write!(f, "node `{node}` was lost while it had the message"),
            Self::WireLost { node } => write!(f, "the wire to node `{node}` was lost"),
            Self::CommitUnanswered => write!(f, "the database did not answer the commit"),
            Self::FailedAfterCommit { detail } => write!(f, "it committed, then failed: {detail}"),
            Self::Downstream { detail } => write!(f, "an ask of its own: {detail}"),
            Self::UndecodableAnswer { detail } => write!(f, "the answer cannot be read: {detail}"),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde asks.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl std::error::Error for Failure {}
impl std::error::Error for NotDelivered {}
impl std::error::Error for Unknown {}
