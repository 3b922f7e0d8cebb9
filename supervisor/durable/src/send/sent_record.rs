//! The record that the sender writes of a stored message: when it was sent, even if nobody has handled it yet.

use std::sync::Arc;

use essaim_base::measure::Outcome;
use essaim_base::trace::TraceContext;
use essaim_contract::Metadata;
use essaim_trace::{Half, MessageKind, MessageRecord, Recorder, Text, TraceId, shown_key};

use super::message::{MessageContext, OutgoingKind, OutgoingMessage};

/// Where the records of what one sender sends go.
#[derive(Clone)]
pub struct SentRecords {
    recorder: Arc<Recorder>,
    /// The capability whose handler sends; none at the edge.
    sender: Option<Arc<str>>,
}

impl std::fmt::Debug for SentRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SentRecords({:?})", self.sender)
    }
}

impl SentRecords {
    /// For what is sent within a trace, if its records are kept.
    pub fn of(recorder: &Arc<Recorder>, trace: &TraceContext, sender: Option<&Arc<str>>) -> Option<Self> {
        let records = || Self { recorder: recorder.clone(), sender: sender.cloned() };
        trace.kept.then(records)
    }
}

impl MessageContext {
    /// Writes the record of a message that is certainly sent.
    pub fn record_sent(&self, message: &OutgoingMessage) {
        let Some(SentRecords { recorder, sender }) = &self.records else { return };
        let kind = match message.kind {
            OutgoingKind::Command => MessageKind::Command,
            OutgoingKind::Event { .. } | OutgoingKind::EventFor(_) => MessageKind::Event,
        };
        let key = (*message.order != *message.id.as_str()).then(|| shown_key(&message.order, message.personal_key));
        let attributes: Option<Arc<Metadata>> = self.metadata.clone();
        recorder.write(MessageRecord {
            trace_id: TraceId(self.trace.trace_id),
            half: Half::Sent,
            kind,
            span_id: 0,
            parent_id: self.trace.span_id,
            name: (&message.name).into(),
            node: recorder.node().clone(),
            capability: (&message.capability).into(),
            sender: sender.as_ref().map(Text::from),
            peer: None,
            link: 0,
            message_id: Some(message.id.as_str().into()),
            key,
            payload: None,
            instance: None,
            at_us: recorder.us(recorder.now()),
            waited_us: 0,
            ran_us: 0,
            database_us: 0,
            attempt: 0,
            bytes: message.record.len() as u32,
            outcome: Outcome::Ok,
            error: None,
            attributes,
        });
    }
}
