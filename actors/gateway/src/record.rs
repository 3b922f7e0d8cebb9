//! The record of a request: the root of what it causes.

use essaim::trace::{Half, MessageKind, MessageRecord, Outcome, TraceId};

use crate::front::Front;
use crate::visit::Visit;

/// Paths that are asked for every few seconds, by machines.
const PROBES: &[&str] = &["/livez", "/readyz"];

/// Writes the record of a request that was answered with this status, or cut off, if it is to be kept: of one that failed, or whose
/// trace is.
pub(crate) fn write(front: &Front, visit: &Visit, status: Option<u16>) {
    let recorder = front.client.recorder();
    let (outcome, error) = match status {
        None => (Outcome::Unknown, Some("its client has gone away".into())),
        Some(status @ 500..) => (Outcome::Failed, Some(format!("status {status}").into())),
        Some(status @ 400..) => (Outcome::Rejected, Some(format!("status {status}").into())),
        Some(_) => (Outcome::Ok, None),
    };
    let path = visit.uri.path();
    if !recorder.is_on() || PROBES.contains(&path) || !(visit.trace.kept || outcome == Outcome::Failed) {
        return;
    }
    recorder.write(MessageRecord {
        trace_id: TraceId(visit.trace.trace_id),
        half: Half::Handled,
        kind: MessageKind::Request,
        span_id: visit.trace.span_id,
        parent_id: visit.parent.unwrap_or(0),
        // Never the query string: it may hold what nobody else should read.
        name: format!("{} {path}", visit.method).into(),
        node: recorder.node().clone(),
        capability: "gateway".into(),
        sender: None,
        peer: None,
        link: 0,
        message_id: None,
        key: None,
        payload: None,
        instance: None,
        at_us: recorder.us(visit.begun),
        waited_us: 0,
        ran_us: front.env.now().saturating_duration_since(visit.begun).as_micros() as u64,
        database_us: 0,
        attempt: 0,
        bytes: 0,
        outcome,
        error,
        attributes: visit.attributes(),
    });
}
