//! A record as a span.

use essaim_trace::{Half, MessageKind, MessageRecord};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use crate::attributes::{self, Attributes};

/// The flag of W3C Trace Context for a span that is recorded.
const SAMPLED: u32 = 1;

/// The span of a record. It begins when the message was sent or admitted, and lasts until its handler, or the answer, has ended.
pub fn span(record: &MessageRecord) -> Span {
    Span {
        trace_id: record.trace_id.0.to_be_bytes().into(),
        span_id: span_id(record).to_be_bytes().into(),
        parent_span_id: parent_id(record),
        flags: flags(record),
        name: name(record),
        kind: kind(record) as i32,
        start_time_unix_nano: record.at_us.saturating_mul(1_000),
        end_time_unix_nano: record.ended_us().saturating_mul(1_000),
        attributes: Attributes::of(record),
        links: link(record).into_iter().collect(),
        status: Some(status(record)),
        ..Span::default()
    }
}

/// A handler's span is the record's own.
pub fn span_id(record: &MessageRecord) -> u64 {
    match record.half {
        Half::Handled => record.span_id,
        Half::Sent => sender_span_id(record),
    }
}

/// The span of a message's sender. Records of senders have no id, so it is made of what both halves of the message tell: its id
/// if it is stored, else the link of an ask or a broadcast. So the handler's node knows it, and whoever exports a record names the same span.
fn sender_span_id(record: &MessageRecord) -> u64 {
    let mut hash = Fnv::default();
    hash.add(&record.trace_id.0.to_be_bytes());
    match (&record.message_id, record.link) {
        (Some(id), _) => hash.add(id.as_bytes()),
        (None, 0) => {
            // Nobody was asked: what tells it from others that its cause sent.
            hash.add(&record.parent_id.to_be_bytes());
            hash.add(&record.at_us.to_be_bytes());
            hash.add(record.name.as_bytes());
        }
        (None, link) => hash.add(&link.to_be_bytes()),
    }
    // 0 is no span.
    hash.0.max(1)
}

/// FNV-1a, which is the same in all versions and on all machines.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The span that sent the message, for both halves: the sender's span is a leaf beside the handler's. Between them it would be
/// missing where the sender's record is: of a handler that failed or was slow in a trace that is not kept.
fn parent_id(record: &MessageRecord) -> Vec<u8> {
    if record.parent_id == 0 { Vec::new() } else { record.parent_id.to_be_bytes().into() }
}

/// A handler names the span of its message's sender.
fn link(record: &MessageRecord) -> Option<Link> {
    let has_sender = (record.message_id.is_some() && record.kind != MessageKind::Schedule) || record.link != 0;
    (record.half == Half::Handled && has_sender).then(|| Link {
        trace_id: record.trace_id.0.to_be_bytes().into(),
        span_id: sender_span_id(record).to_be_bytes().into(),
        flags: SAMPLED,
        ..Link::default()
    })
}

fn flags(record: &MessageRecord) -> u32 {
    let is_known = SpanFlags::ContextHasIsRemoteMask as u32;
    let is_remote = is_known | SpanFlags::ContextIsRemoteMask as u32;
    let came_from_outside =
        record.half == Half::Handled && (record.peer.is_some() || record.kind == MessageKind::Request);
    SAMPLED
        | match () {
            () if came_from_outside && record.parent_id != 0 => is_remote,
            // The node of a stored message's sender is not known.
            () if record.half == Half::Handled && record.message_id.is_some() => 0,
            () => is_known,
        }
}

fn kind(record: &MessageRecord) -> SpanKind {
    match (record.kind, record.half) {
        (MessageKind::Request, _) => SpanKind::Server,
        (MessageKind::Ask, Half::Sent) => SpanKind::Client,
        (MessageKind::Ask, Half::Handled) if record.peer.is_some() => SpanKind::Server,
        (MessageKind::Ask, Half::Handled) => SpanKind::Internal,
        (MessageKind::Timer, _) => SpanKind::Internal,
        (_, Half::Sent) => SpanKind::Producer,
        (_, Half::Handled) => SpanKind::Consumer,
    }
}

/// A name that few spans differ by, as the conventions want it.
fn name(record: &MessageRecord) -> String {
    match record.kind {
        MessageKind::Request => request_name(record),
        MessageKind::Ask | MessageKind::Timer => record.name.to_string(),
        MessageKind::Command | MessageKind::Event | MessageKind::Broadcast | MessageKind::Schedule => {
            format!("{} {}", attributes::operation(record), record.name)
        }
    }
}

/// Method and path with `{id}` for each part that has a digit; of an unknown path the method alone.
fn request_name(record: &MessageRecord) -> String {
    let (method, path) = record.name.split_once(' ').unwrap_or((&record.name, ""));
    if path.is_empty() || attributes::http_status(record) == Some(404) {
        return method.into();
    }
    let part = |part: &str| if part.bytes().any(|b| b.is_ascii_digit()) { "{id}".into() } else { part.to_string() };
    let path: Vec<String> = path.split('/').map(part).collect();
    format!("{method} {}", path.join("/"))
}

/// A rejection is business, not an error.
fn status(record: &MessageRecord) -> Status {
    if record.is_well() {
        return Status { code: StatusCode::Unset as i32, message: String::new() };
    }
    let message = record.error.as_deref().unwrap_or(record.outcome.as_str()).to_string();
    Status { code: StatusCode::Error as i32, message }
}

#[cfg(test)]
pub mod tests;
