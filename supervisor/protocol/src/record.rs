//! Records: the form in which messages are stored in the log, in outboxes and among dead letters.

use essaim_contract::{MessageId, Metadata, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use essaim_base::codec::{self, DecodeError, EncodeError};

use super::keys::{ClusterKeys, Distrust};

/// One stored message. Nodes of other versions read it, and this node reads it after an update: golden samples are in
/// `tests/golden`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: MessageId,
    /// The message's wire name.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The time of the send, in milliseconds since 1970 by the sender's clock.
    pub at: u64,
    /// The earliest time at which it may be handled, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// The latest time at which it may be handled, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// The time until which its publisher retains it for later subscribers, in milliseconds since 1970.
    #[serde(rename = "kept", default, skip_serializing_if = "Option::is_none")]
    pub retained_until: Option<u64>,
    /// The W3C trace context of the span that sent it.
    pub trace: String,
    /// The W3C `tracestate` that goes along; empty if there is none.
    #[serde(rename = "state", default, skip_serializing_if = "String::is_empty")]
    pub trace_state: String,
    /// Whether the records of the trace's messages are kept.
    #[serde(rename = "keep", default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub meta: Metadata,
    /// Set in a record that is no message but an operator's request about the dead letter of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// In such a request, what its operator saw: when the letter had died, or when a message that waits was due, in milliseconds
    /// since 1970. It says nothing about a later death, or a later try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    pub body: ByteBuf,
}

/// An operator's request about a dead letter. It goes through the log, so that the owner of its partition carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Handle it again, under its id.
    Replay,
    /// Delete it.
    Drop,
}

impl Record {
    /// The key that orders it; its own id if it has none.
    pub fn order(&self) -> &str {
        self.key.as_deref().unwrap_or(self.id.as_str())
    }

    /// Encodes it as it is stored by a node: signed, if its cluster has a secret.
    pub fn sign(&self, keys: &ClusterKeys) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = self.encode()?;
        keys.sign(&mut bytes);
        Ok(bytes)
    }

    /// Decodes what a node has stored.
    ///
    /// # Errors
    /// If it is no record, or none that a node has stored.
    pub fn open(bytes: &[u8], keys: &ClusterKeys) -> Result<Self, NotOpened> {
        // First: nothing of it counts before.
        keys.check_signed(bytes)?;
        Ok(Self::decode(bytes)?)
    }

    /// Encodes it, unsigned.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        codec::encode(self)
    }

    /// Decodes one record, whoever has made it: for what is shown, never for what is done.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

/// Why stored bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    #[error("{0}")]
    Distrusted(#[from] Distrust),
}

/// A record of an entry that no node has made.
#[derive(Debug, PartialEq)]
pub struct RefusedRecord<'a> {
    pub bytes: &'a [u8],
    pub why: Distrust,
}

/// The part of an entry that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct UnreadableRest<'a> {
    pub bytes: &'a [u8],
    /// Messages in it, by the count of the entry.
    pub count: u32,
    pub why: String,
}

/// Encoded records, one after the other, as one entry of a log holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub count: u32,
    pub bytes: Vec<u8>,
}

impl Batch {
    /// Adds an encoded record.
    pub fn push(&mut self, record: &[u8]) {
        self.count += 1;
        self.bytes.extend_from_slice(record);
    }

    /// Decodes an entry of `count` records, whoever has made them: those up to the first that cannot be read, and the rest from
    /// there, since the beginning of the record behind it is not known.
    pub fn read(bytes: &[u8], count: u32) -> (Vec<Record>, Option<UnreadableRest<'_>>) {
        let (records, rest) = Self::open(bytes, count, &ClusterKeys::default());
        (records.into_iter().filter_map(Result::ok).collect(), rest)
    }

    /// The same, each record only if it is believed.
    pub fn open<'a>(
        bytes: &'a [u8],
        count: u32,
        keys: &ClusterKeys,
    ) -> (Vec<Result<Record, RefusedRecord<'a>>>, Option<UnreadableRest<'a>>) {
        let (mut records, mut left) = (Vec::new(), bytes);
        loop {
            let missing = count.saturating_sub(records.len() as u32);
            let rest = |bytes, why| Some(UnreadableRest { bytes, count: missing, why });
            match (left.is_empty(), missing) {
                (true, 0) => return (records, None),
                (true, _) => return (records, rest(left, format!("{missing} messages of it are missing"))),
                (false, 0) => return (records, rest(left, "it holds more than it counts".into())),
                (false, _) => {}
            }
            let before = left;
            match Record::deserialize(&mut codec::bounded(rmp_serde::Deserializer::new(&mut left))) {
                Ok(record) => {
                    let bytes = &before[..before.len() - left.len()];
                    let believed = keys.check_signed(bytes).map_err(|why| RefusedRecord { bytes, why });
                    records.push(believed.map(|()| record));
                }
                Err(error) => return (records, rest(before, error.to_string())),
            }
        }
    }
}

/// A record for tests.
#[cfg(any(test, feature = "conformance"))]
pub fn sample(id: u64, key: Option<&str>) -> Record {
    Record {
        id: MessageId::planned("test", id).expect("the name of a test is short"),
        name: "shop.sell.v1".into(),
        key: key.map(Into::into),
        at: 1,
        not_before: None,
        expires: None,
        retained_until: None,
        trace: String::new(),
        trace_state: String::new(),
        kept: false,
        principal: None,
        meta: Metadata::new(),
        control: None,
        seen: None,
        body: ByteBuf::from(vec![1, 2, 3]),
    }
}

#[cfg(test)]
mod tests {
    use super::sample as record;
    use super::*;

    #[test]
    fn records_of_a_batch_come_back_in_order() {
        let mut batch = Batch::default();
        let records = [record(1, None), record(2, Some("a"))];
        records.iter().for_each(|r| batch.push(&r.encode().unwrap()));
        assert_eq!(Batch::read(&batch.bytes, 2), (records.to_vec(), None));
    }

    #[test]
    fn of_a_batch_only_what_a_node_has_signed_is_believed_each_alone() {
        let keys = ClusterKeys::new("of more than 32 characters, as any secret", &[], false);
        let signed = |n| record(n, None).sign(&keys).unwrap();
        let mut changed = signed(2);
        let at = changed.iter().rposition(|byte| *byte == 3).unwrap();
        changed[at] = 4;
        let plain = record(3, None).encode().unwrap();
        let batch = [signed(1), changed.clone(), plain.clone(), signed(4)].concat();
        let (records, rest) = Batch::open(&batch, 4, &keys);
        let forged = |bytes, why| Err(RefusedRecord { bytes, why });
        assert_eq!(rest, None);
        assert_eq!(
            records,
            [
                Ok(record(1, None)),
                forged(&changed, Distrust::Forged),
                forged(&plain, Distrust::Untagged),
                Ok(record(4, None)),
            ]
        );
        // A version that knows nothing of tags reads all of them.
        assert_eq!(Batch::read(&batch, 4).0.len(), 4);
        assert!(Record::open(&plain, &keys).is_err() && Record::open(&signed(1), &keys).is_ok());
    }

    #[test]
    fn a_tracestate_is_a_field_of_a_record_only_where_there_is_one() {
        let bare = record(1, None).encode().unwrap();
        let traced = Record { trace_state: "rojo=1".into(), ..record(1, None) };
        let encoded = traced.encode().unwrap();
        assert_eq!(
            (bare[0], bare.len()),
            (encoded[0] - 1, encoded.len() - "_state_rojo=1".len()),
            "as before the field"
        );
        assert_eq!([bare, encoded].map(|bytes| Record::decode(&bytes).unwrap()), [record(1, None), traced]);
    }

    #[test]
    fn a_record_is_read_up_to_the_depth_of_the_protocol() {
        let mut encoded = record(1, None).encode().unwrap();
        // A field of a later version, which is a list in lists: they have to be read to be passed over.
        encoded[0] += 1;
        let reads = |depth: usize| {
            let deep = [&encoded[..], b"\xa5later", &vec![0x91; depth - 1], b"\xc0"].concat();
            Batch::read(&deep, 1).1.is_none()
        };
        assert!(reads(codec::MOST_DEPTH) && !reads(codec::MOST_DEPTH + 1), "the record itself is the first level");
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
