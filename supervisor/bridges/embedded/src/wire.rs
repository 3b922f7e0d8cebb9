//! The wire of a single process: every frame comes back to the node that sent it.
//!
//! It exists for parity: with `parity.enabled` each message of the process goes through the same codec, windows and
//! bookkeeping as between nodes, and is delayed, repeated and lost as the seed says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::mpsc;

use essaim_base::Env;
use essaim_config::ParityConfig;
use essaim_protocol::wire::{Channel, Identity, PublishError, Renewal, Wire, WireEvent, WireEvents};

/// A wire from this node to itself.
pub struct EmbeddedWire {
    events: mpsc::UnboundedSender<WireEvent>,
    config: ParityConfig,
    /// A generator of its own, so that a seed repeats the same decisions independently of the rest of the node.
    chance: Env,
    open: AtomicBool,
}

impl EmbeddedWire {
    /// A wire for the node of this name.
    pub fn new(node: &str, config: ParityConfig) -> (Self, Identity, WireEvents) {
        // Bounded by the windows that the node grants itself (`wire.window_bytes`).
        let (events, receiver) = mpsc::unbounded_channel();
        let chance = Env::simulated(config.seed, Duration::ZERO);
        let identity = Identity {
            node: node.to_string(),
            epoch: 1,
            inbox: "embedded".into(),
            broadcast: "broadcast".into(),
            cluster: String::new(),
        };
        let _ = events.send(WireEvent::Restored);
        (Self { events, config, chance, open: AtomicBool::new(true) }, identity, receiver)
    }

    fn happens(&self, percent: f64) -> bool {
        percent > 0.0 && self.chance.fraction() * 100.0 < percent
    }

    fn deliver(&self, channel: Channel, frame: Bytes) {
        if self.happens(self.config.loss_percent) {
            return;
        }
        let copies = if self.happens(self.config.duplicate_percent) { 2 } else { 1 };
        for _ in 0..copies {
            let event = WireEvent::Frame(channel, frame.clone());
            if self.config.delay_ms == 0 {
                // A node that has stopped reading does not need the frame.
                let _ = self.events.send(event);
                continue;
            }
            let delay = Duration::from_millis(self.config.delay_ms).mul_f64(self.chance.fraction());
            let events = self.events.clone();
            // A delayed frame: the task only waits, and cannot panic.
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = events.send(event);
            });
        }
    }
}

impl Wire for EmbeddedWire {
    fn publish<'a>(&'a self, _: &'a str, frame: Bytes) -> BoxFuture<'a, Result<u64, PublishError>> {
        let receivers = u64::from(self.open.load(Ordering::Acquire));
        if receivers == 1 {
            self.deliver(Channel::Inbox, frame);
        }
        ready(Ok(receivers)).boxed()
    }

    fn broadcast(&self, frame: Bytes) -> BoxFuture<'_, Result<u64, PublishError>> {
        self.deliver(Channel::Broadcast, frame);
        ready(Ok(1)).boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Renewal> {
        ready(Renewal::Held).boxed()
    }

    fn reset(&self) {}

    fn close_inbox(&self) -> BoxFuture<'_, ()> {
        self.open.store(false, Ordering::Release);
        let _ = self.events.send(WireEvent::Closed);
        ready(()).boxed()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}
