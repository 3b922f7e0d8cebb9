//! Frames as a client in another language would make them from docs/protocol.md.
//!
//! The client here shares no code with the runtime: it publishes the recorded asks to a real node's inbox over a real
//! Redis, and the node must answer with the recorded messages, byte for byte.

use std::collections::BTreeMap;

use essaim_contract::Principal;
use redis::Commands;
use rmp_serde::Deserializer;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::record::Record;
use crate::errors::FarNode;
use crate::support::{PATIENCE, Redis};

const INBOX: &str = "essaim:inbox:tool:7";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Serialize, Deserialize)]
struct Header {
    essaim: u8,
    from: String,
    epoch: u64,
    inbox: String,
    sent: u64,
    grant: u64,
    n: u32,
}

#[derive(Serialize)]
struct Message<'a> {
    ask: Ask<'a>,
}

/// An ask, as docs/protocol.md describes it.
#[derive(Serialize)]
pub struct Ask<'a> {
    pub id: u64,
    pub name: &'a str,
    pub left: u64,
    pub at: u64,
    pub trace: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub chain: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    pub body: ByteBuf,
}

/// An ask of the probe, whose message is one text.
pub fn ask(id: u64, name: &'static str, deed: &str) -> Ask<'static> {
    let body = rmp_serde::to_vec_named(deed).expect("a text can be encoded");
    Ask { id, name, left: 30_000, at: 1_000, trace: TRACE, chain: &[], principal: None, body: body.into() }
}

/// A frame with one ask.
pub fn frame(version: u8, ask: Ask<'_>) -> Vec<u8> {
    let header =
        Header { essaim: version, from: "tool".into(), epoch: 7, inbox: INBOX.into(), sent: 0, grant: 1 << 20, n: 1 };
    let mut frame = rmp_serde::to_vec_named(&header).expect("a header can be encoded");
    frame.extend(rmp_serde::to_vec_named(&Message { ask }).expect("an ask can be encoded"));
    frame
}

/// Publishes frames to the node's inbox, one after another, and takes as many answers: the messages by their asks' ids.
pub fn converse(redis: &Redis, node: &str, frames: &[Vec<u8>], answers: usize) -> BTreeMap<u64, Vec<u8>> {
    let (mut publisher, mut listener) = (redis.connection(), redis.connection());
    listener.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut subscription = listener.as_pubsub();
    subscription.subscribe(INBOX).expect("redis takes a subscriber");
    let inbox = redis.wait_for_channel(&format!(":inbox:{node}:"));
    for frame in frames {
        let receivers: u64 = publisher.publish(&inbox, &frame[..]).expect("redis takes a frame");
        assert_eq!(receivers, 1, "the node listens at its inbox");
    }
    let mut answered = BTreeMap::new();
    while answered.len() < answers {
        let frame: Vec<u8> = subscription.get_message().expect("the node answers").get_payload().expect("bytes");
        for (id, message) in messages(&frame) {
            assert!(answered.insert(id, message).is_none(), "ask {id} was answered twice");
        }
    }
    answered
}

/// The answers in a frame: the ask's id and the whole message.
fn messages(frame: &[u8]) -> Vec<(u64, Vec<u8>)> {
    #[derive(Deserialize)]
    struct Answer {
        id: u64,
    }
    let mut rest = frame;
    let header = Header::deserialize(&mut Deserializer::new(&mut rest)).expect("a frame begins with a header");
    assert_eq!((header.essaim, header.from.as_str()), (1, "far"));
    let mut found = Vec::new();
    for _ in 0..header.n {
        let message = rest;
        IgnoredAny::deserialize(&mut Deserializer::new(&mut rest)).expect("messages follow the header");
        let message = &message[..message.len() - rest.len()];
        if let Ok(answer) = rmp_serde::from_slice::<BTreeMap<String, Answer>>(message) {
            found.extend(answer.into_values().map(|a| (a.id, message.to_vec())));
        }
    }
    assert!(rest.is_empty(), "nothing follows the messages");
    found
}

#[test]
fn a_client_in_another_language_is_answered_byte_for_byte() {
    let in_a_circle = Ask { chain: &["relay", "probe"], ..ask(6, "probe.do.v1", "Answer") };
    let asks = [
        ("answered", frame(1, ask(1, "probe.do.v1", "Answer"))),
        ("rejected", frame(1, ask(2, "probe.do.v1", "Reject"))),
        ("panicked", frame(1, ask(3, "probe.do.v1", "Panic"))),
        ("unsupported", frame(1, ask(4, "probe.do.v9", "Answer"))),
        ("no-host", frame(1, ask(5, "nobody.whisper.v1", "Answer"))),
        ("cycle", frame(1, in_a_circle)),
    ];
    let frames: Vec<_> = asks.iter().map(|(_, frame)| frame.clone()).collect();
    let node = FarNode::start();
    let answers = converse(node.redis(), "far", &frames, asks.len());
    let mut record = Record::new();
    for ((name, frame), answer) in asks.into_iter().zip(answers.into_values()) {
        record.raw(format!("{name} ask-frame"), frame);
        record.raw(format!("{name} answer"), answer);
    }
    record.compare("tests/golden/frames.txt");
}

#[test]
fn repeated_foreign_and_broken_frames_change_nothing() {
    let node = FarNode::start();
    let ask_1 = frame(1, ask(1, "probe.do.v1", "Answer"));
    let of_version_2 = frame(2, ask(2, "probe.do.v1", "Answer"));
    let cut = ask_1[..ask_1.len() / 2].to_vec();
    let frames = [
        ask_1.clone(),
        ask_1,
        of_version_2,
        b"hello".to_vec(),
        cut,
        Vec::new(),
        frame(1, ask(3, "probe.do.v1", "Answer")),
    ];
    let answers = converse(node.redis(), "far", &frames, 2);
    assert_eq!(answers.into_keys().collect::<Vec<_>>(), [1, 3]);
}
