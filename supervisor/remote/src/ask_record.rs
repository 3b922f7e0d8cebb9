//! The record that the asking node writes of an ask that crossed the wire: what its handler cannot know.

use essaim_base::call::WireOrigin;
use essaim_base::measure::Outcome;
use essaim_contract::AskError;
use essaim_protocol::frame::RawAnswer;
use essaim_trace::{MessageKind, MessageRecord, Text, shown_key};
use tokio::time::Instant;

use super::Remote;
use super::asking::RemoteAsk;

/// One attempt of an ask.
pub(super) struct AskAttempt<'a> {
    /// The node that was asked; none if there was none to be asked.
    pub peer: Option<&'a str>,
    /// The id of the ask on the wire; 0 if it was not asked.
    pub id: u64,
    pub began: Instant,
}

impl Remote {
    /// Writes the record of an attempt, if it is to be kept: of a trace that is, or since it did not go well.
    pub(super) fn record_ask(&self, ask: &RemoteAsk, attempt: &AskAttempt<'_>, answer: &RawAnswer) {
        let (outcome, error) = match answer {
            Ok(_) => (Outcome::Ok, None),
            Err(AskError::Rejected(_)) => (Outcome::Rejected, None),
            Err(error) => (Outcome::of(error), Some(error)),
        };
        let trace = &ask.call.trace;
        if !self.recorder.is_on() || (error.is_none() && !trace.kept) || self.is_of_the_runtime(ask) {
            return;
        }
        let took = self.recorder.now().saturating_duration_since(attempt.began);
        // A rejection's own text is the handler's.
        let text = error.map(|error| error.clone().map_rejected(|_| "").to_string().into());
        self.recorder.write(MessageRecord {
            sender: ask.call.chain.last().map(Text::from),
            peer: attempt.peer.map(Text::from),
            link: attempt.peer.map_or(0, |_| WireOrigin::link_of(self.me.epoch, attempt.id)),
            key: ask.key.as_deref().map(|key| shown_key(key, ask.personal_key)),
            ran_us: took.as_micros() as u64,
            bytes: ask.body.len() as u32,
            outcome,
            error: text,
            attributes: ask.call.metadata.clone(),
            ..self.recorder.sent(MessageKind::Ask, trace, &ask.name, &*ask.capability, attempt.began)
        });
    }

    fn is_of_the_runtime(&self, ask: &RemoteAsk) -> bool {
        self.ports.inbound.upgrade().is_none_or(|inbound| inbound.is_for_the_runtime(&ask.name))
    }
}
