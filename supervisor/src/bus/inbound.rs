//! The bus as the port by which other nodes reach the handlers of this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_contract::NotDelivered;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream, StreamExt};

use super::{Bus, HandlerRef};
use crate::arbiters::Arbiters;
use crate::call::{Call, Chain};
use crate::durable::operations;
use crate::host::Host;
use crate::remote::RawAnswer;
use crate::remote::frame::HostReport;
use crate::remote::ports::{AnswerThreads, AskBatch, Hosts, Inbound};
use crate::status::others;
use crate::supervision::Health;
use crate::trace::TraceContext;

impl Inbound for Bus {
    fn is_for_the_runtime(&self, name: &str) -> bool {
        name == others::NAME || operations::capability_of(name).is_some()
    }

    fn answer(
        self: Arc<Self>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        if name == others::NAME {
            return Ok(others::answer(self));
        }
        if let Some(host) = operations::capability_of(name).and_then(|capability| self.host(capability)) {
            return operations::answer(&self, host, body, call);
        }
        let handler = self.local.get().and_then(|l| l.by_name.get(name));
        let Some(HandlerRef { host, entry }) = handler else { return Err(self.unknown_message(name)) };
        // The asking node checks the chain too; a client in another language may not.
        if call.chain.holds(&host.name) {
            let mut chain = call.chain.names();
            chain.push(host.name.to_string());
            return Err(NotDelivered::Cycle { chain });
        }
        host.entries()[*entry].answer(host.clone(), *entry, body, call)
    }

    fn on_broadcast(&self, name: &str, body: &[u8], trace: TraceContext) {
        if self.near.hear(name, body) {
            return;
        }
        let handler = self.local.get().and_then(|l| l.by_name.get(name));
        let Some(HandlerRef { host, entry }) = handler else { return };
        let deadline = self.env.now() + Duration::from_millis(self.settings.ask.timeout_ms);
        let call = Call { deadline, trace, chain: Chain::default(), principal: None, metadata: None };
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

impl Hosts for Bus {
    fn names(&self) -> Vec<Arc<str>> {
        self.hosts().iter().map(|host| host.name.clone()).collect()
    }

    fn reports(&self) -> BTreeMap<String, HostReport> {
        self.hosts().iter().map(|host| (host.name.to_string(), report(host))).collect()
    }

    fn changes(&self, capability: &str) -> LocalBoxStream<'static, ()> {
        let Some(host) = self.host(capability).cloned() else { return stream::empty().boxed_local() };
        let receivers = (host.supervision.watch(), host.startup.watch());
        let next_change = async |(host, (mut health, mut startup)): (Arc<Host>, (_, _))| {
            let changed = tokio::select! {
                changed = tokio::sync::watch::Receiver::changed(&mut health) => changed,
                changed = tokio::sync::watch::Receiver::changed(&mut startup) => changed,
            };
            changed.ok().map(|()| ((), (host, (health, startup))))
        };
        stream::unfold((host, receivers), next_change).boxed_local()
    }
}

fn report(host: &Host) -> HostReport {
    HostReport {
        running: host.supervision.health() == Health::Running && host.startup.is_done(),
        load: host.admitted(),
        limit: host.limit(),
        instances: host.instances().len() as u32,
        up: host.instances_up() as u32,
        restarts: host.supervision.restarts(),
        asks: host.asks().iter().map(|a| a.to_string()).collect(),
        messages: host
            .entries()
            .iter()
            .filter(|e| e.kind().is_on_wire())
            .map(|e| e.name().to_string())
            .chain([operations::name_of(&host.name)])
            .collect(),
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
