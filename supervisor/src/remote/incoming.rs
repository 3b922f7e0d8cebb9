//! What comes over the wire.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_contract::NotDelivered;
use tokio::sync::mpsc;

use super::answering::{self, Asked, Late};
use super::frame::{self, AskMessage, BroadcastMessage, FrameHeader, FrameMessage, Heartbeat, NodeState};
use super::members::Change;
use super::senders::Senders;
use super::{Remote, pulse};
use crate::bridge::{WireEvent, WireEvents};
use crate::call::{Call, Chain};
use crate::guard::panic_text;
use crate::trace::TraceContext;

/// Sources of unreadable frames that are named in the log; the others are only counted.
const NAMED_SOURCES: usize = 64;
/// No ask may wait longer, whatever it says: a deadline must be a moment that the clock can tell.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Senders not heard for this many leases are forgotten.
const LEASES_REMEMBERED: u32 = 20;

/// Reads until the node ends.
pub(super) async fn read(remote: Arc<Remote>, mut events: WireEvents, mut late: mpsc::UnboundedReceiver<Late>) {
    let mut reader = Reader {
        senders: Senders::new(remote.settings.wire.duplicate_ids),
        named: BTreeSet::new(),
        cleaned: remote.env.now(),
        asked: Vec::new(),
        remote,
    };
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            Some(late) = late.recv() => {
                answering::send_late(&reader.remote, late);
                continue;
            }
        };
        let Some(event) = event else { return };
        match event {
            WireEvent::Frame(bytes) => {
                reader.guarded(&bytes);
                let asked = std::mem::take(&mut reader.asked);
                if !asked.is_empty() {
                    answering::hand_over(&reader.remote, asked);
                    // What was answered leaves while the next frame is read.
                    tokio::task::yield_now().await;
                }
            }
            WireEvent::Lost => pulse::wire_lost(&reader.remote),
            WireEvent::Restored => pulse::wire_restored(&reader.remote),
            WireEvent::Closed => {
                reader.remote.inbox_closed.store(true, Ordering::Release);
                reader.remote.progress.notify_waiters();
            }
        }
    }
}

struct Reader {
    remote: Arc<Remote>,
    senders: Senders,
    named: BTreeSet<String>,
    cleaned: tokio::time::Instant,
    /// The asks of the frame at hand.
    asked: Vec<Asked>,
}

impl Reader {
    /// Reads a frame; a contract whose decoding panics must not make the node deaf.
    fn guarded(&mut self, bytes: &[u8]) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.frame(bytes))) {
            self.unreadable(bytes, &panic_text(&*panic));
        }
    }

    fn frame(&mut self, bytes: &[u8]) {
        let remote = self.remote.clone();
        let read = frame::decode(bytes, |header, message| {
            if self.is_for_us(header, &message) {
                self.message(header, message);
            }
        });
        match read {
            Ok(header) if header.inbox != remote.me.inbox || remote.settings.parity.enabled => {
                if let Some(lane) = remote.known_lane(header.inbox) {
                    lane.heard(header.sent_bytes, bytes.len() as u64, header.granted_bytes);
                }
            }
            Ok(_) => {}
            Err(error) => self.unreadable(bytes, &error.to_string()),
        }
        self.forget();
    }

    /// Whether a message is to be acted on; this node's own broadcasts come back to it too.
    fn is_for_us(&self, header: &FrameHeader<'_>, message: &FrameMessage<'_>) -> bool {
        let me = &self.remote.me;
        if header.from != me.node {
            return true;
        }
        if header.epoch > me.epoch {
            pulse::superseded(&self.remote, header.epoch);
        }
        let own = header.epoch == me.epoch;
        own && (self.remote.settings.parity.enabled || matches!(message, FrameMessage::Ping(_)))
    }

    fn message(&mut self, header: &FrameHeader<'_>, message: FrameMessage<'_>) {
        let remote = &self.remote;
        match message {
            FrameMessage::Ask(ask) => self.ask(header, ask),
            FrameMessage::Reply { id, body } => remote.pending.answer(id, header.from, Ok(body.to_vec())),
            FrameMessage::Error { id, error } => remote.pending.answer(id, header.from, Err(error)),
            FrameMessage::Broadcast(broadcast) => self.heard(&broadcast),
            FrameMessage::Heartbeat(beat) => self.beat(header, beat),
            FrameMessage::DrainAck => {
                if let Some(peer) = remote.members.get(header.from) {
                    peer.set_saw_drain();
                    remote.progress.notify_waiters();
                }
            }
            FrameMessage::Leave => self.bye(header),
            FrameMessage::Ping(_) => pulse::heard_ping(remote),
            FrameMessage::CreditRequest => {
                if let Some(lane) = remote.known_lane(header.inbox) {
                    lane.wants();
                }
            }
        }
    }

    fn ask(&mut self, header: &FrameHeader<'_>, ask: AskMessage<'_>) {
        let remote = &self.remote;
        let now = remote.env.now();
        let now_us = remote.clock_us(now);
        let sender = self.senders.get(header.inbox, now);
        if !sender.is_first(ask.id) {
            return;
        }
        let lane = remote.lane_back(sender.lane.take(), header.from, header.inbox);
        sender.lane = Some(lane.clone());
        let left = sender.left(Duration::from_millis(ask.time_left_ms).min(LONGEST_WAIT), ask.sent_at_us, now_us);
        let margin = Duration::from_millis(remote.settings.wire.deadline_margin_ms);
        if remote.is_draining() || !remote.health.holds_lease(now) {
            let node = remote.me.node.clone();
            let why =
                if remote.is_draining() { NotDelivered::Draining { node } } else { NotDelivered::Unreachable { node } };
            return answering::refuse(remote, &lane, ask.id, why);
        }
        let call = Call {
            deadline: now + left.saturating_sub(margin),
            trace: ask.trace.parse().unwrap_or_else(|_| TraceContext::root(&remote.env)),
            chain: ask.chain.iter().collect::<Chain>(),
            principal: ask.principal.map(Arc::new),
            metadata: (!ask.meta.is_empty()).then(|| Arc::new(ask.meta)),
        };
        self.asked.push(Asked::new(remote, lane, (ask.id, ask.name, ask.body), call));
    }

    fn heard(&self, broadcast: &BroadcastMessage<'_>) {
        if let Some(bus) = self.remote.bus.upgrade() {
            let trace = broadcast.trace.parse().unwrap_or_else(|_| TraceContext::root(&self.remote.env));
            bus.hear(broadcast.name, broadcast.body, trace);
        }
    }

    /// A node of another cluster cannot be heard here, unless something else publishes for it.
    fn foreign(&mut self, node: &str, cluster: &str) {
        if self.named.len() < NAMED_SOURCES && self.named.insert(format!("{node} {cluster}")) {
            let own = &self.remote.me.cluster;
            tracing::warn!(
                node,
                cluster,
                own,
                "a node of another cluster was refused: who publishes its heartbeats here?"
            );
        }
    }

    fn beat(&mut self, header: &FrameHeader<'_>, beat: Heartbeat) {
        let remote = self.remote.clone();
        if beat.cluster != remote.me.cluster {
            return self.foreign(header.from, &beat.cluster);
        }
        let (hello, draining) = (beat.hello, beat.state == NodeState::Draining);
        let hosts = beat.capabilities.keys().cloned().collect::<Vec<_>>().join(", ");
        let earlier = remote.members.known(header.from).map(|p| p.lane.inbox.clone());
        let window = beat.window_bytes;
        let lane = || remote.lane(header.from, header.inbox, window);
        match remote.members.beat(header, beat, remote.env.now(), lane) {
            Change::None if hello => remote.pending.node_cut_off(header.from),
            Change::None => {}
            Change::Ignored => remote.progress.notify_waiters(),
            Change::New { over_epoch, refused } => {
                if let (Some(_), Some(inbox)) = (over_epoch, earlier) {
                    remote.pending.node_lost(header.from, header.epoch);
                    remote.close_lane(&inbox);
                }
                if !refused {
                    tracing::info!(node = header.from, epoch = header.epoch, over_epoch, hosts, "a node joined");
                }
                remote.progress.notify_waiters();
            }
        }
        if draining {
            remote.lane(header.from, header.inbox, window).send(answering::encoded(&FrameMessage::DrainAck));
        }
        if hello {
            // Who was refused must learn why, too: from what the others say of themselves.
            pulse::beat_now(&remote, false);
        }
    }

    fn bye(&self, header: &FrameHeader<'_>) {
        if self.remote.members.remove(header.from, header.epoch).is_some() {
            tracing::info!(node = header.from, epoch = header.epoch, "a node left");
            self.remote.pending.node_lost(header.from, header.epoch.saturating_add(1));
            self.remote.close_lane(header.inbox);
            self.remote.progress.notify_waiters();
        }
    }

    fn unreadable(&mut self, bytes: &[u8], why: &str) {
        self.remote.unreadable.fetch_add(1, Ordering::Relaxed);
        // Whoever the frame says it is from; a frame without a readable header is from nobody.
        let mut source = "unknown".to_string();
        let _ = frame::decode(bytes, |h, _| source = h.from.to_string());
        if self.named.len() < NAMED_SOURCES && self.named.insert(source.clone()) {
            tracing::warn!(source, why, bytes = bytes.len(), "a frame cannot be read; it and more like it are dropped");
        }
    }

    fn forget(&mut self) {
        let now = self.remote.env.now();
        let age = LEASES_REMEMBERED * Duration::from_millis(self.remote.settings.members.lease_ms);
        if now.saturating_duration_since(self.cleaned) > age {
            self.cleaned = now;
            self.senders.forget_older_than(age, now);
        }
    }
}
