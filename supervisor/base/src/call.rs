//! What travels with an ask: its deadline, trace, chain and principal.

use std::sync::Arc;

use essaim_contract::{Metadata, NotDelivered, Principal};
use tokio::time::Instant;

use crate::trace::{TraceContext, TraceHeaders, TraceState};

/// What travels with one ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call {
    /// The time after which no answer is wanted.
    pub deadline: Instant,
    /// The trace and the span that sent the message.
    pub trace: TraceContext,
    /// What those who trace outside send along with the trace.
    pub trace_state: TraceState,
    /// The capabilities whose handlers wait for the answer.
    pub chain: Chain,
    /// The user or service on whose behalf the message is sent.
    pub principal: Option<Arc<Principal>>,
    /// Small values of the sender's that go along.
    pub metadata: Option<Arc<Metadata>>,
    /// Where it came from, if its sender writes a record of it too, and both are kept.
    pub origin: Option<Arc<WireOrigin>>,
}

/// Where a message came from that crossed the wire, or a broadcast that did for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireOrigin {
    /// The node that sent it; none if it is this one, whose own handlers hear its broadcasts at once.
    pub node: Option<Arc<str>>,
    /// What all records of it have in common.
    pub link: u64,
    /// Its encoded size.
    pub bytes: u32,
}

impl WireOrigin {
    /// What joins the records of an ask or a broadcast: the same for all nodes, and unlikely to be that of another one.
    pub fn link_of(epoch: u64, id: u64) -> u64 {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        (epoch.wrapping_mul(MIX).rotate_left(32) ^ id.wrapping_mul(MIX)).max(1)
    }
}

impl Call {
    /// The call of a message that the runtime itself sends: on nobody's behalf, and with nobody waiting before it.
    pub fn of_the_runtime(deadline: Instant, trace: TraceContext) -> Self {
        let trace_state = TraceState::default();
        let (chain, principal, metadata, origin) = Default::default();
        Self { deadline, trace, trace_state, chain, principal, metadata, origin }
    }

    /// The trace as headers of a request that is sent because of the message.
    pub fn trace_headers(&self) -> TraceHeaders {
        TraceHeaders { context: self.trace, state: self.trace_state.clone() }
    }
}

/// The capabilities that are waiting for each other's answers, the first asker first.
#[derive(Debug, Clone, Default)]
pub struct Chain(Option<Arc<ChainLink>>);

#[derive(Debug)]
struct ChainLink {
    capability: Arc<str>,
    before: Chain,
}

impl Chain {
    /// This chain with one more capability at its end.
    #[inline]
    pub fn then(&self, capability: &Arc<str>) -> Self {
        Self(Some(Arc::new(ChainLink { capability: capability.clone(), before: self.clone() })))
    }

    /// The last one: whose handler sends the message.
    #[inline]
    pub fn last(&self) -> Option<&Arc<str>> {
        self.0.as_deref().map(|link| &link.capability)
    }

    /// Whether the capability is waiting somewhere in the chain.
    #[inline]
    pub fn holds(&self, capability: &str) -> bool {
        self.links().any(|link| &*link.capability == capability)
    }

    /// The refusal of an ask that would wait for a capability of this chain, or for one that its asker does not declare.
    pub fn cycle_to(&self, capability: &str) -> NotDelivered {
        let mut chain = self.names();
        chain.push(capability.to_string());
        NotDelivered::Cycle { chain }
    }

    /// The names, the first asker first.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.links().map(|link| link.capability.to_string()).collect();
        names.reverse();
        names
    }

    fn links(&self) -> impl Iterator<Item = &ChainLink> {
        std::iter::successors(self.0.as_deref(), |link| link.before.0.as_deref())
    }
}

impl<S: AsRef<str>> FromIterator<S> for Chain {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        names.into_iter().fold(Self::default(), |chain, name| chain.then(&Arc::from(name.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_with_every_ask_stays_small() {
        assert_eq!(size_of::<Call>(), 96, "it is moved several times on the way of a local ask");
    }

    #[test]
    fn a_chain_knows_who_waits() {
        let chain: Chain = ["gateway", "auth"].into_iter().collect();
        let longer = chain.then(&Arc::from("users"));
        assert_eq!(longer.names(), ["gateway", "auth", "users"]);
        assert!(longer.holds("auth") && !chain.holds("users"));
    }
}
