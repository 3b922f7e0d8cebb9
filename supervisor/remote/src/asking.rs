//! Asks of this node to others: the choice of a node, its attempts, and their deadline.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_base::Backoff;
use essaim_base::call::Call;
use essaim_base::slot::{GivenUp, Slot};
use essaim_contract::{AskError, NotDelivered, Unknown};
use essaim_protocol::frame::{self, FrameMessage, RawAnswer};
use serde_bytes::ByteBuf;
use tokio::time::{Instant, timeout_at};

use super::Remote;
use super::ask_record::AskAttempt;
use super::attempts::{may_retry, outcome_of_attempts};
use super::link::NotQueued;
use super::members::Peer;
use super::route::RouteQuery;

/// An encoded ask for another node.
pub struct RemoteAsk {
    pub capability: Cow<'static, str>,
    pub name: Arc<str>,
    pub body: Vec<u8>,
    pub key: Option<String>,
    /// Whether records show a hash of the key.
    pub personal_key: bool,
    pub idempotent: bool,
    pub call: Call,
    /// Why this node did not take it, if it hosts the capability.
    pub refused: Option<NotDelivered>,
}

impl Remote {
    /// Whether an ask for a capability that is hosted here, and has this load, should be handled here.
    pub fn prefers_local(
        &self,
        capability: &str,
        message: impl FnOnce() -> String,
        key: impl FnOnce() -> Option<String>,
        load: impl FnOnce() -> u32,
    ) -> bool {
        if self.settings.parity.enabled {
            return false;
        }
        if self.settings.ask.local_first {
            return true;
        }
        let (message, key) = (message(), key());
        let query = RouteQuery { capability, message: &message, key: key.as_deref(), excluded: &[] };
        self.members.local_wins(&query, &self.me.node, load())
    }

    /// Asks the best live node, and another one as long as the ask surely did not run.
    pub async fn ask(&self, ask: RemoteAsk) -> RawAnswer {
        self.budget.earn();
        let limit = self.settings.wire.max_message_bytes;
        if ask.body.len() as u64 > limit {
            let bytes = ask.body.len() as u64;
            return Err(AskError::NotDelivered(NotDelivered::TooLarge { bytes, limit }));
        }
        let mut excluded = Vec::new();
        let mut rounds = 0;
        // Once an attempt may have run, no error of a later one can undo that.
        let mut first_unknown = None;
        let mut last = ask.refused.clone().map(AskError::NotDelivered);
        loop {
            let query = RouteQuery {
                capability: &ask.capability,
                message: &ask.name,
                key: ask.key.as_deref(),
                excluded: &excluded,
            };
            let peer = match self.members.choose(&query) {
                Ok(peer) => peer,
                Err(why) => {
                    let is_first = rounds == 0 && excluded.is_empty();
                    let hopeless = excluded.is_empty() && !self.may_come_back(&why);
                    // The error of an attempt says more than that there is no other host.
                    let error = last.clone().unwrap_or(AskError::NotDelivered(why));
                    if hopeless || !self.next_round(&error, &ask, rounds).await {
                        if is_first {
                            let attempt = AskAttempt { peer: None, id: 0, began: self.env.now() };
                            self.record_ask(&ask, &attempt, &Err(error.clone()));
                        }
                        return Err(outcome_of_attempts(error, first_unknown));
                    }
                    excluded.clear();
                    rounds += 1;
                    continue;
                }
            };
            let error = match self.ask_node(&peer, &ask).await {
                Err(error) => error,
                reply => return reply,
            };
            if let AskError::Unknown(unknown) = &error {
                first_unknown.get_or_insert_with(|| unknown.clone());
            }
            let late = self.env.now() >= ask.call.deadline;
            if late || !may_retry(&error, ask.idempotent) || !self.budget.spend() {
                return Err(outcome_of_attempts(error, first_unknown));
            }
            excluded.push(peer.name.clone());
            last = Some(error);
        }
    }

    /// Whether unreachable hosts may be about to come back: this node's own connection has just done so, and what cut it
    /// off cut off others too.
    fn may_come_back(&self, why: &NotDelivered) -> bool {
        let a_while = Duration::from_millis(self.settings.members.silent_ms);
        matches!(why, NotDelivered::Unreachable { .. }) && self.health.came_back_within(a_while, self.env.now())
    }

    /// Whether all hosts should be tried again after none took the ask: if the reason is likely to pass. Waits before it
    /// says yes.
    async fn next_round(&self, last: &AskError<ByteBuf>, ask: &RemoteAsk, rounds: u32) -> bool {
        let passing = match last {
            AskError::NotDelivered(why) => {
                use NotDelivered::{Draining, Starting, Unreachable};
                matches!(why, Unreachable { .. } | Draining { .. } | Starting { .. })
            }
            AskError::Unknown(_) => ask.idempotent,
            _ => false,
        };
        let first = Duration::from_millis(self.settings.wire.reconnect_first_ms);
        let most = Duration::from_millis(self.settings.wire.reconnect_most_ms);
        let delay = Backoff { first, most }.delay(rounds + 1, &self.env);
        if !passing || self.env.now() + delay >= ask.call.deadline {
            return false;
        }
        tokio::time::sleep(delay).await;
        true
    }

    /// Asks one node, once.
    pub async fn ask_node(&self, peer: &Arc<Peer>, ask: &RemoteAsk) -> RawAnswer {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let began = self.env.now();
        let answer = self.attempt(peer, (id, began), ask).await;
        self.record_ask(ask, &AskAttempt { peer: Some(&peer.name), id, began }, &answer);
        answer
    }

    async fn attempt(&self, peer: &Arc<Peer>, (id, began): (u64, Instant), ask: &RemoteAsk) -> RawAnswer {
        let slot = Arc::new(Slot::new());
        let bytes = self.encode_ask((id, began), ask).map_err(AskError::NotDelivered)?;
        let idempotent_for = ask.idempotent.then(|| ask.capability.clone());
        let _pending = self.pending.add(id, (&peer.name, peer.epoch), idempotent_for, slot.clone());
        let _outstanding = OutstandingAsk::at(peer);
        peer.link.enqueue_ask(bytes, slot.clone()).map_err(|why| {
            AskError::NotDelivered(match why {
                NotQueued::Full { bound } => NotDelivered::Overloaded {
                    capability: ask.capability.to_string(),
                    bound: format!("wire.queue_bytes = {bound} bytes wait for node `{}`", peer.name),
                },
                NotQueued::Closed => NotDelivered::Unreachable { node: peer.name.to_string() },
            })
        })?;
        let _withdrawn_on_drop = WithdrawOnDrop(&slot);
        match timeout_at(ask.call.deadline, slot.answered()).await {
            Ok(answer) => answer,
            Err(_) => match slot.give_up() {
                GivenUp::Answered(answer) => answer,
                GivenUp::TakenBack => {
                    let queued_behind = peer.link.queue_len() as u32;
                    let queued_ms = self.env.now().saturating_duration_since(began).as_millis() as u64;
                    let behind = format!("it never left this node, where messages wait for node `{}`", peer.name);
                    Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind, queued_ms, behind }))
                }
                GivenUp::Running(_) => Err(AskError::Unknown(Unknown::NoAnswer { node: peer.name.to_string() })),
            },
        }
    }

    fn encode_ask(&self, (id, now): (u64, Instant), ask: &RemoteAsk) -> Result<Vec<u8>, NotDelivered> {
        let call = &ask.call;
        let (chain, trace) = (call.chain.names(), call.trace.text());
        let message = frame::AskMessage {
            id,
            name: &ask.name,
            time_left_ms: call.deadline.saturating_duration_since(now).as_millis() as u64,
            sent_at_us: self.clock_us(now),
            trace: trace.as_str(),
            trace_state: call.trace_state.as_str(),
            kept: call.trace.kept,
            chain: chain.iter().map(String::as_str).collect(),
            principal: call.principal.as_deref().cloned(),
            meta: call.metadata.as_deref().cloned().unwrap_or_default(),
            body: serde_bytes::Bytes::new(&ask.body),
        };
        let undecodable = |e: essaim_base::codec::EncodeError| NotDelivered::Undecodable {
            message: ask.name.to_string(),
            detail: e.to_string(),
        };
        frame::encode_message(&FrameMessage::Ask(message)).map_err(undecodable)
    }
}

/// Counts an ask as outstanding at a node until it is dropped.
struct OutstandingAsk<'a>(&'a Peer);

impl<'a> OutstandingAsk<'a> {
    fn at(peer: &'a Peer) -> Self {
        peer.outstanding.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }
}

impl Drop for OutstandingAsk<'_> {
    fn drop(&mut self) {
        let outstanding = self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(outstanding > 0, "each ask was counted once");
    }
}

/// Withdraws the ask of an asker that goes away, if the ask was not handed to the wire.
struct WithdrawOnDrop<'a>(&'a Slot<RawAnswer>);

impl Drop for WithdrawOnDrop<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
