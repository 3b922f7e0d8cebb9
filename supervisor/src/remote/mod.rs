//! Other nodes, as seen from this one.
//!
//! # Layout
//!
//! - `frame`: the form of what is sent; `lane`: the way to one inbox; `pending`: asks that wait for their answers.
//! - `incoming`: what comes, `answering`: the asks among it, and `senders`: what is remembered of those who send it.
//! - `members`, `ask_graph`, `route`: who is there, who cannot be among them, who gets an ask; `attempts`, `budget`: which asks may be repeated, how many.
//! - `casts`: what all are told.
//! - `pulse`: heartbeats, leases and pings; `leave`: the drain.

mod answering;
mod ask_graph;
mod attempts;
mod budget;
mod casts;
pub(crate) mod frame;
mod incoming;
mod lane;
mod leave;
pub(crate) mod members;
mod pending;
mod pulse;
mod route;
mod senders;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use essaim_contract::{AskError, NotDelivered, Unknown};
use futures_util::FutureExt;
use serde_bytes::ByteBuf;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use self::answering::Late;
use self::attempts::{doubtful, repeatable};
use self::budget::RetryBudget;
use self::frame::{FrameMessage, NodeState};
use self::lane::{Lane, LaneLimits};
use self::members::{Members, Own, Peer};
use self::pending::Pending;
pub(crate) use self::pending::RawAnswer;
use self::route::Wanted;
use crate::Env;
use crate::arbiters::Arbiters;
use crate::backoff::Backoff;
use crate::bridge::{Identity, Wire, WireEvents};
use crate::bus::Bus;
use crate::call::Call;
use crate::config::Settings;
use crate::exit::Fatal;
use crate::host::Host;
use crate::slot::{GivenUp, Slot};
use crate::task::{TaskName, Tasks};

/// An ask on its way to another node.
pub(crate) struct Outgoing {
    pub capability: Cow<'static, str>,
    pub name: Arc<str>,
    pub body: Vec<u8>,
    pub key: Option<String>,
    pub idempotent: bool,
    pub call: Call,
    /// Why this node did not take it, if it hosts the capability.
    pub refused: Option<NotDelivered>,
}

/// The other nodes.
pub(crate) struct Remote {
    me: Arc<Identity>,
    env: Env,
    origin: Instant,
    settings: Arc<Settings>,
    wire: Arc<dyn Wire>,
    bus: Weak<Bus>,
    members: Members,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    pending: Pending,
    budget: RetryBudget,
    next_id: AtomicU64,
    draining: AtomicBool,
    /// Asks from other nodes that are being answered.
    answering: AtomicU32,
    health: pulse::Health,
    /// Woken by whatever a joining or leaving node waits for.
    progress: Notify,
    inbox_closed: AtomicBool,
    /// Why the node must end, once it must.
    ended: watch::Sender<Option<Fatal>>,
    tasks: Tasks,
    /// Frames that could not be read.
    unreadable: AtomicU64,
    casts: mpsc::Sender<Bytes>,
    /// Where asks from elsewhere are answered, if not on this thread.
    arbiters: Weak<Arbiters>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Answers for which their lanes were closed. Bounded by the windows that the node grants.
    late: mpsc::UnboundedSender<Late>,
}

impl Remote {
    /// Begins to read, beat and ping. Must run on the node's own thread.
    pub fn start(
        wire: Arc<dyn Wire>,
        me: Identity,
        events: WireEvents,
        bus: &Arc<Bus>,
        arbiters: &Arc<Arbiters>,
        ended: watch::Sender<Option<Fatal>>,
    ) -> Arc<Self> {
        let (env, settings) = (bus.env.clone(), bus.settings.clone());
        let (casts, waiting_casts) = mpsc::channel(casts::WAITING);
        // Bounded by the windows that the node grants.
        let (late, were_late) = mpsc::unbounded_channel();
        let asks_of = |host: &Arc<Host>| host.asks().iter().map(|a| a.to_string()).collect();
        let own = Own {
            name: me.node.clone(),
            epoch: me.epoch,
            asks: bus.hosts().iter().map(|host| (host.name.to_string(), asks_of(host))).collect(),
            refused_nodes: settings.members.refused_nodes as usize,
        };
        let remote = Arc::new(Self {
            me: Arc::new(me),
            origin: env.now(),
            health: pulse::Health::new(env.now()),
            budget: RetryBudget::new(settings.ask.retry_percent, settings.ask.retry_reserve),
            env,
            settings,
            wire,
            bus: Arc::downgrade(bus),
            members: Members::of(own),
            lanes: Mutex::default(),
            pending: Pending::default(),
            next_id: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            answering: AtomicU32::new(0),
            progress: Notify::new(),
            inbox_closed: AtomicBool::new(false),
            ended,
            tasks: bus.tasks.clone(),
            unreadable: AtomicU64::new(0),
            casts,
            arbiters: Arc::downgrade(arbiters),
            turn: AtomicUsize::new(0),
            late,
        });
        casts::start(&remote, waiting_casts);
        // What it knows of other nodes, such as the asks that it has seen, nobody could tell it again.
        bus.tasks.vital(TaskName::of_node("inbox"), incoming::read(remote.clone(), events, were_late).map(Ok));
        let beating = remote.clone();
        bus.tasks.restarted(TaskName::of_node("heartbeat"), move || pulse::beat(beating.clone()));
        let pinging = remote.clone();
        bus.tasks.restarted(TaskName::of_node("ping"), move || pulse::ping(pinging.clone()));
        pulse::beat_on_changes(&remote);
        remote
    }

    pub fn identity(&self) -> &Identity {
        &self.me
    }

    pub fn members(&self) -> &Members {
        &self.members
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Frames that could not be read since the start.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Whether an ask for a capability that is hosted here should be handled here.
    pub fn prefers_local(
        &self,
        capability: &str,
        message: impl FnOnce() -> String,
        key: impl FnOnce() -> Option<String>,
        host: &Arc<Host>,
    ) -> bool {
        if self.settings.parity.enabled {
            return false;
        }
        if self.settings.ask.local_first {
            return true;
        }
        let (message, key) = (message(), key());
        let wanted = Wanted { capability, message: &message, key: key.as_deref(), excluded: &[] };
        self.members.local_wins(&wanted, &self.me.node, host.admitted())
    }

    /// Asks the best live node, and another while it surely did not run.
    pub async fn ask(&self, outgoing: Outgoing) -> RawAnswer {
        self.budget.earn();
        let limit = self.settings.wire.max_message_bytes;
        if outgoing.body.len() as u64 > limit {
            let bytes = outgoing.body.len() as u64;
            return Err(AskError::NotDelivered(NotDelivered::TooLarge { bytes, limit }));
        }
        let mut excluded = Vec::new();
        let mut rounds = 0;
        // Once an attempt may have run, nothing that a later one says can undo it.
        let mut doubt = None;
        let mut last = outgoing.refused.clone().map(AskError::NotDelivered);
        loop {
            let wanted = Wanted {
                capability: &outgoing.capability,
                message: &outgoing.name,
                key: outgoing.key.as_deref(),
                excluded: &excluded,
            };
            let peer = match self.members.choose(&wanted) {
                Ok(peer) => peer,
                Err(why) => {
                    let hopeless = excluded.is_empty() && !self.may_come_back(&why);
                    // What was learned by trying says more than that nobody else is there.
                    let error = last.clone().unwrap_or(AskError::NotDelivered(why));
                    if hopeless || !self.next_round(&error, &outgoing, rounds).await {
                        return Err(doubtful(error, doubt));
                    }
                    excluded.clear();
                    rounds += 1;
                    continue;
                }
            };
            let error = match self.ask_node(&peer, &outgoing).await {
                Err(error) => error,
                reply => return reply,
            };
            if let AskError::Unknown(unknown) = &error {
                doubt.get_or_insert_with(|| unknown.clone());
            }
            let late = self.env.now() >= outgoing.call.deadline;
            if late || !repeatable(&error, outgoing.idempotent) || !self.budget.spend() {
                return Err(doubtful(error, doubt));
            }
            excluded.push(peer.name.clone());
            last = Some(error);
        }
    }

    /// Whether hosts that cannot be reached may be about to come back: this node's own connection has just done so, and
    /// what cut it off cut off others too.
    fn may_come_back(&self, why: &NotDelivered) -> bool {
        let a_while = Duration::from_millis(self.settings.members.silent_ms);
        matches!(why, NotDelivered::Unreachable { .. }) && self.health.came_back_within(a_while, self.env.now())
    }

    /// Whether all hosts should be tried again, after none took it: if what keeps them is likely to pass. Waits before
    /// it says yes.
    async fn next_round(&self, last: &AskError<ByteBuf>, outgoing: &Outgoing, rounds: u32) -> bool {
        let passing = match last {
            AskError::NotDelivered(why) => {
                use NotDelivered::{Draining, Starting, Unreachable};
                matches!(why, Unreachable { .. } | Draining { .. } | Starting { .. })
            }
            AskError::Unknown(_) => outgoing.idempotent,
            _ => false,
        };
        let first = Duration::from_millis(self.settings.wire.reconnect_first_ms);
        let most = Duration::from_millis(self.settings.wire.reconnect_most_ms);
        let delay = Backoff { first, most }.delay(rounds + 1, &self.env);
        if !passing || self.env.now() + delay >= outgoing.call.deadline {
            return false;
        }
        tokio::time::sleep(delay).await;
        true
    }

    /// Asks one node, once.
    pub async fn ask_node(&self, peer: &Arc<Peer>, outgoing: &Outgoing) -> RawAnswer {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot::new());
        let bytes = self.encode_ask(id, outgoing).map_err(AskError::NotDelivered)?;
        let repeatable = outgoing.idempotent.then(|| outgoing.capability.clone());
        let _entry = self.pending.add(id, (&peer.name, peer.epoch), repeatable, slot.clone());
        let _outstanding = Outstanding::of(peer);
        if let Err(full) = peer.lane.ask(bytes, slot.clone()) {
            let bound = format!("wire.queue_bytes = {} bytes wait for node `{}`", full.bound, peer.name);
            let capability = outgoing.capability.to_string();
            return Err(AskError::NotDelivered(NotDelivered::Overloaded { capability, bound }));
        }
        let _taken_back = TakeBack(&slot);
        match timeout_at(outgoing.call.deadline, slot.answered()).await {
            Ok(answer) => answer,
            Err(_) => match slot.give_up() {
                GivenUp::Answered(answer) => answer,
                GivenUp::TakenBack => {
                    let queued_behind = peer.lane.waiting() as u32;
                    Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind }))
                }
                GivenUp::Running(_) => Err(AskError::Unknown(Unknown::NoAnswer { node: peer.name.to_string() })),
            },
        }
    }

    fn encode_ask(&self, id: u64, outgoing: &Outgoing) -> Result<Vec<u8>, NotDelivered> {
        let call = &outgoing.call;
        let (chain, trace, now) = (call.chain.names(), call.trace.text(), self.env.now());
        let ask = frame::AskMessage {
            id,
            name: &outgoing.name,
            time_left_ms: call.deadline.saturating_duration_since(now).as_millis() as u64,
            sent_at_us: self.clock_us(now),
            trace: trace.as_str(),
            chain: chain.iter().map(String::as_str).collect(),
            principal: call.principal.as_deref().cloned(),
            meta: call.metadata.as_deref().cloned().unwrap_or_default(),
            body: serde_bytes::Bytes::new(&outgoing.body),
        };
        let undecodable = |e: crate::codec::EncodeError| NotDelivered::Undecodable {
            message: outgoing.name.to_string(),
            detail: e.to_string(),
        };
        frame::encode_message(&FrameMessage::Ask(ask)).map_err(undecodable)
    }

    /// A frame that belongs to no lane.
    fn frame_of(&self, message: &FrameMessage<'_>) -> Option<Bytes> {
        let header = frame::FrameHeader {
            version: frame::VERSION,
            from: &self.me.node,
            epoch: self.me.epoch,
            inbox: &self.me.inbox,
            sent_bytes: 0,
            granted_bytes: 0,
            message_count: 1,
        };
        let encoded = frame::encode_message(message).and_then(|m| frame::encode(&header, &[m]));
        encoded.inspect_err(|error| tracing::error!(%error, "a frame cannot be encoded")).ok()
    }

    /// The lane to an inbox, made if it is new; `window` is what the other end grants to begin with. Must run on the node's own thread, where its writer lives.
    fn lane(&self, node: &str, inbox: &str, window: u64) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(inbox) {
            return lane.clone();
        }
        let wire = &self.settings.wire;
        let limits = LaneLimits {
            frame_bytes: wire.frame_bytes,
            queue_bytes: wire.queue_bytes,
            window_bytes: wire.window_bytes,
            want_after: Duration::from_millis(wire.ping_interval_ms),
        };
        let lane = Arc::new(Lane::new(node.into(), inbox.to_string(), limits, window));
        let name = TaskName::of_node("lane").which(node);
        self.tasks.vital(name, lane.clone().write(self.wire.clone(), self.me.clone()).map(Ok));
        lanes.insert(inbox.to_string(), lane.clone());
        lane
    }

    /// The lane by which an asker gets its answers: the one that is known, unless it has been closed for being idle.
    fn lane_back(&self, known: Option<Arc<Lane>>, node: &str, inbox: &str) -> Arc<Lane> {
        let new = || self.lane(node, inbox, self.settings.wire.window_bytes);
        known.filter(|lane| !lane.is_closed()).unwrap_or_else(new)
    }

    fn known_lane(&self, inbox: &str) -> Option<Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).get(inbox).cloned()
    }

    fn close_lane(&self, inbox: &str) {
        let lane = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(inbox);
        if let Some(lane) = lane {
            lane.close();
        }
    }

    fn lanes_idle(&self) -> bool {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().all(|l| l.is_idle())
    }

    /// This node's monotonic clock, as other nodes see it.
    fn clock_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_micros() as u64
    }

    fn state(&self) -> NodeState {
        if self.is_draining() { NodeState::Draining } else { NodeState::Ready }
    }
}

/// Counts an ask as being with a node.
struct Outstanding<'a>(&'a Peer);

impl<'a> Outstanding<'a> {
    fn of(peer: &'a Peer) -> Self {
        peer.outstanding.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }
}

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An asker that goes away takes its message back if it was not handed over.
struct TakeBack<'a>(&'a Slot<RawAnswer>);

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
