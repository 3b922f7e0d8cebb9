//! The bus as the port by which other nodes reach the handlers of this one.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::{Call, WireOrigin};
use essaim_base::trace::TraceHeaders;
use essaim_contract::NotDelivered;
use essaim_protocol::frame::RawAnswer;
use essaim_remote::ports::{AnswerThreads, AskBatch, Inbound};
use futures_util::future::LocalBoxFuture;

use super::{Bus, HandlerRef};
use crate::local::arbiters::Arbiters;

impl Inbound for Bus {
    fn is_for_the_runtime(&self, name: &str) -> bool {
        self.local.system_asks().takes(name)
    }

    fn answer(
        self: Arc<Self>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        let system_asks = self.local.system_asks();
        if system_asks.takes(name) {
            return system_asks.answer(self.clone(), name, body, call);
        }
        let handler = self.local.by_name(name);
        let Some(HandlerRef { host, entry }) = handler else { return Err(self.unknown_message(name)) };
        // The asking node checks the chain too; a client in another language may not.
        if call.chain.holds(&host.name) {
            return Err(call.chain.cycle_to(&host.name));
        }
        host.entries()[*entry].answer(host.clone(), *entry, body, call)
    }

    fn on_broadcast(&self, name: &str, body: &[u8], trace: TraceHeaders, origin: Option<Arc<WireOrigin>>) {
        if self.near.hear(name, body) {
            return;
        }
        let handler = self.local.by_name(name);
        let Some(HandlerRef { host, entry }) = handler else { return };
        let deadline = self.env.now() + Duration::from_millis(self.settings.ask.timeout_ms);
        let call = Call { trace_state: trace.state, origin, ..Call::of_the_runtime(deadline, trace.context) };
        if let Err(reason) = host.entries()[*entry].hear(host, *entry, body, call) {
            tracing::debug!(name, %reason, "a broadcast was missed");
        }
    }

    fn on_missed_broadcasts(&self) {
        self.near.flush();
    }
}

impl Bus {
    fn unknown_message(&self, name: &str) -> NotDelivered {
        match name.split('.').next() {
            Some(capability) if self.host(capability).is_none() => {
                NotDelivered::NoHost { capability: capability.to_string() }
            }
            _ => NotDelivered::Unsupported { message: name.to_string() },
        }
    }
}

impl AnswerThreads for Arbiters {
    fn answer_in_turn(&self, turn: usize, batch: AskBatch) {
        match self.in_turn(turn) {
            Some(index) => self.run(index, move || batch.begin()),
            None => batch.begin(),
        }
    }
}
