//! One record of a message: the half of its handler, or that of its sender.

use std::sync::Arc;

use essaim_base::measure::Outcome;
use essaim_contract::Metadata;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::Text;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// A request over HTTP.
    Request,
    Ask,
    Command,
    Event,
    Broadcast,
    /// A capability's own timer in one node.
    Timer,
    /// A command that a capability sends itself at a set time.
    Schedule,
}

impl MessageKind {
    pub const ALL: [Self; 7] =
        [Self::Request, Self::Ask, Self::Command, Self::Event, Self::Broadcast, Self::Timer, Self::Schedule];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Ask => "ask",
            Self::Command => "command",
            Self::Event => "event",
            Self::Broadcast => "broadcast",
            Self::Timer => "timer",
            Self::Schedule => "schedule",
        }
    }
}

/// Who wrote a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The sender: when it sent the message, and what it was told.
    Sent,
    /// The handler: when the message was admitted, and how the work on it ended.
    Handled,
}

impl Half {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Handled => "handled",
        }
    }
}

/// The id of a trace, in hexadecimal digits where it is text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

impl TraceId {
    /// The id that these digits tell; `None` if they are none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no trace id")))
    }
}

/// A record of one message in one node. Moments are microseconds since 1970 by that node's clock, and durations microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    #[serde(rename = "trace")]
    pub trace_id: TraceId,
    pub half: Half,
    pub kind: MessageKind,
    /// The handler's own span; 0 in a sender's half.
    #[serde(rename = "span", with = "hex", default, skip_serializing_if = "is_zero")]
    pub span_id: u64,
    /// The span that sent the message; 0 if none did.
    #[serde(rename = "parent", with = "hex", default, skip_serializing_if = "is_zero")]
    pub parent_id: u64,
    /// The wire name, such as `orders.place.v1`; of a request, method and path.
    pub name: Text,
    /// The node that wrote it.
    pub node: Text,
    /// The capability whose message it is.
    pub capability: Text,
    /// The capability whose handler sent it; none at the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Text>,
    /// The other node, if the message crossed the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Text>,
    /// What joins the halves of an ask or a broadcast that crossed the wire; 0: nothing.
    #[serde(with = "hex", default, skip_serializing_if = "is_zero")]
    pub link: u64,
    /// The id of a stored message.
    #[serde(rename = "id", default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text>,
    /// The message as JSON without its secrets, if payloads are captured (`trace.payload_bytes`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Text>,
    /// Which instance of the capability handled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// When it was sent, or admitted.
    pub at_us: u64,
    /// How long it waited for its handler.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_us: u64,
    /// How long its handler ran; in a sender's half, how long the answer took.
    pub ran_us: u64,
    /// How much of that the handler waited for its database.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub database_us: u64,
    /// Which attempt it was; 0 where there is one only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// Its encoded size; 0 where it was not encoded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u32,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// The small values that travelled with it.
    #[serde(with = "attributes", default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Arc<Metadata>>,
}

impl MessageRecord {
    /// A record that tells of a message what every one tells: a message that went well, since nothing else is known of it. A node
    /// writes its own with [`Recorder::sent`](crate::Recorder::sent) and [`Recorder::handled`](crate::Recorder::handled).
    pub fn of(
        half: Half,
        kind: MessageKind,
        trace_id: TraceId,
        name: impl Into<Text>,
        capability: impl Into<Text>,
        node: impl Into<Text>,
    ) -> Self {
        Self {
            trace_id,
            half,
            kind,
            span_id: 0,
            parent_id: 0,
            name: name.into(),
            node: node.into(),
            capability: capability.into(),
            sender: None,
            peer: None,
            link: 0,
            message_id: None,
            key: None,
            payload: None,
            instance: None,
            at_us: 0,
            waited_us: 0,
            ran_us: 0,
            database_us: 0,
            attempt: 0,
            bytes: 0,
            outcome: Outcome::Ok,
            error: None,
            attributes: None,
        }
    }

    /// Memory that it takes, about, in bytes.
    pub fn footprint(&self) -> usize {
        // Names are shared by all records, a counted text of its own costs two counters more.
        const COUNTED: usize = 16;
        let own = [&self.message_id, &self.key, &self.payload, &self.error];
        let texts: usize = own.into_iter().flatten().map(|text| text.len() + COUNTED).sum();
        size_of::<Self>() + texts
    }

    /// When it ended.
    pub fn ended_us(&self) -> u64 {
        self.at_us + self.waited_us + self.ran_us
    }

    /// Whether it ended as it should: a rejection is business.
    pub fn is_well(&self) -> bool {
        matches!(self.outcome, Outcome::Ok | Outcome::Rejected)
    }
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// Numbers that are ids: as text, since readers in JavaScript round them.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{id:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

/// Values that are shared with the message's context.
mod attributes {
    use std::sync::Arc;

    use essaim_contract::Metadata;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(values: &Option<Arc<Metadata>>, serializer: S) -> Result<S::Ok, S::Error> {
        values.as_deref().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Metadata>>, D::Error> {
        Option::<Metadata>::deserialize(deserializer).map(|values| values.map(Arc::new))
    }
}

/// A handler's half for tests.
#[cfg(test)]
pub fn sample(span_id: u64) -> MessageRecord {
    let record = MessageRecord::of(Half::Handled, MessageKind::Ask, TraceId(7), "orders.place.v1", "orders", "a");
    MessageRecord { span_id, at_us: 1_000_000, ran_us: 10, ..record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_encodings_and_says_nothing_that_it_does_not_know() {
        let all = MessageRecord {
            parent_id: u64::MAX,
            link: 3,
            message_id: Some("nightly/1".into()),
            error: Some("no".into()),
            attributes: Some(Arc::new(Metadata::from([("request_id".into(), "r".into())]))),
            outcome: Outcome::Failed,
            ..sample(5)
        };
        for record in [sample(5), all] {
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<MessageRecord>(&json).unwrap(), record, "{json}");
            let packed = essaim_base::codec::encode(&record).unwrap();
            assert_eq!(essaim_base::codec::decode::<MessageRecord>(&packed).unwrap(), record);
        }
        let json = serde_json::to_value(sample(5)).unwrap();
        let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["at_us", "capability", "half", "kind", "name", "node", "outcome", "ran_us", "span", "trace"],
        );
        assert_eq!(json["span"], "0000000000000005");
    }

    #[test]
    fn a_trace_id_is_32_digits() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(TraceId::parse(text).unwrap().to_string(), text);
        for text in ["", "4bf9", "+bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e473g"] {
            assert_eq!(TraceId::parse(text), None, "{text}");
        }
    }
}
