//! How a handler says that it has no reply.
//!
//! A rejection is business: it is part of the contract, and never retried. Everything else is a failure, and the
//! runtime turns it into the truth that the asker may rely on. `?` converts what a handler usually meets: a database
//! error is a failure, and an ask of its own that ended without a reply keeps what is known about it.

use std::fmt;

use essaim_contract::{AskError, Failure, FailureKind, Never, SendError, Unknown};

use essaim_store::classify;

/// Why a handler has no reply; `E` is the message's business error.
#[derive(Debug)]
pub enum Fault<E = Never> {
    /// The actor says no.
    Rejected(E),
    /// The handler failed.
    Failed(Failure),
    /// The handler cannot know whether what it began took place.
    Unknown(Unknown),
}

/// The actor says no: `return Err(reject(OrderError::Empty))`.
pub fn reject<E>(error: impl Into<E>) -> Fault<E> {
    Fault::Rejected(error.into())
}

/// The handler failed for a reason that is not business: `.map_err(fail)?`.
pub fn fail<E>(reason: impl fmt::Display) -> Fault<E> {
    Fault::Failed(Failure { kind: FailureKind::Error, detail: reason.to_string() })
}

impl<E> From<sea_orm::DbErr> for Fault<E> {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Failed(Failure { kind: classify::failure_kind(&error), detail: error.to_string() })
    }
}

impl<E, F: fmt::Display> From<AskError<F>> for Fault<E> {
    fn from(error: AskError<F>) -> Self {
        match error {
            AskError::Rejected(e) => fail(format_args!("an ask of its own was rejected: {e}")),
            AskError::Failed(e) => Self::Failed(e),
            AskError::NotDelivered(e) => {
                Self::Failed(Failure { kind: FailureKind::Unavailable, detail: e.to_string() })
            }
            AskError::Unknown(e) => Self::Unknown(Unknown::Downstream { detail: e.to_string() }),
        }
    }
}

impl<E> From<SendError> for Fault<E> {
    fn from(error: SendError) -> Self {
        let detail = error.to_string();
        match error {
            SendError::Invalid { .. } => Self::Failed(Failure { kind: FailureKind::Error, detail }),
            SendError::NotStored { .. } | SendError::Full { .. } => {
                Self::Failed(Failure { kind: FailureKind::Unavailable, detail })
            }
            SendError::Unknown { .. } => Self::Unknown(Unknown::Downstream { detail }),
        }
    }
}
