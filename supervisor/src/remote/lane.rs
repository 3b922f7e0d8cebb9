//! The way to one inbox: a queue, a writer, and the bytes the receiver granted.
//!
//! One writer packs everything that waits into one frame and publishes it; while the server answers, the next
//! messages gather. So frames batch by themselves: idle traffic leaves at once, busy traffic shares the cost.
//!
//! The window is a pair of byte counts, as in QUIC: the sender says how many bytes it has sent before each frame, the
//! receiver up to how many it may send. A lost frame only makes the receiver's count jump, so nothing leaks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use essaim_contract::{AskError, NotDelivered, Unknown};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::frame::{self, FrameHeader, FrameMessage, VERSION};
use super::pending::RawAnswer;
use crate::bridge::{Identity, PublishError, Wire};
use crate::slot::Slot;

/// What a header adds to a frame, at most, in bytes.
const HEADER_BYTES: u64 = 512;

pub(crate) struct Lane {
    /// The node at the other end, for errors and logs.
    pub node: Arc<str>,
    pub inbox: String,
    limits: LaneLimits,
    /// What the other end granted to begin with: the most that it ever grants at once.
    window_there: u64,
    state: Mutex<State>,
    wake: Notify,
}

/// The bounds of a lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneLimits {
    /// A frame is closed when it holds this many bytes.
    pub frame_bytes: u64,
    /// Bytes that may wait here.
    pub queue_bytes: u64,
    /// Bytes that the other end may have on the way to this node.
    pub window_bytes: u64,
    /// How long a writer without a grant waits before it asks for one.
    pub want_after: Duration,
}

struct State {
    waiting: VecDeque<Item>,
    waiting_bytes: u64,
    /// Bytes sent in this direction, and up to how many may be.
    sent: u64,
    granted: u64,
    /// Bytes read in the other direction, and up to how many the other end was told it may send.
    read: u64,
    told: u64,
    /// Whether the other end asked for a grant.
    wanted: bool,
    /// Whether a frame is being published.
    busy: bool,
    /// Whether nobody was subscribed to the inbox when the last frame was published.
    unheard: bool,
    closed: bool,
}

struct Item {
    bytes: Vec<u8>,
    ask: Option<Arc<Slot<RawAnswer>>>,
}

/// The lane has as many bytes waiting as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LaneFull {
    pub bound: u64,
}

/// What the writer does next.
enum Next {
    Publish { frame: Vec<Vec<u8>>, asks: Vec<Arc<Slot<RawAnswer>>>, sent: u64, grant: u64 },
    Blocked,
    Idle,
    End,
}

impl Lane {
    /// A lane whose other end grants `granted` bytes to begin with.
    pub fn new(node: Arc<str>, inbox: String, limits: LaneLimits, granted: u64) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: 0,
            granted,
            read: 0,
            told: limits.window_bytes,
            wanted: false,
            busy: false,
            unheard: false,
            closed: false,
        };
        Self { node, inbox, limits, window_there: granted, state: Mutex::new(state), wake: Notify::new() }
    }

    /// Puts an ask into the queue; its slot begins when the ask is handed to the wire.
    pub fn ask(&self, bytes: Vec<u8>, slot: Arc<Slot<RawAnswer>>) -> Result<(), LaneFull> {
        let state = self.lock();
        if state.waiting_bytes + bytes.len() as u64 > self.limits.queue_bytes {
            return Err(LaneFull { bound: self.limits.queue_bytes });
        }
        self.push(state, Item { bytes, ask: Some(slot) });
        Ok(())
    }

    /// Puts anything else into the queue. It is bounded by what the other end asked for, so it is refused only by a lane that was
    /// closed; whether it was taken.
    pub fn send(&self, bytes: Vec<u8>) -> bool {
        let state = self.lock();
        let is_open = !state.closed;
        if is_open {
            self.push(state, Item { bytes, ask: None });
        }
        is_open
    }

    fn push(&self, mut state: MutexGuard<'_, State>, item: Item) {
        state.waiting_bytes += item.bytes.len() as u64;
        state.waiting.push_back(item);
        drop(state);
        self.wake.notify_one();
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether nothing waits and nothing is being published.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && !state.busy
    }

    /// Whether nobody was subscribed to the inbox when the last frame was published, and no sign of life came since.
    pub fn is_unheard(&self) -> bool {
        self.lock().unheard
    }

    /// The server saw that many receivers of a frame, or the other end gave a sign of life.
    pub fn received_by(&self, receivers: u64) {
        self.lock().unheard = receivers == 0;
    }

    /// Notes a frame from the other end: how much it has sent by now, and what it grants.
    pub fn heard(&self, sent_before: u64, frame_bytes: u64, grant: u64) {
        let mut state = self.lock();
        state.read = state.read.max(sent_before.saturating_add(frame_bytes));
        state.granted = state.granted.max(grant);
        drop(state);
        self.wake.notify_one();
    }

    /// The other end waits for a grant.
    pub fn wants(&self) {
        self.lock().wanted = true;
        self.wake.notify_one();
    }

    /// Whether it has been closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends the writer; what waits is not sent.
    pub fn close(&self) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        for slot in left.into_iter().filter_map(|i| i.ask) {
            slot.answer(Err(AskError::NotDelivered(NotDelivered::Unreachable { node: self.node.to_string() })));
        }
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Next {
        let mut state = self.lock();
        if state.closed {
            return Next::End;
        }
        let mut frame = Vec::new();
        let mut asks = Vec::new();
        let mut bytes = 0;
        while let Some(item) = state.waiting.front() {
            let more = item.bytes.len() as u64;
            let room = state.granted.saturating_sub(state.sent);
            // With the whole window free even a message larger than the window may go; nothing else would move it.
            let fits = bytes + more + HEADER_BYTES <= room
                || (bytes == 0 && room >= self.window_there.min(self.limits.window_bytes));
            if !fits || (bytes > 0 && bytes + more > self.limits.frame_bytes) {
                break;
            }
            let Some(item) = state.waiting.pop_front() else { break };
            state.waiting_bytes -= more;
            match item.ask {
                // Its asker took it back.
                Some(slot) if slot.begin().is_none() => continue,
                Some(slot) => asks.push(slot),
                None => {}
            }
            bytes += more;
            frame.push(item.bytes);
        }
        let untold = (state.read.saturating_add(self.limits.window_bytes)).saturating_sub(state.told);
        if frame.is_empty() && !state.wanted && untold < self.limits.window_bytes / 2 {
            return if state.waiting.is_empty() { Next::Idle } else { Next::Blocked };
        }
        state.wanted = false;
        state.told = state.read.saturating_add(self.limits.window_bytes);
        state.busy = true;
        Next::Publish { frame, asks, sent: state.sent, grant: state.told }
    }

    fn published(&self, bytes: u64) {
        let mut state = self.lock();
        state.sent += bytes;
        state.busy = false;
    }

    /// Writes until the lane is closed.
    pub async fn write(self: Arc<Self>, wire: Arc<dyn Wire>, me: Arc<Identity>) {
        // Since when it has been blocked; messages that come meanwhile do not begin the wait anew.
        let mut want_at = None;
        loop {
            match self.next() {
                Next::End => return,
                Next::Idle => self.wake.notified().await,
                Next::Blocked => {
                    let at = *want_at.get_or_insert_with(|| Instant::now() + self.limits.want_after);
                    if timeout_at(at, self.wake.notified()).await.is_err() {
                        want_at = None;
                        self.publish(&*wire, &me, vec![want()], Vec::new(), None).await;
                    }
                }
                Next::Publish { frame, asks, sent, grant } => {
                    if !frame.is_empty() {
                        want_at = None;
                    }
                    self.publish(&*wire, &me, frame, asks, Some((sent, grant))).await;
                }
            }
        }
    }

    async fn publish(
        &self,
        wire: &dyn Wire,
        me: &Identity,
        messages: Vec<Vec<u8>>,
        asks: Vec<Arc<Slot<RawAnswer>>>,
        counts: Option<(u64, u64)>,
    ) {
        let (sent, grant) = counts.unwrap_or_else(|| {
            let state = self.lock();
            (state.sent, state.told)
        });
        let header = FrameHeader {
            version: VERSION,
            from: &me.node,
            epoch: me.epoch,
            inbox: &me.inbox,
            sent_bytes: sent,
            granted_bytes: grant,
            message_count: messages.len() as u32,
        };
        let frame = match frame::encode(&header, &messages) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a frame cannot be encoded");
                self.published(0);
                return;
            }
        };
        let bytes = frame.len() as u64;
        let published = wire.publish(&self.inbox, frame).await;
        self.published(bytes);
        if let Ok(receivers) = published {
            self.received_by(receivers);
        }
        let node = || self.node.to_string();
        let error = match published {
            Ok(0) | Err(PublishError::NotSent) => AskError::NotDelivered(NotDelivered::Unreachable { node: node() }),
            Ok(_) => return,
            Err(PublishError::Unanswered) => AskError::Unknown(Unknown::WireLost { node: node() }),
        };
        for slot in asks {
            slot.answer(Err(error.clone()));
        }
    }
}

fn want() -> Vec<u8> {
    // A unit variant always encodes.
    frame::encode_message(&FrameMessage::CreditRequest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(window_bytes: u64) -> Lane {
        let limits =
            LaneLimits { frame_bytes: 1_000, queue_bytes: 5_000, window_bytes, want_after: Duration::from_secs(1) };
        Lane::new("n".into(), "inbox".into(), limits, window_bytes)
    }

    fn frame_of(next: Next) -> usize {
        match next {
            Next::Publish { frame, .. } => frame.len(),
            _ => 0,
        }
    }

    #[test]
    fn everything_that_waits_goes_into_one_frame_up_to_its_size() {
        let lane = lane(100_000);
        assert!((0..15).all(|_| lane.send(vec![0; 100])));
        assert_eq!(frame_of(lane.next()), 10);
        lane.published(1_000);
        assert_eq!(frame_of(lane.next()), 5);
        lane.published(500);
        assert!(matches!(lane.next(), Next::Idle) && lane.is_idle());
    }

    #[test]
    fn a_full_window_blocks_until_the_receiver_grants_more() {
        let lane = lane(1_000);
        lane.send(vec![0; 400]);
        lane.send(vec![0; 400]);
        assert_eq!(frame_of(lane.next()), 1);
        lane.published(420);
        assert!(matches!(lane.next(), Next::Blocked));
        lane.heard(0, 10, 2_000);
        assert_eq!(frame_of(lane.next()), 1);
    }

    #[test]
    fn an_ask_that_was_taken_back_is_not_sent_and_a_full_queue_refuses() {
        let lane = lane(100_000);
        let slot = Arc::new(Slot::new());
        lane.ask(vec![0; 100], slot.clone()).unwrap();
        slot.give_up();
        assert!(matches!(lane.next(), Next::Idle));
        lane.ask(vec![0; 5_000], Arc::new(Slot::new())).unwrap();
        assert_eq!(lane.ask(vec![0], Arc::new(Slot::new())), Err(LaneFull { bound: 5_000 }));
    }

    #[test]
    fn the_other_end_is_told_of_its_grant_when_half_the_window_is_used_or_it_asks() {
        let lane = lane(1_000);
        lane.heard(0, 400, 0);
        assert!(matches!(lane.next(), Next::Idle));
        lane.heard(400, 200, 0);
        assert!(matches!(lane.next(), Next::Publish { grant: 1_600, .. }));
        lane.published(0);
        lane.wants();
        assert!(matches!(lane.next(), Next::Publish { grant: 1_600, .. }));
    }

    #[test]
    fn a_lost_frame_does_not_shrink_the_window() {
        let lane = lane(1_000);
        // A frame of 900 bytes was lost; the next says that it comes after it.
        lane.heard(900, 50, 0);
        assert!(matches!(lane.next(), Next::Publish { grant: 1_950, .. }));
    }
}
