//! Broadcasts: frames for every node, sent at most once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use essaim_base::call::{Call, WireOrigin};
use essaim_base::measure::Outcome;
use essaim_base::task::TaskName;
use essaim_base::trace::TraceContext;
use essaim_protocol::frame::{self, FrameMessage};
use essaim_protocol::wire::{Channel, PublishError};
use essaim_trace::{MessageKind, MessageRecord, Shown, Text};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};

use super::Remote;

/// Broadcasts that may wait for the wire.
pub(super) const MAX_QUEUED: usize = 1_024;

/// An encoded broadcast of a capability's.
pub struct RemoteBroadcast<'a> {
    pub capability: &'static str,
    pub name: Arc<str>,
    pub body: Vec<u8>,
    pub shown: Shown,
    pub call: &'a Call,
}

/// A broadcast that waits for the wire.
pub(super) struct QueuedBroadcast {
    frame: Bytes,
    /// None of the runtime's own.
    record: Option<Box<UnwrittenRecord>>,
}

/// The record of a broadcast that the wire has not taken yet.
struct UnwrittenRecord {
    /// As it is if all goes well.
    record: MessageRecord,
    /// Whether it is kept then.
    kept: bool,
}

/// Starts the task that sends the queued broadcasts.
pub(super) fn start(remote: &Arc<Remote>, queue: mpsc::Receiver<QueuedBroadcast>) {
    let (sending, queue) = (remote.clone(), Arc::new(Mutex::new(queue)));
    remote.tasks.restarted(TaskName::of_node("broadcasts"), move || send_queued(sending.clone(), queue.clone()));
}

async fn send_queued(remote: Arc<Remote>, queue: Arc<Mutex<mpsc::Receiver<QueuedBroadcast>>>) {
    let mut queue = queue.lock().await;
    while let Some(QueuedBroadcast { frame, record }) = queue.recv().await {
        if remote.inbox_closed.load(Ordering::Acquire) {
            // `Leave` has been sent, or is next; no heartbeat may follow it.
            queue.close();
            remote.record_broadcast(record, Some((Outcome::NotDelivered, HAS_LEFT.into())));
            continue;
        }
        let published = remote.wire.broadcast(frame).await;
        let failed = published.err().inspect(|error| tracing::debug!(%error, "a broadcast was not sent"));
        let failed = failed.map(|error| match error {
            PublishError::NotSent => (Outcome::NotDelivered, error.to_string()),
            PublishError::Unanswered => (Outcome::Unknown, error.to_string()),
        });
        remote.record_broadcast(record, failed);
    }
}

const HAS_LEFT: &str = "this node has left the others";

impl Remote {
    /// Broadcasts a message to every node, and writes the record of that. What joins the records of this node's own handlers
    /// with it, if they are kept.
    pub fn broadcast(&self, broadcast: RemoteBroadcast<'_>) -> Option<Arc<WireOrigin>> {
        let RemoteBroadcast { capability, name, body, shown, call } = broadcast;
        let (kept, bytes) = (call.trace.kept, body.len() as u32);
        let id = if kept { self.next_id.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let origin = kept.then(|| WireOrigin { node: None, link: WireOrigin::link_of(self.me.epoch, id), bytes });
        let record = self.recorder.is_on().then(|| MessageRecord {
            sender: call.chain.last().map(Text::from),
            link: origin.as_ref().map_or(0, |origin| origin.link),
            key: shown.key,
            payload: shown.payload,
            bytes,
            attributes: call.metadata.clone(),
            ..self.recorder.sent(MessageKind::Broadcast, &call.trace, &name, capability, self.recorder.now())
        });
        let (trace, body) = (call.trace.text(), serde_bytes::Bytes::new(&body));
        let (trace, trace_state) = (trace.as_str(), call.trace_state.as_str());
        let message =
            FrameMessage::Broadcast(frame::BroadcastMessage { id, name: &name, trace, trace_state, kept, body });
        self.enqueue(&message, record.map(|record| Box::new(UnwrittenRecord { record, kept })));
        origin.map(Arc::new)
    }

    /// Broadcasts a message of the runtime's own, of which nobody writes records.
    pub fn broadcast_own(&self, name: &str, body: &[u8], trace: &TraceContext) {
        let (trace, body) = (trace.text(), serde_bytes::Bytes::new(body));
        let (trace, trace_state) = (trace.as_str(), "");
        let message = frame::BroadcastMessage { id: 0, name, trace, trace_state, kept: false, body };
        self.enqueue_broadcast(&FrameMessage::Broadcast(message));
    }

    /// Queues one message of the runtime's own for every node, best effort. May be called on any thread.
    pub(super) fn enqueue_broadcast(&self, message: &FrameMessage<'_>) {
        self.enqueue(message, None);
    }

    fn enqueue(&self, message: &FrameMessage<'_>, record: Option<Box<UnwrittenRecord>>) {
        let Some(frame) = self.frame_of(Channel::Broadcast, message) else { return };
        let (dropped, why) = match self.broadcasts.try_send(QueuedBroadcast { frame, record }) {
            Ok(()) => return,
            Err(TrySendError::Full(dropped)) => (dropped, format!("{MAX_QUEUED} are waiting for the wire")),
            Err(TrySendError::Closed(dropped)) => (dropped, HAS_LEFT.into()),
        };
        tracing::warn!("a broadcast was dropped: {why}");
        self.record_broadcast(dropped.record, Some((Outcome::NotDelivered, why)));
    }

    /// Writes the record of a broadcast that the wire has taken, or not, if it is to be kept: of a trace that is, or since it
    /// did not go well.
    fn record_broadcast(&self, record: Option<Box<UnwrittenRecord>>, failed: Option<(Outcome, String)>) {
        let Some(unwritten) = record.filter(|unwritten| unwritten.kept || failed.is_some()) else { return };
        let record = unwritten.record;
        let ran_us = self.recorder.us(self.recorder.now()).saturating_sub(record.at_us);
        let (outcome, error) = failed.map_or((Outcome::Ok, None), |(outcome, why)| (outcome, Some(why.into())));
        self.recorder.write(MessageRecord { ran_us, outcome, error, ..record });
    }
}
