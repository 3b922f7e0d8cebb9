//! Other nodes, as seen from this one: asks to them, answers for them, and who is a member of the cluster. It stands on a
//! [`Wire`], which carries frames, and on three ports, by which the node answers and reports what it hosts; it knows neither
//! actors nor databases.
//!
//! # Layout
//!
//! - Asking: `asking` (an ask and its attempts), `route` (the node that gets it), `pending` (asks without an answer yet),
//!   `attempts` and `retry_budget` (which asks may be repeated, and how many).
//! - Answering: `incoming` (the reader of the inbox), `answering` (asks of other nodes), `sender_history` (what is remembered of
//!   those that send them: `duplicate_asks`, `deadline_on_wire`).
//! - The wire: `link` and `links` (one queue for each inbox, and the credit of its owner), `frame_batching` (its one writer),
//!   `broadcasts`, `framing` (numbers and signatures of this node's frames), `repeated_frames` and `refused_frames` (those of others that
//!   have no effect); the frames are those of `essaim-protocol`.
//! - [`ports`]: what the rest of the node implements.
//! - Membership: `members`, `ask_graph` (nodes that are refused), `heartbeat`, `node_lease`, `wire_health` and `ping` (whether this
//!   node is deaf), `join`, `drain`.
//! - `figures`: what is counted of all this, for metrics.

#![allow(missing_docs)] // Internal: users see what `essaim` re-exports.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests notice by themselves when a task of theirs panics.

mod absent;
pub use absent::{Absence, AbsentNode};

mod answering;
mod ask_graph;
mod ask_record;
mod asking;
pub use asking::RemoteAsk;

mod attempts;
mod broadcasts;
pub use broadcasts::RemoteBroadcast;

mod deadline_on_wire;
mod drain;
mod duplicate_asks;
mod figures;
mod framing;
pub use figures::WireFigures;

mod frame_batching;
mod heartbeat;
mod incoming;
mod join;
mod link;
mod links;
mod members;
mod node_lease;
mod ping;
pub use members::{Members, Peer};

mod pending;
pub mod ports;
mod refused_frames;
pub use refused_frames::RefusedFrames;

mod repeated_frames;
mod retry_budget;
mod route;
mod sender_history;
mod wire_health;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use essaim_base::Env;
use essaim_base::exit::Fatal;
use essaim_base::lock::Mutex;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::Settings;
use essaim_protocol::frame::{self, FrameMessage, NodeState};
use essaim_protocol::keys::ClusterKeys;
use essaim_protocol::wire::{Channel, Identity, Wire, WireEvents};
use essaim_trace::Recorder;
use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use self::answering::LateAnswer;
use self::ask_graph::declared_asks;
use self::broadcasts::QueuedBroadcast;
use self::figures::{CountedWire, WireTraffic};
use self::framing::Framing;
use self::link::PeerLink;
use self::members::OwnNode;
use self::pending::PendingAsks;
use self::ports::Ports;
use self::refused_frames::RefusedCounts;
use self::retry_budget::RetryBudget;
use self::wire_health::WireHealth;

/// The other nodes.
pub struct Remote {
    me: Arc<Identity>,
    env: Env,
    /// Zero of the clock that other nodes see.
    clock_origin: Instant,
    settings: Arc<Settings>,
    wire: Arc<dyn Wire>,
    ports: Ports,
    members: Members,
    /// By inbox.
    links: Mutex<HashMap<String, Arc<PeerLink>>>,
    pending: PendingAsks,
    budget: RetryBudget,
    next_id: AtomicU64,
    draining: AtomicBool,
    /// Asks of other nodes that have no answer yet.
    unanswered: AtomicU32,
    health: WireHealth,
    /// Woken by each change that a joining or leaving node may wait for.
    changed: Notify,
    inbox_closed: AtomicBool,
    cycle_fatal: fn(String) -> Fatal,
    tasks: Tasks,
    recorder: Arc<Recorder>,
    /// Frames that could not be read.
    unreadable: AtomicU64,
    refused: RefusedCounts,
    framing: Arc<Framing>,
    traffic: Arc<WireTraffic>,
    /// Bounded by [`broadcasts::MAX_QUEUED`].
    broadcasts: mpsc::Sender<QueuedBroadcast>,
    /// The turn of the thread that gets the next frame's asks.
    next_turn: AtomicUsize,
    /// Answers whose links were closed. Bounded by the windows that the node grants.
    late_answers: mpsc::UnboundedSender<LateAnswer>,
}

/// What a `Remote` is made of.
pub struct RemoteParts {
    /// A wire on which this node has its name.
    pub wire: Arc<dyn Wire>,
    pub me: Identity,
    pub events: WireEvents,
    pub ports: Ports,
    pub env: Env,
    pub settings: Arc<Settings>,
    pub tasks: Tasks,
    pub recorder: Arc<Recorder>,
    /// What tells frames of the cluster's nodes from others.
    pub keys: Arc<ClusterKeys>,
    /// How the node ends that would close this cycle in the ask graph.
    pub cycle_fatal: fn(String) -> Fatal,
}

impl Remote {
    /// Starts to read the inbox, to send heartbeats and to ping. Must run on the node's own thread.
    pub fn start(parts: RemoteParts) -> Arc<Self> {
        let RemoteParts { wire, me, events, ports, env, settings, tasks, recorder, keys, cycle_fatal } = parts;
        let me = Arc::new(me);
        let (broadcasts, queued_broadcasts) = mpsc::channel(broadcasts::MAX_QUEUED);
        // Bounded by the windows that the node grants.
        let (late_answers, queued_late_answers) = mpsc::unbounded_channel();
        let reports = ports.hosts.upgrade().map(|hosts| hosts.reports()).unwrap_or_default();
        let own = OwnNode {
            name: me.node.clone(),
            epoch: me.epoch,
            asks: declared_asks(&reports),
            max_refused_nodes: settings.members.refused_nodes as usize,
        };
        let traffic = Arc::<WireTraffic>::default();
        let wire: Arc<dyn Wire> = Arc::new(CountedWire { wire, traffic: traffic.clone() });
        let remote = Arc::new(Self {
            framing: Arc::new(Framing::new(me.clone(), keys)),
            me,
            clock_origin: env.now(),
            health: WireHealth::new(env.now()),
            budget: RetryBudget::new(settings.ask.retry_percent, settings.ask.retry_reserve),
            env,
            settings,
            wire,
            ports,
            members: Members::of(own),
            links: Mutex::default(),
            pending: PendingAsks::default(),
            next_id: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            unanswered: AtomicU32::new(0),
            changed: Notify::new(),
            inbox_closed: AtomicBool::new(false),
            cycle_fatal,
            tasks: tasks.clone(),
            recorder,
            unreadable: AtomicU64::new(0),
            refused: RefusedCounts::default(),
            traffic,
            broadcasts,
            next_turn: AtomicUsize::new(0),
            late_answers,
        });
        broadcasts::start(&remote, queued_broadcasts);
        // Vital: nothing could rebuild what it knows of other nodes, such as the asks that it has seen.
        tasks.vital(TaskName::of_node("inbox"), incoming::read(remote.clone(), events, queued_late_answers).map(Ok));
        let beating = remote.clone();
        tasks.restarted(TaskName::of_node("heartbeat"), move || heartbeat::run(beating.clone()));
        let pinging = remote.clone();
        tasks.restarted(TaskName::of_node("ping"), move || ping::run_pings(pinging.clone()));
        heartbeat::send_on_changes(&remote);
        remote
    }

    #[inline]
    pub fn identity(&self) -> &Identity {
        &self.me
    }

    #[inline]
    pub fn members(&self) -> &Members {
        &self.members
    }

    #[inline]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Frames that could not be read since the start.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Frames that were refused since the start.
    pub fn refused(&self) -> RefusedFrames {
        self.refused.read()
    }

    /// A frame of one message that belongs to no link.
    fn frame_of(&self, channel: Channel, message: &FrameMessage<'_>) -> Option<Bytes> {
        let channel = self.me.channel(channel);
        let encoded = frame::encode_message(message).and_then(|m| self.framing.frame(channel, (0, 0), &[m]));
        encoded.inspect_err(|error| tracing::error!(%error, "a frame cannot be encoded")).ok()
    }

    /// This node's monotonic clock, as other nodes see it.
    fn clock_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.clock_origin).as_micros() as u64
    }

    fn state(&self) -> NodeState {
        if self.is_draining() { NodeState::Draining } else { NodeState::Ready }
    }
}
