//! Frames: the unit that nodes publish to each other. `docs/protocol.md` describes them for other languages.
//!
//! A frame is a sequence of MessagePack values: a header, then as many messages as the header says. Fields are named,
//! unknown fields are ignored, and a frame of an unknown version is dropped whole. In a cluster with a secret a tag follows, over
//! the frame and the channel that it is for. Names on the wire are in the `serde`
//! attributes where Rust has another name for the same thing; they never change.

use std::collections::BTreeMap;

use bytes::Bytes;
use essaim_contract::{AskError, Metadata, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use essaim_base::codec::{self, DecodeError, EncodeError};

use super::keys::{self, ClusterKeys};

/// The version of the frame format.
pub const VERSION: u8 = 1;

/// The first value of every frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameHeader<'a> {
    /// The version of the frame format.
    #[serde(rename = "essaim")]
    pub version: u8,
    /// The name of the sending node.
    pub from: &'a str,
    /// The epoch of the sending node.
    pub epoch: u64,
    /// The channel to which the sender wants its answers.
    pub inbox: &'a str,
    /// Bytes that the sender has sent to the receiver before this frame.
    #[serde(rename = "sent")]
    pub sent_bytes: u64,
    /// Total of bytes that the receiver of this frame may send to the sender.
    #[serde(rename = "grant")]
    pub granted_bytes: u64,
    /// Number of messages that follow.
    #[serde(rename = "n")]
    pub message_count: u32,
    /// Higher than in every earlier frame of the sender's epoch, to whichever channel; 0 in a frame without a tag.
    #[serde(rename = "no", default, skip_serializing_if = "is_zero")]
    pub number: u64,
}

/// One message of a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameMessage<'a> {
    /// An ask.
    #[serde(borrow)]
    Ask(AskMessage<'a>),
    /// The reply to an ask.
    Reply {
        /// Id of the ask.
        id: u64,
        /// The encoded reply.
        #[serde(borrow)]
        body: &'a serde_bytes::Bytes,
    },
    /// Why an ask has no reply; a rejection carries the encoded business error.
    Error {
        /// Id of the ask.
        id: u64,
        /// The error.
        error: AskError<ByteBuf>,
    },
    /// A message for every node.
    #[serde(rename = "cast")]
    Broadcast(BroadcastMessage<'a>),
    /// A node is alive.
    #[serde(rename = "beat")]
    Heartbeat(Heartbeat),
    /// The sender has seen that the receiver drains.
    #[serde(rename = "seen")]
    DrainAck,
    /// The sender has left the cluster.
    #[serde(rename = "bye")]
    Leave,
    /// A node's test of its own inbox.
    Ping(u64),
    /// The sender's grant is used up: it waits for a larger one.
    #[serde(rename = "want")]
    CreditRequest,
}

/// An ask on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskMessage<'a> {
    /// Unique among the asks and broadcasts of the sender's epoch.
    pub id: u64,
    /// The wire name, such as `orders.place.v1`.
    pub name: &'a str,
    /// How long the asker still waits, from `sent_at_us` on.
    #[serde(rename = "left")]
    pub time_left_ms: u64,
    /// The sender's monotonic clock when it wrote `time_left_ms`.
    #[serde(rename = "at")]
    pub sent_at_us: u64,
    /// W3C trace context.
    pub trace: &'a str,
    /// W3C `tracestate`; empty if there is none.
    #[serde(rename = "state", default, skip_serializing_if = "str::is_empty")]
    pub trace_state: &'a str,
    /// Whether the records of the trace's messages are kept.
    #[serde(rename = "keep", default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// The capabilities that wait for the answer, first asker first.
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<&'a str>,
    /// The principal on whose behalf it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// Small values that travel with the message.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub meta: Metadata,
    /// The encoded message.
    #[serde(borrow)]
    pub body: &'a serde_bytes::Bytes,
}

/// A broadcast on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BroadcastMessage<'a> {
    /// Unique among the asks and broadcasts of the sender's epoch, if its records are kept; else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub id: u64,
    /// The wire name.
    pub name: &'a str,
    /// W3C trace context.
    pub trace: &'a str,
    /// W3C `tracestate`; empty if there is none.
    #[serde(rename = "state", default, skip_serializing_if = "str::is_empty")]
    pub trace_state: &'a str,
    /// Whether the records of the trace's messages are kept.
    #[serde(rename = "keep", default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// The encoded message.
    #[serde(borrow)]
    pub body: &'a serde_bytes::Bytes,
}

fn is_zero(id: &u64) -> bool {
    *id == 0
}

/// A node's periodic sign of life: its identity and what it can do now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Whether every node should send a heartbeat in answer, because the sender is new or was cut off.
    #[serde(default)]
    pub hello: bool,
    /// Whether the node takes asks.
    pub state: NodeState,
    /// The version of the node's binary.
    pub version: String,
    /// The identity of the node's cluster; empty in a single process.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Initial credit: bytes that one sender may send to the node before its first grant.
    #[serde(rename = "window")]
    pub window_bytes: u64,
    /// The capabilities that the node hosts, by name.
    pub capabilities: BTreeMap<String, HostReport>,
}

/// Whether a node takes asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It takes asks.
    #[default]
    Ready,
    /// It is leaving.
    Draining,
}

/// One hosted capability as heartbeats report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Whether it takes asks now.
    pub running: bool,
    /// Messages admitted and not done.
    pub load: u32,
    /// Bound of `load`.
    pub limit: u32,
    /// Number of instances.
    pub instances: u32,
    /// Number of instances that are up.
    pub up: u32,
    /// Restarts of instances so far.
    pub restarts: u64,
    /// The capabilities that its handlers may ask.
    pub asks: Vec<String>,
    /// The wire names of the messages that it handles.
    pub messages: Vec<String>,
}

/// The answer to an ask, encoded; a rejection holds the encoded business error.
pub type RawAnswer = Result<Vec<u8>, AskError<ByteBuf>>;

/// Encodes a frame from its header and its messages, each encoded by [`encode_message`].
pub fn encode(header: &FrameHeader<'_>, messages: &[Vec<u8>]) -> Result<Bytes, EncodeError> {
    encode_bytes(header, messages).map(Bytes::from)
}

/// The same for a channel, with the tag that proves there who made it, if the cluster has a secret.
pub fn encode_for(
    channel: &str,
    keys: &ClusterKeys,
    header: &FrameHeader<'_>,
    messages: &[Vec<u8>],
) -> Result<Bytes, EncodeError> {
    let mut frame = encode_bytes(header, messages)?;
    if let Some(tag) = keys.tag_frame(channel, &frame) {
        keys::push_tag(&mut frame, &tag);
    }
    Ok(frame.into())
}

fn encode_bytes(header: &FrameHeader<'_>, messages: &[Vec<u8>]) -> Result<Vec<u8>, EncodeError> {
    debug_assert_eq!(header.message_count as usize, messages.len(), "the header counts the messages");
    let mut frame = Vec::with_capacity(256 + messages.iter().map(Vec::len).sum::<usize>());
    header.serialize(&mut rmp_serde::Serializer::new(&mut frame).with_struct_map())?;
    for message in messages {
        frame.extend_from_slice(message);
    }
    Ok(frame)
}

/// Encodes one message of a frame.
pub fn encode_message(message: &FrameMessage<'_>) -> Result<Vec<u8>, EncodeError> {
    codec::encode(message)
}

/// Decodes a frame: the header, then each message until the first that cannot be read.
pub fn decode<'a>(
    frame: &'a [u8],
    mut on_message: impl FnMut(&FrameHeader<'a>, FrameMessage<'a>),
) -> Result<FrameHeader<'a>, DecodeError> {
    let mut reader = codec::bounded(rmp_serde::Deserializer::from_read_ref(frame));
    let header = FrameHeader::deserialize(&mut reader)?;
    if header.version != VERSION {
        return Err(DecodeError::Syntax(format!("frame version {} is not known", header.version)));
    }
    for _ in 0..header.message_count {
        on_message(&header, FrameMessage::deserialize(&mut reader)?);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use essaim_contract::NotDelivered;

    use super::*;

    fn header(message_count: u32) -> FrameHeader<'static> {
        FrameHeader {
            version: VERSION,
            from: "a",
            epoch: 7,
            inbox: "essaim:inbox:a:7",
            sent_bytes: 10,
            granted_bytes: 99,
            message_count,
            number: 0,
        }
    }

    fn messages() -> Vec<FrameMessage<'static>> {
        vec![
            FrameMessage::Ask(AskMessage {
                id: 1,
                name: "orders.place.v1",
                time_left_ms: 1_000,
                sent_at_us: 5,
                trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                trace_state: "rojo=1",
                kept: true,
                chain: vec!["gateway"],
                principal: Some(Principal::new("u1", ["admin"])),
                meta: Metadata::new(),
                body: serde_bytes::Bytes::new(&[1, 2, 3]),
            }),
            FrameMessage::Reply { id: 1, body: serde_bytes::Bytes::new(&[4]) },
            FrameMessage::Error { id: 2, error: AskError::Rejected(ByteBuf::from([9])) },
            FrameMessage::Error {
                id: 3,
                error: AskError::NotDelivered(NotDelivered::NoHost { capability: "orders".into() }),
            },
            FrameMessage::DrainAck,
            FrameMessage::Ping(4),
            FrameMessage::CreditRequest,
            FrameMessage::Leave,
        ]
    }

    /// The name on the wire of a message's kind.
    fn tag(message: &FrameMessage<'_>) -> String {
        let encoded = encode_message(message).unwrap();
        let kind = &encoded[usize::from(encoded[0] == 0x81)..];
        let length = usize::from(kind[0] & 0x1f);
        String::from_utf8(kind[1..=length].to_vec()).unwrap()
    }

    #[test]
    fn the_kinds_on_the_wire_are_those_of_the_protocol() {
        let broadcast = BroadcastMessage {
            id: 0,
            name: "a.b.v1",
            trace: "",
            trace_state: "",
            kept: false,
            body: serde_bytes::Bytes::new(&[]),
        };
        let heartbeat = Heartbeat {
            hello: false,
            state: NodeState::Ready,
            version: "1".into(),
            cluster: String::new(),
            window_bytes: 1,
            capabilities: BTreeMap::new(),
        };
        let more = [FrameMessage::Broadcast(broadcast), FrameMessage::Heartbeat(heartbeat)];
        let tags: Vec<_> = messages().iter().chain(&more).map(tag).collect();
        assert_eq!(tags, ["ask", "reply", "error", "error", "seen", "ping", "want", "bye", "cast", "beat"]);
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
    fn a_tracestate_and_what_is_kept_are_fields_that_others_may_not_know() {
        /// An ask as versions before the field read it.
        #[derive(Deserialize)]
        struct EarlierAsk<'a> {
            name: &'a str,
            trace: &'a str,
            chain: Vec<&'a str>,
        }
        let [FrameMessage::Ask(ask), ..] = &messages()[..] else { panic!("the first is an ask") };
        let encoded = codec::encode(ask).unwrap();
        let earlier: EarlierAsk<'_> = rmp_serde::from_slice(&encoded).unwrap();
        assert_eq!((earlier.name, earlier.trace, earlier.chain), (ask.name, ask.trace, vec!["gateway"]));
        // Without them it is encoded as before the fields, and read as none.
        let bare = AskMessage { trace_state: "", kept: false, ..ask.clone() };
        let bytes = codec::encode(&bare).unwrap();
        assert_eq!((bytes[0], bytes.len()), (encoded[0] - 2, encoded.len() - "_state_rojo=1_keep_".len()));
        assert_eq!(rmp_serde::from_slice::<AskMessage<'_>>(&bytes).unwrap(), bare);
        let body = serde_bytes::Bytes::new(&[]);
        let broadcast = BroadcastMessage { id: 0, name: "n", trace: "t", trace_state: "", kept: false, body };
        assert_eq!(codec::encode(&broadcast).unwrap(), b"\x83\xa4name\xa1n\xa5trace\xa1t\xa4body\xc4\x00");
        let kept = BroadcastMessage { id: 7, kept: true, ..broadcast };
        assert_eq!(rmp_serde::from_slice::<BroadcastMessage<'_>>(&codec::encode(&kept).unwrap()).unwrap(), kept);
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
    fn a_frame_is_read_up_to_the_depth_of_the_protocol() {
        // A heartbeat with a field of a later version, which is a list in lists: they have to be read to be passed over.
        let reads = |depth: usize| {
            let heartbeat = b"\x81\xa4beat\x85\xa5state\xa5ready\xa7version\xa11\xa6window\x01\xaccapabilities\x80";
            let message = [&heartbeat[..], b"\xa5later", &vec![0x91; depth - 1], b"\xc0"].concat();
            decode(&encode(&header(1), &[message]).unwrap(), |_, _| {}).is_ok()
        };
        assert!(reads(codec::MOST_DEPTH) && !reads(codec::MOST_DEPTH + 1), "the heartbeat itself is the first level");
    }

    #[test]
    fn a_foreign_version_is_refused_whole() {
        let foreign = FrameHeader { version: 2, ..header(1) };
        let frame = encode(&foreign, &[encode_message(&FrameMessage::DrainAck).unwrap()]).unwrap();
        let mut read = 0;
        assert!(decode(&frame, |_, _| read += 1).is_err());
        assert_eq!(read, 0);
    }
}
