//! One node's `Remote` over doubles of its ports and a wire without a server: other nodes are the frames that a test lets it
//! hear.

mod answering;
mod asking;
mod broadcasts;
mod doubles;
mod forged;
mod membership;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use essaim_base::Backoff;
use essaim_base::Env;
use essaim_base::exit::Fatal;
use essaim_base::task::Tasks;
use essaim_config::Settings;
use essaim_protocol::frame::{self, AskMessage, FrameHeader, FrameMessage, Heartbeat, NodeState, RawAnswer};
use essaim_protocol::keys::ClusterKeys;
use essaim_protocol::wire::{Channel, Identity, WireEvent};
use essaim_trace::Recorder;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::timeout;

use self::doubles::{Sent, TestNode, TestWire};
use super::ports::{AnswerThreads, Hosts, Inbound, Ports};
use super::{Remote, RemoteParts};

/// An answer is awaited this long; time is paused, so it costs none.
const PATIENCE: Duration = Duration::from_secs(60);

/// The node under test, `me` of epoch 100.
struct Stage {
    remote: Arc<Remote>,
    node: Arc<TestNode>,
    wire: Arc<TestWire>,
    events: mpsc::UnboundedSender<WireEvent>,
    sent: mpsc::UnboundedReceiver<Sent>,
    fatal: watch::Receiver<Option<Fatal>>,
}

/// Runs a test on one thread with its time paused.
fn staged<F: Future>(test: impl FnOnce(Stage) -> F) -> F::Output {
    staged_with(ClusterKeys::default(), test)
}

/// The same in a cluster with secrets.
fn staged_with<F: Future>(keys: ClusterKeys, test: impl FnOnce(Stage) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async { test(Stage::start(keys)).await })
}

impl Stage {
    fn start(keys: ClusterKeys) -> Self {
        let (env, settings) = (Env::system(), Arc::new(Settings::default()));
        let (wire, sent) = TestWire::new();
        let node = Arc::new(TestNode::default());
        let (events, wire_events) = mpsc::unbounded_channel();
        let (fatal_tx, fatal) = watch::channel(None);
        let remote = Remote::start(RemoteParts {
            wire: wire.clone(),
            me: Identity {
                node: "me".into(),
                epoch: 100,
                inbox: "inbox:me:100".into(),
                broadcast: "broadcast".into(),
                cluster: "c".into(),
            },
            events: wire_events,
            ports: Ports {
                inbound: Arc::downgrade(&node) as Weak<dyn Inbound>,
                hosts: Arc::downgrade(&node) as Weak<dyn Hosts>,
                threads: Arc::downgrade(&node) as Weak<dyn AnswerThreads>,
            },
            recorder: Recorder::new("me", &settings.trace, &env, 1),
            tasks: Tasks::new(env.clone(), Backoff { first: PATIENCE, most: PATIENCE }, fatal_tx),
            env,
            settings,
            keys: Arc::new(keys),
            cycle_fatal: |cycle| Fatal::new(1, cycle),
        });
        Self { remote, node, wire, events, sent, fatal }
    }

    /// Lets the node hear a frame of one message.
    fn hear(&self, (from, epoch): (&str, u64), message: FrameMessage<'_>) {
        let inbox = format!("inbox:{from}:{epoch}");
        let header = FrameHeader {
            version: frame::VERSION,
            from,
            epoch,
            inbox: &inbox,
            sent_bytes: 0,
            granted_bytes: 1 << 20,
            message_count: 1,
            number: 0,
        };
        let frame = frame::encode(&header, &[frame::encode_message(&message).unwrap()]).unwrap();
        self.events.send(WireEvent::Frame(Channel::Inbox, frame)).unwrap();
    }

    /// The next message that the node sends and the test looks for.
    async fn sent<T>(&mut self, what: impl Fn(Sent) -> Option<T>) -> T {
        let looked_for = async {
            loop {
                if let Some(found) = what(self.sent.recv().await.expect("the wire is there")) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, looked_for).await.expect("it is sent")
    }

    /// The next answer that the node sends: to which inbox, and to the ask of which id.
    async fn answer(&mut self) -> (String, u64, RawAnswer) {
        self.sent(|sent| match sent {
            Sent::Answer { inbox, id, answer } => Some((inbox, id, answer)),
            _ => None,
        })
        .await
    }

    /// The next ask that the node sends: to which inbox, and its id.
    async fn ask_sent(&mut self) -> (String, u64) {
        self.sent(|sent| match sent {
            Sent::Ask { inbox, id, .. } => Some((inbox, id)),
            _ => None,
        })
        .await
    }

    /// The next heartbeat that the node sends.
    async fn heartbeat(&mut self) -> Heartbeat {
        self.sent(|sent| match sent {
            Sent::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        })
        .await
    }

    /// Has all tasks act on what they have heard.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// An ask of another node.
fn ask<'a>(id: u64, name: &'a str, body: &'a [u8]) -> FrameMessage<'a> {
    FrameMessage::Ask(ask_in((TRACE, ""), id, name, body))
}

/// The trace of asks that tests make.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An ask of another node in a trace, with its state.
fn ask_in<'a>((trace, trace_state): (&'a str, &'a str), id: u64, name: &'a str, body: &'a [u8]) -> AskMessage<'a> {
    AskMessage {
        id,
        name,
        time_left_ms: 5_000,
        sent_at_us: 0,
        trace,
        trace_state,
        kept: false,
        chain: Vec::new(),
        principal: None,
        meta: Default::default(),
        body: serde_bytes::Bytes::new(body),
    }
}

/// A heartbeat of a node that hosts one capability, which may ask others.
fn heartbeat(capability: &str, asks: &[&str]) -> Heartbeat {
    Heartbeat { cluster: "c".into(), window_bytes: 1 << 20, ..crate::members::tests::heartbeat(capability, asks) }
}
