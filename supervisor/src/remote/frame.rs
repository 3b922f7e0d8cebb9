//! The form of frames; `docs/protocol.md` describes it for other languages.
//!
//! A frame is a sequence of MessagePack values: a header, then as many messages as the header says. Fields are named,
//! unknown fields are ignored, and a frame whose version is not known is dropped whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use essaim_contract::{AskError, Metadata, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::{self, DecodeError, EncodeError};

/// The version of the frame's form.
pub(crate) const VERSION: u8 = 1;

/// What every frame begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    /// The version of the form.
    pub essaim: u8,
    /// The name of the node that sends.
    pub from: &'a str,
    /// Its epoch.
    pub epoch: u64,
    /// The channel to which it wants its answers.
    pub inbox: &'a str,
    /// How many bytes the sender has sent to this inbox before this frame.
    pub sent: u64,
    /// Up to how many bytes in all the receiver of this frame may send to the sender.
    pub grant: u64,
    /// How many messages follow.
    pub n: u32,
}

/// One message of a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message<'a> {
    /// An ask.
    #[serde(borrow)]
    Ask(Ask<'a>),
    /// The reply to an ask.
    Reply {
        /// The ask's id.
        id: u64,
        /// The encoded reply.
        #[serde(borrow)]
        body: &'a serde_bytes::Bytes,
    },
    /// Why an ask has no reply; a rejection carries the encoded business error.
    Error {
        /// The ask's id.
        id: u64,
        /// The error.
        error: AskError<ByteBuf>,
    },
    /// A message for everybody.
    Cast(Cast<'a>),
    /// A node says that it is there.
    Beat(Beat),
    /// The receiver's drain was seen.
    Seen,
    /// The sender has left.
    Bye,
    /// The sender looks whether its own inbox hears.
    Ping(u64),
    /// The sender waits for a larger grant.
    Want,
}

/// An ask on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ask<'a> {
    /// Unique among the asks of the sender's epoch.
    pub id: u64,
    /// The wire name, such as `orders.place.v1`.
    pub name: &'a str,
    /// How long the asker waits, in milliseconds from `at`.
    pub left: u64,
    /// The sender's monotonic clock when it wrote `left`, in microseconds.
    pub at: u64,
    /// W3C trace context.
    pub trace: &'a str,
    /// The capabilities that wait for the answer, the first asker first.
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<&'a str>,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// Small values that go along.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub meta: Metadata,
    /// The encoded message.
    #[serde(borrow)]
    pub body: &'a serde_bytes::Bytes,
}

/// A broadcast on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cast<'a> {
    /// The wire name.
    pub name: &'a str,
    /// W3C trace context.
    pub trace: &'a str,
    /// The encoded message.
    #[serde(borrow)]
    pub body: &'a serde_bytes::Bytes,
}

/// A heartbeat: who a node is and what it can do now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beat {
    /// Whether every node should beat at once in answer, because the sender is new or was cut off.
    #[serde(default)]
    pub hello: bool,
    /// Whether it takes asks.
    pub state: NodeState,
    /// The version of its binary.
    pub version: String,
    /// The identity of its cluster; empty in a single process.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Bytes that one sender may have on the way to it, to begin with.
    pub window: u64,
    /// What it hosts.
    pub capabilities: BTreeMap<String, HostBeat>,
}

/// Whether a node takes asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It takes asks.
    Ready,
    /// It is leaving.
    Draining,
}

/// One capability in a heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostBeat {
    /// Whether it takes asks now.
    pub running: bool,
    /// Messages admitted and not done.
    pub load: u32,
    /// Messages that may be admitted.
    pub limit: u32,
    /// Instances.
    pub instances: u32,
    /// Instances that are up.
    pub up: u32,
    /// Restarts of instances.
    pub restarts: u64,
    /// The capabilities it may ask.
    pub asks: Vec<String>,
    /// The wire names of the messages it handles.
    pub messages: Vec<String>,
}

/// A frame that can be sent: header and messages.
pub(crate) fn encode(header: &Header<'_>, messages: &[Vec<u8>]) -> Result<Bytes, EncodeError> {
    let mut frame = Vec::with_capacity(160 + messages.iter().map(Vec::len).sum::<usize>());
    header.serialize(&mut rmp_serde::Serializer::new(&mut frame).with_struct_map())?;
    for message in messages {
        frame.extend_from_slice(message);
    }
    Ok(frame.into())
}

/// One message, ready to be put into a frame.
pub(crate) fn encode_message(message: &Message<'_>) -> Result<Vec<u8>, EncodeError> {
    codec::encode(message)
}

/// Reads a frame: the header, then each message until the first that cannot be read.
pub(crate) fn decode<'a>(
    frame: &'a [u8],
    mut each: impl FnMut(&Header<'a>, Message<'a>),
) -> Result<Header<'a>, DecodeError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(frame);
    reader.set_max_depth(codec::MOST_DEPTH);
    // Deeper nesting than any message has is an attack on the stack.
    reader.set_max_depth(64);
    let header = Header::deserialize(&mut reader)?;
    if header.essaim != VERSION {
        return Err(DecodeError::Syntax(format!("frame version {} is not known", header.essaim)));
    }
    for _ in 0..header.n {
        each(&header, Message::deserialize(&mut reader)?);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use essaim_contract::NotDelivered;

    use super::*;

    fn header(n: u32) -> Header<'static> {
        Header { essaim: VERSION, from: "a", epoch: 7, inbox: "essaim:inbox:a:7", sent: 10, grant: 99, n }
    }

    fn messages() -> Vec<Message<'static>> {
        vec![
            Message::Ask(Ask {
                id: 1,
                name: "orders.place.v1",
                left: 1_000,
                at: 5,
                trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                chain: vec!["gateway"],
                principal: Some(Principal::new("u1", ["admin"])),
                meta: Metadata::new(),
                body: serde_bytes::Bytes::new(&[1, 2, 3]),
            }),
            Message::Reply { id: 1, body: serde_bytes::Bytes::new(&[4]) },
            Message::Error { id: 2, error: AskError::Rejected(ByteBuf::from([9])) },
            Message::Error {
                id: 3,
                error: AskError::NotDelivered(NotDelivered::NoHost { capability: "orders".into() }),
            },
            Message::Seen,
            Message::Ping(4),
            Message::Want,
            Message::Bye,
        ]
    }

    #[test]
    fn a_frame_survives_the_round_trip() {
        let sent = messages();
        let encoded: Vec<_> = sent.iter().map(|m| encode_message(m).unwrap()).collect();
        let frame = encode(&header(encoded.len() as u32), &encoded).unwrap();
        let mut read = Vec::new();
        let head = decode(&frame, |_, m| read.push(m)).unwrap();
        assert_eq!(head, header(8));
        assert_eq!(read, sent);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_survived() {
        let encoded: Vec<_> = messages().iter().map(|m| encode_message(m).unwrap()).collect();
        let frame = encode(&header(encoded.len() as u32), &encoded).unwrap();
        for end in 0..frame.len() {
            assert!(decode(&frame[..end], |_, _| {}).is_err(), "cut at {end}");
        }
        for at in 0..frame.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = frame.to_vec();
                bad[at] ^= flip;
                let _ = decode(&bad, |_, _| {});
            }
        }
    }

    #[test]
    fn a_foreign_version_is_refused_whole() {
        let foreign = Header { essaim: 2, ..header(1) };
        let frame = encode(&foreign, &[encode_message(&Message::Seen).unwrap()]).unwrap();
        let mut read = 0;
        assert!(decode(&frame, |_, _| read += 1).is_err());
        assert_eq!(read, 0);
    }
}
