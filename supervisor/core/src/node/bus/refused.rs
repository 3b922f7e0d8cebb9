//! The record of an ask that this node itself has refused, or that nobody took: no handler writes one.

use essaim_base::measure::Outcome;
use essaim_base::trace::TraceContext;
use essaim_contract::{Ask, Capability, NotDelivered};
use essaim_trace::{Half, MessageKind, MessageRecord, Shown, TraceId};

use super::Bus;

impl Bus {
    /// Writes the record of an ask that surely did not run.
    #[cold]
    pub(super) fn record_refused<M: Ask>(&self, shown: Shown, trace: &TraceContext, why: &NotDelivered) {
        let recorder = &self.recorder;
        if !recorder.is_on() {
            return;
        }
        recorder.write(MessageRecord {
            trace_id: TraceId(trace.trace_id),
            half: Half::Sent,
            kind: MessageKind::Ask,
            span_id: 0,
            parent_id: trace.span_id,
            name: self.names.of::<M>().into(),
            node: recorder.node().clone(),
            capability: <M::To as Capability>::NAME.into(),
            // Its parent's record says whose handler it was.
            sender: None,
            peer: None,
            link: 0,
            message_id: None,
            key: shown.key,
            payload: shown.payload,
            instance: None,
            at_us: recorder.us(recorder.now()),
            waited_us: 0,
            ran_us: 0,
            database_us: 0,
            attempt: 0,
            bytes: 0,
            outcome: Outcome::NotDelivered,
            error: Some(why.to_string().into()),
            attributes: None,
        });
    }
}
