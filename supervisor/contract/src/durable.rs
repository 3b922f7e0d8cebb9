//! Messages that are stored before their sender goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Message;

/// A message that tells a capability to do something, without waiting for it: stored first, delivered at least once,
/// applied exactly once by a handler with a database, in order with the others of its [key](Message::key).
pub trait Command: Message {}

/// A message that says what happened in the capability that publishes it ([`Message::To`]); every capability that
/// subscribes gets a copy, with the guarantees of a command.
pub trait Event: Message {
    /// For how many hours its publisher retains it, for capabilities that subscribe later and begin with retained
    /// events. It is retained in the publisher's database, so a capability without one retains nothing.
    const RETAINED_HOURS: u32 = 0;
}

/// The id of a stored message. Sending a message again with its id is harmless: it is applied once.
///
/// It carries the time from which on it may be applied, so that a receiver knows when it has surely forgotten it: either
/// a UUID of version 7, or a name and milliseconds since 1970, such as `nightly/1767225600000`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(String);

/// The longest message id, in bytes.
const LONGEST_ID: usize = 128;

impl MessageId {
    /// The id with this text; `None` if the text is too long or carries no time.
    pub fn parse(text: impl Into<String>) -> Option<Self> {
        let id = Self(text.into());
        (id.0.len() <= LONGEST_ID && !id.0.contains('\0') && id.time_of().is_some()).then_some(id)
    }

    /// The id of a named thing that is planned for this moment, in milliseconds since 1970.
    pub fn planned(name: &str, at_ms: u64) -> Option<Self> {
        Self::parse(format!("{name}/{at_ms}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment that it carries, in milliseconds since 1970. One that was not parsed and carries none is of 1970.
    pub fn time_ms(&self) -> u64 {
        self.time_of().unwrap_or(0)
    }

    fn time_of(&self) -> Option<u64> {
        match self.0.rsplit_once('/') {
            Some((name, at)) => at.parse().ok().filter(|_| !name.is_empty()),
            None => {
                let is_version_7 = self.0.len() == 36 && self.0.is_ascii() && self.0.as_bytes()[14] == b'7';
                let time = if is_version_7 { self.0.get(..8).zip(self.0.get(9..13)) } else { None };
                time.and_then(|(high, low)| u64::from_str_radix(&format!("{high}{low}"), 16).ok())
            }
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message may not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendError {
    /// It surely was not stored.
    NotStored {
        /// Why, for logs and operators.
        reason: String,
    },
    /// It can never be stored: it is too large, or cannot be encoded.
    Invalid {
        /// Why.
        reason: String,
    },
    /// It was not stored: as many messages wait for its receiver as may.
    Full {
        /// The capability that was to get it.
        capability: String,
        /// The bound that was reached, in words with its unit.
        bound: String,
    },
    /// It may have been stored, an event perhaps for some of its subscribers. Sending it again with this id is harmless.
    Unknown {
        /// The id.
        id: MessageId,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { reason } => write!(f, "the message cannot be stored: {reason}"),
            Self::NotStored { reason } => write!(f, "the message was not stored: {reason}"),
            Self::Full { capability, bound } => {
                write!(f, "the message was not stored, `{capability}` is full: {bound}")
            }
            Self::Unknown { id } => {
                write!(f, "whether message {id} was stored is not known; send it again with its id")
            }
        }
    }
}

impl std::error::Error for SendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time() {
        assert_eq!(MessageId::parse("019a0a5c-7a00-7000-8000-000000000000").unwrap().time_ms(), 0x019a_0a5c_7a00);
        assert_eq!(MessageId::planned("nightly", 1_767_225_600_000).unwrap().time_ms(), 1_767_225_600_000);
    }

    #[test]
    fn a_text_without_a_time_is_no_id() {
        let version_4 = "019a0a5c-7a00-4000-8000-000000000000";
        for text in ["", "/1", "nightly/", "nightly/soon", version_4, "é19a0a5c-7a00-7000-8000-00000000000"] {
            assert_eq!(MessageId::parse(text), None, "{text}");
        }
        assert_eq!(MessageId::parse(format!("{}/1", "n".repeat(200))), None);
    }
}
