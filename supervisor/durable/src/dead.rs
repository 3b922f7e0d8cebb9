//! Dead letters as operators see them, whichever place keeps them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use essaim_base::codec;
use essaim_protocol::keys::ClusterKeys;
use essaim_protocol::record::{Record, RefusedRecord};
use essaim_store::tables::dead::DeadReason;

/// A dead letter of a capability without a database, as the log keeps it: signed, if the cluster has a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogDeadLetter {
    pub record: Record,
    pub reason: DeadReason,
    pub attempts: u32,
    pub error: String,
    /// When it died, in milliseconds since 1970.
    pub at: u64,
}

/// A stored message that was not believed, as the log keeps it: its bytes are as they were found, and nobody vouches for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedLetter {
    pub refused: ByteBuf,
    pub why: String,
    /// When it was refused, in milliseconds since 1970.
    pub at: u64,
}

/// The bytes of a dead letter that died for a reason, after so many attempts, with that error.
pub fn encode_for_log(
    keys: &ClusterKeys,
    record: &Record,
    (reason, attempts, error): (DeadReason, u32, &str),
    at: u64,
) -> Bytes {
    let letter = LogDeadLetter { record: record.clone(), reason, attempts, error: error.into(), at };
    let mut bytes = codec::encode(&letter).unwrap_or_default();
    if !bytes.is_empty() {
        keys.sign(&mut bytes);
    }
    bytes.into()
}

/// The bytes of a message that was refused.
pub(crate) fn encode_refused(refused: &RefusedRecord<'_>, at: u64) -> Bytes {
    let letter = RefusedLetter { refused: ByteBuf::from(refused.bytes), why: refused.why.to_string(), at };
    codec::encode(&letter).map(Bytes::from).unwrap_or_default()
}
