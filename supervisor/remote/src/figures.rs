//! Figures of the wire and of the other nodes, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use essaim_protocol::frame::NodeState;
use essaim_protocol::wire::{PublishError, Renewal, Wire};
use futures_util::future::BoxFuture;

use super::{RefusedFrames, Remote};

/// The wire and the other nodes as one node sees them now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireFigures {
    /// Whether the connection is up and pings come back.
    pub is_up: bool,
    /// How long the last ping that came back was under way.
    pub round_trip: Option<Duration>,
    /// Frames that were handed to the wire, and their bytes.
    pub sent: (u64, u64),
    /// Frames from the wire, and their bytes; this node's own broadcasts and pings come back to it.
    pub received: (u64, u64),
    /// Frames that could not be read.
    pub unreadable: u64,
    /// Frames that were refused.
    pub refused_frames: RefusedFrames,
    /// Messages that wait for credit or for the server.
    pub queued: usize,
    /// Asks of this node without an answer yet.
    pub pending_asks: usize,
    /// Asks of other nodes that this one has not answered yet.
    pub unanswered_asks: u32,
    /// Other nodes that take asks.
    pub ready: usize,
    /// Other nodes that leave.
    pub draining: usize,
    /// Other nodes that have not been heard for a while, or whose inbox had no subscriber.
    pub silent: usize,
    /// Nodes with which the ask graph would have a cycle.
    pub refused: usize,
}

/// Frames in both directions.
#[derive(Default)]
pub(super) struct WireTraffic {
    pub sent: FrameCount,
    pub received: FrameCount,
}

#[derive(Default)]
pub(super) struct FrameCount {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl FrameCount {
    pub fn count(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A wire that counts what is handed to it.
pub(super) struct CountedWire {
    pub wire: Arc<dyn Wire>,
    pub traffic: Arc<WireTraffic>,
}

impl Wire for CountedWire {
    fn publish<'a>(&'a self, inbox: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>> {
        self.traffic.sent.count(frame.len());
        self.wire.publish(inbox, frame)
    }

    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>> {
        self.traffic.sent.count(frame.len());
        self.wire.broadcast(frame)
    }

    fn renew(&self) -> BoxFuture<'_, Renewal> {
        self.wire.renew()
    }

    fn announce_release(&self, within: Duration) -> BoxFuture<'_, ()> {
        self.wire.announce_release(within)
    }

    fn reset(&self) {
        self.wire.reset();
    }

    fn close_inbox(&self) -> BoxFuture<'_, ()> {
        self.wire.close_inbox()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        self.wire.release()
    }
}

impl Remote {
    /// The figures of the wire and of the other nodes now.
    pub fn figures(&self) -> WireFigures {
        let (is_up, round_trip) = {
            let health = self.health.lock();
            (health.well_since.is_some() && !health.is_lost, health.round_trip)
        };
        let mut figures = WireFigures {
            is_up,
            round_trip,
            sent: self.traffic.sent.read(),
            received: self.traffic.received.read(),
            unreadable: self.unreadable(),
            refused_frames: self.refused(),
            queued: self.links.lock().values().map(|link| link.queue_len()).sum(),
            pending_asks: self.pending.len(),
            unanswered_asks: self.unanswered.load(Ordering::Relaxed),
            refused: self.members.refused(),
            ..WireFigures::default()
        };
        for peer in self.members.all() {
            match peer.heartbeat().state {
                _ if peer.is_silent() => figures.silent += 1,
                NodeState::Ready => figures.ready += 1,
                NodeState::Draining => figures.draining += 1,
            }
        }
        figures
    }
}
