//! The form in which a message is stored.

use essaim_contract::{MessageId, Metadata, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{self, DecodeError, EncodeError};

/// One stored message. Golden samples of it are in `tests/golden`: nodes of other versions read it, and so does this one
/// after an update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub id: MessageId,
    /// The message's wire name.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was sent, in milliseconds since 1970 by its sender's clock.
    pub at: u64,
    /// It is not handled before this moment, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// It is not handled after this moment, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Its publisher keeps it until this moment, in milliseconds since 1970, for those who subscribe later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
    /// The W3C trace context of the span that sent it.
    pub trace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub meta: Metadata,
    /// Set in what is no message but says what is to be done about a dead letter of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    pub body: ByteBuf,
}

/// What is to be done about a dead letter. It goes through the log, so that the owner of its partition does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    /// Try it again, under its id.
    Replay,
    /// Forget it.
    Drop,
}

impl Record {
    /// What orders it: its key, or nothing but its own id.
    pub fn order(&self) -> &str {
        self.key.as_deref().unwrap_or(self.id.as_str())
    }

    /// Its bytes within a batch.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        codec::encode(self)
    }

    /// Reads one record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

/// Encoded records, one after the other, as one entry of a log holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub count: u32,
    pub bytes: Vec<u8>,
}

impl Batch {
    /// Adds an encoded record.
    pub fn push(&mut self, record: &[u8]) {
        self.count += 1;
        self.bytes.extend_from_slice(record);
    }

    /// Reads the records of an entry.
    pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record, DecodeError>> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = rmp_serde::from_read(&mut rest);
            if record.is_err() {
                // Where the next one would begin is not known.
                rest = &[];
            }
            Some(record)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn record(id: u64, key: Option<&str>) -> Record {
        Record {
            id: MessageId::planned("test", id).unwrap(),
            name: "shop.sell.v1".into(),
            key: key.map(Into::into),
            at: 1,
            not_before: None,
            expires: None,
            kept: None,
            trace: String::new(),
            principal: None,
            meta: Metadata::new(),
            control: None,
            body: ByteBuf::from(vec![1, 2, 3]),
        }
    }

    #[test]
    fn records_of_a_batch_come_back_in_order() {
        let mut batch = Batch::default();
        let records = [record(1, None), record(2, Some("a"))];
        records.iter().for_each(|r| batch.push(&r.encode().unwrap()));
        let read: Vec<_> = Batch::records(&batch.bytes).map(Result::unwrap).collect();
        assert_eq!((batch.count, read.as_slice()), (2, records.as_slice()));
    }

    #[test]
    fn broken_bytes_end_a_batch_with_an_error() {
        let mut bytes = record(1, None).encode().unwrap();
        bytes.truncate(bytes.len() - 2);
        let read: Vec<_> = Batch::records(&bytes).collect();
        assert!(read.len() == 1 && read[0].is_err());
    }
}
