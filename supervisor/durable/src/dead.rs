//! Dead letters as operators see them, whichever place keeps them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use essaim_base::codec;
use essaim_protocol::record::Record;
use essaim_store::tables::dead::DeadReason;

/// A dead letter of a capability without a database, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogDeadLetter {
    pub record: Record,
    pub reason: DeadReason,
    pub attempts: u32,
    pub error: String,
    /// When it died, in milliseconds since 1970.
    pub at: u64,
}

/// The bytes of such a letter.
pub fn encode_for_log(record: &Record, reason: DeadReason, attempts: u32, error: &str, at: u64) -> Bytes {
    let letter = LogDeadLetter { record: record.clone(), reason, attempts, error: error.into(), at };
    codec::encode(&letter).map(Bytes::from).unwrap_or_default()
}
