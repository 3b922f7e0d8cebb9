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

/// What of an entry cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rest<'a> {
    pub bytes: &'a [u8],
    /// Messages in it, by the entry's own count.
    pub count: u32,
    pub why: String,
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

    /// Reads an entry of so many records: those that can be read, and the rest if there is one. Where the record behind
    /// one that cannot be read would begin is not known.
    pub fn read(bytes: &[u8], count: u32) -> (Vec<Record>, Option<Rest<'_>>) {
        let (mut records, mut left) = (Vec::new(), bytes);
        loop {
            let missing = count.saturating_sub(records.len() as u32);
            let rest = |bytes, why| Some(Rest { bytes, count: missing, why });
            match (left.is_empty(), missing) {
                (true, 0) => return (records, None),
                (true, _) => return (records, rest(left, format!("{missing} messages of it are missing"))),
                (false, 0) => return (records, rest(left, "it holds more than it counts".into())),
                (false, _) => {}
            }
            let before = left;
            match rmp_serde::from_read(&mut left) {
                Ok(record) => records.push(record),
                Err(error) => return (records, rest(before, error.to_string())),
            }
        }
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
        assert_eq!(Batch::read(&batch.bytes, 2), (records.to_vec(), None));
    }

    #[test]
    fn what_of_a_batch_cannot_be_read_is_its_rest() {
        let (first, second) = (record(1, None), record(2, None));
        let (whole, mut bytes) = (first.encode().unwrap(), first.encode().unwrap());
        bytes.extend(&second.encode().unwrap()[..9]);
        for (count, bytes, left) in [(3, &bytes, 2), (2, &whole, 1)] {
            let (records, rest) = Batch::read(bytes, count);
            let rest = rest.unwrap();
            assert_eq!((records, rest.count, rest.bytes), (vec![first.clone()], left, &bytes[whole.len()..]));
        }
        let twice = [whole.clone(), whole.clone()].concat();
        let (records, rest) = Batch::read(&twice, 1);
        assert_eq!(
            (records.len(), rest.map(|r| (r.count, r.bytes.to_vec()))),
            (1, Some((0, whole))),
            "more than it counts"
        );
    }
}
