//! The record that the sender writes of a stored message: when it was sent, even if nobody has handled it yet.

use std::sync::Arc;

use essaim_base::trace::TraceContext;
use essaim_trace::{MessageKind, MessageRecord, Recorder, Text, shown_key};

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
        recorder.write(MessageRecord {
            sender: sender.as_ref().map(Text::from),
            message_id: Some(message.id.as_str().into()),
            key,
            bytes: message.record.len() as u32,
            attributes: self.metadata.clone(),
            ..recorder.sent(kind, &self.trace, &message.name, &message.capability, recorder.now())
        });
    }
}
