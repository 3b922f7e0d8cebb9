//! The record of an ask that this node itself has refused, or that nobody took: no handler writes one.

use std::sync::Arc;

use essaim_base::measure::Outcome;
use essaim_base::trace::TraceContext;
use essaim_contract::{Ask, Capability, NotDelivered};
use essaim_trace::{MessageKind, MessageRecord, Shown};

use super::Bus;

impl Bus {
    /// Counts an ask that surely did not run, and writes its record.
    #[cold]
    pub(super) fn record_refused<M: Ask>(&self, shown: Shown, trace: &TraceContext, why: &NotDelivered) {
        self.sent.count_not_delivered::<M>();
        self.write_refused(shown, trace, (self.sent.name::<M>(), <M::To as Capability>::NAME), why);
    }

    /// Writes the record of such an ask, by its names.
    pub(super) fn write_refused(
        &self,
        shown: Shown,
        trace: &TraceContext,
        (name, capability): (Arc<str>, &str),
        why: &NotDelivered,
    ) {
        let recorder = &self.recorder;
        if !recorder.is_on() {
            return;
        }
        // Its parent's record says whose handler sent it.
        recorder.write(MessageRecord {
            key: shown.key,
            payload: shown.payload,
            outcome: Outcome::NotDelivered,
            error: Some(why.to_string().into()),
            ..recorder.sent(MessageKind::Ask, trace, name, capability, recorder.now())
        });
    }
}
