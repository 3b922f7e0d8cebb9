//! The reader of the node's inbox: what it does with each frame and message.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_base::call::{Call, Chain, WireOrigin};
use essaim_base::panic::panic_text;
use essaim_base::trace::TraceHeaders;
use essaim_contract::NotDelivered;
use essaim_protocol::frame::{self, AskMessage, BroadcastMessage, FrameHeader, FrameMessage, Heartbeat, NodeState};
use essaim_protocol::frame_origin::{self, Origin};
use essaim_protocol::keys::Distrust;
use essaim_protocol::wire::{Channel, WireEvent, WireEvents};
use tokio::sync::mpsc;

use super::absent::Absence;
use super::answering::{self, IncomingAsk, LateAnswer};
use super::members::MembershipChange;
use super::repeated_frames::HeardFrames;
use super::sender_history::SenderHistories;
use super::{Remote, heartbeat, node_lease, ping, wire_health};

/// Sources of unreadable or foreign frames that are named in the log; those of others are only counted.
const MAX_LOGGED_SOURCES: usize = 64;
/// Bound of the time that an ask may wait, as it says itself: its deadline must be a moment that the clock can represent.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Senders not heard for this many leases are forgotten.
const LEASES_REMEMBERED: u32 = 20;

/// Reads until the node ends.
pub(super) async fn read(
    remote: Arc<Remote>,
    mut events: WireEvents,
    mut late_answers: mpsc::UnboundedReceiver<LateAnswer>,
) {
    let mut reader = InboxReader {
        senders: SenderHistories::new(remote.settings.wire.duplicate_ids),
        heard: HeardFrames::new(remote.settings.wire.duplicate_frames, remote.settings.wire.senders),
        logged_sources: BTreeSet::new(),
        last_cleanup: remote.env.now(),
        asks: Vec::new(),
        remote,
    };
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            Some(late) = late_answers.recv() => {
                answering::send_late_answer(&reader.remote, late);
                continue;
            }
        };
        let Some(event) = event else { return };
        match event {
            WireEvent::Frame(channel, bytes) => {
                reader.on_frame(channel, &bytes);
                let asks = std::mem::take(&mut reader.asks);
                if !asks.is_empty() {
                    answering::dispatch(&reader.remote, asks);
                    // The links' writers get a turn, so that answers leave while the next frame is read.
                    tokio::task::yield_now().await;
                }
            }
            WireEvent::Lost => wire_health::on_wire_lost(&reader.remote),
            WireEvent::Restored => wire_health::on_wire_restored(&reader.remote),
            WireEvent::Closed => {
                reader.remote.inbox_closed.store(true, Ordering::Release);
                reader.remote.changed.notify_waiters();
            }
        }
    }
}

struct InboxReader {
    remote: Arc<Remote>,
    senders: SenderHistories,
    heard: HeardFrames,
    /// Bounded by [`MAX_LOGGED_SOURCES`].
    logged_sources: BTreeSet<String>,
    last_cleanup: tokio::time::Instant,
    /// The asks of the frame at hand.
    asks: Vec<IncomingAsk>,
}

impl InboxReader {
    /// Reads a frame; a contract whose decoding panics must not make the node deaf.
    fn on_frame(&mut self, channel: Channel, bytes: &[u8]) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.read_frame(channel, bytes))) {
            self.on_unreadable(bytes, &panic_text(&*panic));
        }
    }

    fn read_frame(&mut self, channel: Channel, bytes: &[u8]) {
        let remote = self.remote.clone();
        remote.traffic.received.count(bytes.len());
        let origin = match frame_origin::origin(remote.me.channel(channel), &remote.framing.keys, bytes) {
            Ok(origin) => origin,
            Err(why) => return self.on_refused(bytes, why),
        };
        // Known with the header, which stands before the first message.
        let mut is_new = None;
        let read = frame::decode(bytes, |header, message| {
            let is_new = *is_new.get_or_insert_with(|| self.is_new(channel, &origin, header));
            if is_new && self.is_for_this_node(header, &message) {
                self.on_message(header, message);
            }
        });
        match read {
            Ok(header) if !is_new.unwrap_or_else(|| self.is_new(channel, &origin, &header)) => {}
            Ok(header) if header.inbox != remote.me.inbox || remote.settings.parity.enabled => {
                if let Some(link) = remote.known_link(header.inbox) {
                    link.record_frame(header.sent_bytes, bytes.len() as u64, header.granted_bytes);
                }
            }
            Ok(_) => {}
            Err(error) => self.on_unreadable(bytes, &error.to_string()),
        }
        self.forget_old_senders();
    }

    /// Whether a frame is none that was heard before: only what is signed can be held to that.
    fn is_new(&mut self, channel: Channel, origin: &Origin, header: &FrameHeader<'_>) -> bool {
        let sender = (header.inbox, header.epoch);
        let is_new = *origin == Origin::Anybody || self.heard.record(channel, sender, header.number);
        if !is_new {
            self.remote.refused.count_repeated();
        }
        is_new
    }

    /// Whether a message is to be acted on: this node's own broadcasts come back to it too.
    fn is_for_this_node(&self, header: &FrameHeader<'_>, message: &FrameMessage<'_>) -> bool {
        let me = &self.remote.me;
        if header.from != me.node {
            return true;
        }
        if header.epoch > me.epoch {
            node_lease::on_superseded(&self.remote, header.epoch);
        }
        let own = header.epoch == me.epoch;
        own && (self.remote.settings.parity.enabled || matches!(message, FrameMessage::Ping(_)))
    }

    fn on_message(&mut self, header: &FrameHeader<'_>, message: FrameMessage<'_>) {
        let remote = &self.remote;
        match message {
            FrameMessage::Ask(ask) => self.on_ask(header, ask),
            FrameMessage::Reply { id, body } => remote.pending.answer(id, header.from, Ok(body.to_vec())),
            FrameMessage::Error { id, error } => remote.pending.answer(id, header.from, Err(error)),
            FrameMessage::Broadcast(broadcast) => self.on_broadcast(header, &broadcast),
            FrameMessage::Heartbeat(heartbeat) => self.on_heartbeat(header, heartbeat),
            FrameMessage::DrainAck => {
                if let Some(peer) = remote.members.get(header.from) {
                    peer.record_drain_ack();
                    remote.changed.notify_waiters();
                }
            }
            FrameMessage::Leave => self.on_leave(header),
            FrameMessage::Ping(_) => ping::on_own_ping(remote),
            FrameMessage::CreditRequest => {
                if let Some(link) = remote.known_link(header.inbox) {
                    link.record_credit_request();
                }
            }
        }
    }

    fn on_ask(&mut self, header: &FrameHeader<'_>, ask: AskMessage<'_>) {
        let remote = &self.remote;
        let now = remote.env.now();
        let now_us = remote.clock_us(now);
        let sender = self.senders.get(header.inbox, now);
        if !sender.record_id(ask.id) {
            return;
        }
        let link = remote.answer_link(sender.link.take(), header.from, header.inbox);
        sender.link = Some(link.clone());
        let time_left = Duration::from_millis(ask.time_left_ms).min(MAX_WAIT);
        let time_left = sender.time_left(time_left, ask.sent_at_us, now_us);
        let margin = Duration::from_millis(remote.settings.wire.deadline_margin_ms);
        if remote.is_draining() || !remote.health.holds_lease(now) {
            let node = remote.me.node.clone();
            let why =
                if remote.is_draining() { NotDelivered::Draining { node } } else { NotDelivered::Unreachable { node } };
            return answering::refuse(remote, &link, ask.id, why);
        }
        let trace = TraceHeaders::of_message(ask.trace, ask.trace_state, ask.kept, &remote.env);
        let origin = trace.context.kept.then(|| origin(header, ask.id, ask.body));
        let call = Call {
            deadline: now + time_left.saturating_sub(margin),
            trace: trace.context,
            trace_state: trace.state,
            chain: ask.chain.iter().collect::<Chain>(),
            principal: ask.principal.map(Arc::new),
            metadata: (!ask.meta.is_empty()).then(|| Arc::new(ask.meta)),
            origin,
        };
        self.asks.push(IncomingAsk::new(remote, link, (ask.id, ask.name, ask.body), call));
    }

    fn on_broadcast(&self, header: &FrameHeader<'_>, broadcast: &BroadcastMessage<'_>) {
        if let Some(inbound) = self.remote.ports.inbound.upgrade() {
            let BroadcastMessage { id, name, trace, trace_state, kept, body } = *broadcast;
            let trace = TraceHeaders::of_message(trace, trace_state, kept, &self.remote.env);
            let origin = (trace.context.kept && id != 0).then(|| origin(header, id, body));
            inbound.on_broadcast(name, body, trace, origin);
        }
    }

    /// Names a node of another cluster, which cannot be heard here unless something else publishes for it.
    fn log_foreign_node(&mut self, node: &str, cluster: &str) {
        if self.may_log(format!("{node} {cluster}")) {
            let own = &self.remote.me.cluster;
            tracing::warn!(
                node,
                cluster,
                own,
                "a node of another cluster was refused: who publishes its heartbeats here?"
            );
        }
    }

    fn on_heartbeat(&mut self, header: &FrameHeader<'_>, heartbeat: Heartbeat) {
        let remote = self.remote.clone();
        if heartbeat.cluster != remote.me.cluster {
            return self.log_foreign_node(header.from, &heartbeat.cluster);
        }
        let (hello, draining) = (heartbeat.hello, heartbeat.state == NodeState::Draining);
        let hosts = heartbeat.capabilities.keys().cloned().collect::<Vec<_>>().join(", ");
        let earlier_inbox = remote.members.known(header.from).map(|p| p.link.inbox.clone());
        let window_bytes = heartbeat.window_bytes;
        let link = || remote.link(header.from, header.inbox, window_bytes);
        match remote.members.record_heartbeat(header, heartbeat, remote.env.now(), link) {
            MembershipChange::None if hello => remote.pending.fail_reconnected_node(header.from),
            MembershipChange::None => {}
            MembershipChange::Ignored => remote.changed.notify_waiters(),
            MembershipChange::New { over_epoch, refused } => {
                if let (Some(_), Some(inbox)) = (over_epoch, earlier_inbox) {
                    remote.pending.fail_lost_epochs(header.from, header.epoch);
                    remote.close_link(&inbox);
                }
                if !refused {
                    tracing::info!(node = header.from, epoch = header.epoch, over_epoch, hosts, "a node joined");
                }
                remote.changed.notify_waiters();
            }
        }
        if draining {
            let link = remote.link(header.from, header.inbox, window_bytes);
            link.enqueue(answering::encode_or_log(&FrameMessage::DrainAck));
        }
        if hello {
            // A refused node is answered too: it learns why it was refused from the heartbeats of the others.
            heartbeat::send(&remote, false);
        }
    }

    fn on_leave(&self, header: &FrameHeader<'_>) {
        let now = self.remote.env.now();
        if self.remote.members.remove(header.from, header.epoch, Absence::Left, now).is_some() {
            tracing::info!(node = header.from, epoch = header.epoch, "a node left");
            self.remote.pending.fail_lost_epochs(header.from, header.epoch.saturating_add(1));
            self.remote.close_link(header.inbox);
            self.remote.changed.notify_waiters();
        }
    }

    /// A frame that no node of the cluster can have made for this channel.
    fn on_refused(&mut self, bytes: &[u8], why: Distrust) {
        self.remote.refused.count(why);
        let claimed = claimed_sender(bytes);
        if self.may_log(format!("{claimed} {why}")) {
            tracing::warn!(claimed, %why, "a frame was refused; it and more like it are dropped");
        }
    }

    fn on_unreadable(&mut self, bytes: &[u8], why: &str) {
        self.remote.unreadable.fetch_add(1, Ordering::Relaxed);
        let source = claimed_sender(bytes);
        if self.may_log(source.clone()) {
            tracing::warn!(source, why, bytes = bytes.len(), "a frame cannot be read; it and more like it are dropped");
        }
    }

    /// Whether a source is to be named in the log: once each, and not too many.
    fn may_log(&mut self, source: String) -> bool {
        self.logged_sources.len() < MAX_LOGGED_SOURCES && self.logged_sources.insert(source)
    }

    fn forget_old_senders(&mut self) {
        let now = self.remote.env.now();
        let age = LEASES_REMEMBERED * Duration::from_millis(self.remote.settings.members.lease_ms);
        if now.saturating_duration_since(self.last_cleanup) > age {
            self.last_cleanup = now;
            self.senders.forget_older_than(age, now);
        }
    }
}

/// The sender that the header of a frame names, if the header can be read.
fn claimed_sender(frame: &[u8]) -> String {
    let mut source = "unknown".to_string();
    let _ = frame::decode(frame, |h, _| source = h.from.to_string());
    source
}

/// Where a message of this id came from.
fn origin(header: &FrameHeader<'_>, id: u64, body: &[u8]) -> Arc<WireOrigin> {
    let link = WireOrigin::link_of(header.epoch, id);
    Arc::new(WireOrigin { node: Some(header.from.into()), link, bytes: body.len() as u32 })
}
