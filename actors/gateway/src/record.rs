//! The record of a request: the root of what it causes.

use essaim::trace::{MessageKind, MessageRecord, Outcome};

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
    // Never the query string: it may hold what nobody else should read.
    let name = format!("{} {path}", visit.method);
    let span = (&visit.trace, visit.parent.unwrap_or(0));
    recorder.write(MessageRecord {
        ran_us: front.env.now().saturating_duration_since(visit.begun).as_micros() as u64,
        outcome,
        error,
        attributes: visit.attributes(),
        ..recorder.handled(MessageKind::Request, span, name, "gateway", visit.begun)
    });
}
