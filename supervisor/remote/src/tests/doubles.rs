//! Doubles: a wire that records, and a node whose handlers do as their names say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use essaim_base::call::{Call, WireOrigin};
use essaim_base::lock::Mutex;
use essaim_base::trace::TraceHeaders;
use essaim_contract::NotDelivered;
use essaim_protocol::frame::{self, AskMessage, FrameMessage, Heartbeat, HostReport, RawAnswer};
use essaim_protocol::wire::{PublishError, Renewal, Wire};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use futures_util::stream::{LocalBoxStream, StreamExt, unfold};
use futures_util::{FutureExt, future};
use tokio::sync::{Notify, mpsc};

use super::super::ports::{AnswerThreads, AskBatch, Hosts, Inbound};

/// A message that the node under test has sent.
#[derive(Debug)]
pub enum Sent {
    Ask { inbox: String, id: u64, trace_state: String },
    Answer { inbox: String, id: u64, answer: RawAnswer },
    Heartbeat(Heartbeat),
    Leave,
    DrainAck { inbox: String },
    Ping,
    Broadcast { id: u64 },
    Other,
}

/// A wire that records what is sent. Every inbox has a subscriber, but for those in `deaf`.
pub struct TestWire {
    sent: mpsc::UnboundedSender<Sent>,
    pub deaf: Mutex<Vec<String>>,
    /// Whether the server answers renewals.
    pub renews: AtomicBool,
    pub resets: AtomicU32,
    pub closed_inbox: Notify,
    /// Nodes that hear a broadcast, this one included.
    pub audience: AtomicU32,
    /// What it was handed, and for which channel.
    frames: Mutex<Vec<(String, Bytes)>>,
    /// Why it does not take broadcasts; what it has not taken it records all the same.
    pub refuses: Mutex<Option<PublishError>>,
}

impl TestWire {
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Sent>) {
        let (sent, recorded) = mpsc::unbounded_channel();
        let wire = Self {
            sent,
            deaf: Mutex::default(),
            renews: AtomicBool::new(true),
            resets: AtomicU32::new(0),
            closed_inbox: Notify::new(),
            audience: AtomicU32::new(1),
            frames: Mutex::default(),
            refuses: Mutex::default(),
        };
        (Arc::new(wire), recorded)
    }

    /// What it was handed so far, and for which channel.
    pub fn frames(&self) -> Vec<(String, Bytes)> {
        self.frames.lock().clone()
    }

    fn record(&self, inbox: &str, frame: &Bytes) {
        let channel = if inbox.is_empty() { "broadcast" } else { inbox };
        self.frames.lock().push((channel.into(), frame.clone()));
        let inbox = inbox.to_string();
        let recorded = frame::decode(frame, |_, message| {
            let inbox = inbox.clone();
            let sent = match message {
                FrameMessage::Ask(AskMessage { id, trace_state, .. }) => {
                    Sent::Ask { inbox, id, trace_state: trace_state.into() }
                }
                FrameMessage::Reply { id, body } => Sent::Answer { inbox, id, answer: Ok(body.to_vec()) },
                FrameMessage::Error { id, error } => Sent::Answer { inbox, id, answer: Err(error) },
                FrameMessage::Heartbeat(heartbeat) => Sent::Heartbeat(heartbeat),
                FrameMessage::Leave => Sent::Leave,
                FrameMessage::DrainAck => Sent::DrainAck { inbox },
                FrameMessage::Ping(_) => Sent::Ping,
                FrameMessage::Broadcast(broadcast) => Sent::Broadcast { id: broadcast.id },
                FrameMessage::CreditRequest => Sent::Other,
            };
            let _ = self.sent.send(sent);
        });
        recorded.expect("the node sends readable frames");
    }
}

impl Wire for TestWire {
    fn publish<'a>(&'a self, inbox: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>> {
        let heard = !self.deaf.lock().iter().any(|deaf| deaf == inbox);
        self.record(inbox, &frame);
        future::ready(Ok(u64::from(heard))).boxed()
    }

    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>> {
        self.record("", &frame);
        let heard = u64::from(self.audience.load(Ordering::Relaxed));
        future::ready(self.refuses.lock().clone().map_or(Ok(heard), Err)).boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Renewal> {
        let renewal = if self.renews.load(Ordering::Relaxed) { Renewal::Held } else { Renewal::Unanswered };
        future::ready(renewal).boxed()
    }

    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    fn close_inbox(&self) -> BoxFuture<'_, ()> {
        self.closed_inbox.notify_one();
        future::ready(()).boxed()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }
}

/// A node that hosts `shop`, which may ask `stock`.
#[derive(Default)]
pub struct TestNode {
    /// The names of the asks that came.
    pub asked: Mutex<Vec<String>>,
    /// The traces that came with asks and broadcasts.
    pub traces: Mutex<Vec<TraceHeaders>>,
    pub broadcasts: Mutex<Vec<String>>,
    pub origins: Mutex<Vec<Option<Arc<WireOrigin>>>>,
    pub missed_broadcasts: AtomicU32,
    /// Lets one handler of `shop.later.v1` go on.
    pub goes_on: Arc<Notify>,
    /// Announces a change of `shop`.
    pub changed: Arc<Notify>,
    /// Whether the threads of the actors are blocked; what comes meanwhile is in `held`.
    pub is_blocked: AtomicBool,
    pub held: Mutex<Vec<AskBatch>>,
}

impl Inbound for TestNode {
    fn is_for_the_runtime(&self, name: &str) -> bool {
        name.starts_with("essaim.")
    }

    fn answer(
        self: Arc<Self>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        self.asked.lock().push(name.to_string());
        self.traces.lock().push(call.trace_headers());
        let (reply, goes_on) = (Ok(body.to_vec()), self.goes_on.clone());
        match name {
            "shop.now.v1" | "essaim.status.v1" => Ok(future::ready(reply).boxed_local()),
            "shop.later.v1" => Ok(goes_on.notified_owned().map(|()| reply).boxed_local()),
            "shop.panics.v1" => panic!("its message cannot be read"),
            "shop.panics-later.v1" => Ok(async { panic!("its reply cannot be written") }.boxed_local()),
            "shop.large.v1" => Ok(future::ready(Ok(vec![0; 5 << 20])).boxed_local()),
            other => Err(NotDelivered::Unsupported { message: other.to_string() }),
        }
    }

    fn on_broadcast(&self, name: &str, _: &[u8], trace: TraceHeaders, origin: Option<Arc<WireOrigin>>) {
        self.origins.lock().push(origin);
        self.traces.lock().push(trace);
        self.broadcasts.lock().push(name.to_string());
    }

    fn on_missed_broadcasts(&self) {
        self.missed_broadcasts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Hosts for TestNode {
    fn names(&self) -> Vec<Arc<str>> {
        vec!["shop".into()]
    }

    fn reports(&self) -> BTreeMap<String, HostReport> {
        super::heartbeat("shop", &["stock"]).capabilities
    }

    fn changes(&self, _: &str) -> LocalBoxStream<'static, ()> {
        let next = async |changed: Arc<Notify>| {
            changed.notified().await;
            Some(((), changed))
        };
        unfold(self.changed.clone(), next).boxed_local()
    }
}

impl AnswerThreads for TestNode {
    fn answer_in_turn(&self, _: usize, batch: AskBatch) {
        match self.is_blocked.load(Ordering::Relaxed) {
            true => self.held.lock().push(batch),
            false => batch.begin(),
        }
    }
}
