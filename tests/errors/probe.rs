//! Capabilities that do what they are asked to.
//!
//! `relay` asks `probe`, and `probe` tries to ask `relay` back; `nobody` is hosted nowhere.

use std::sync::Arc;

use essaim::lock::{Condvar, Mutex};
use essaim::{Actor, Cx, Fault, Handle, Handles, Start, StartError, reject};
use essaim_contract::{AskError, Capability, Message, Never};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// How many handlers have begun to wait; each adds a permit.
#[derive(Clone)]
pub struct Waiting(pub Arc<Semaphore>);

pub struct Probe;
impl Capability for Probe {
    const NAME: &'static str = "probe";
}

/// What the probe is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Deed {
    Answer,
    Reject,
    Panic,
    /// Never ends by itself.
    Wait,
    /// Blocks its thread until [`unblock`].
    Block,
}

/// Whether handlers that block their threads may go on.
static UNBLOCKED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// Lets all handlers go on that block their threads, for good.
pub fn unblock() {
    *UNBLOCKED.0.lock() = true;
    UNBLOCKED.1.notify_all();
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Do(pub Deed);
impl Message for Do {
    type To = Probe;
    const NAME: &'static str = "do";
    const VERSION: u16 = 1;
}
impl essaim_contract::Ask for Do {
    type Reply = String;
    type Error = String;
}

pub struct RelayCapability;
impl Capability for RelayCapability {
    const NAME: &'static str = "relay";
}

/// What the relay is to ask the probe.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Ask {
    /// Something for which the probe would have to ask the relay.
    BackToMe,
    /// Nothing more.
    Nothing,
}

/// Answered with the error that the ask ended with, if it did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Relay(pub Ask);
impl Message for Relay {
    type To = RelayCapability;
    const NAME: &'static str = "relay";
    const VERSION: u16 = 1;
}
impl essaim_contract::Ask for Relay {
    type Reply = Option<AskError<String>>;
    type Error = Never;
}

/// Asks the probe to try; the probe answers with the error that its own ask ended with.
#[derive(Debug, Serialize, Deserialize)]
pub struct TryRelay;
impl Message for TryRelay {
    type To = Probe;
    const NAME: &'static str = "try-relay";
    const VERSION: u16 = 1;
}
impl essaim_contract::Ask for TryRelay {
    type Reply = Option<AskError<String>>;
    type Error = Never;
}

pub struct Nobody;
impl Capability for Nobody {
    const NAME: &'static str = "nobody";
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Whisper;
impl Message for Whisper {
    type To = Nobody;
    const NAME: &'static str = "whisper";
    const VERSION: u16 = 1;
}
impl essaim_contract::Ask for Whisper {
    type Reply = ();
    type Error = Never;
}

pub struct ProbeActor(Waiting);

impl Actor for ProbeActor {
    type Capability = Probe;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Waiting;

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Waiting, StartError> {
        start.provided::<Waiting>().map(|w| (*w).clone()).ok_or_else(|| StartError::new("the test provides it"))
    }

    async fn start(shared: &Waiting, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.clone()))
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Do>().ask::<TryRelay>();
    }
}

impl Handle<Do> for ProbeActor {
    async fn handle(&mut self, Do(deed): Do, _: &mut Cx) -> Result<String, Fault<String>> {
        match deed {
            Deed::Answer => Ok("answered".into()),
            Deed::Reject => Err(reject("no")),
            Deed::Panic => panic!("asked to"),
            Deed::Wait => {
                self.0.0.add_permits(1);
                std::future::pending().await
            }
            Deed::Block => {
                UNBLOCKED.1.wait_while(&mut UNBLOCKED.0.lock(), |unblocked| !*unblocked);
                Ok("unblocked".into())
            }
        }
    }
}

impl Handle<TryRelay> for ProbeActor {
    async fn handle(&mut self, _: TryRelay, cx: &mut Cx) -> Result<Option<AskError<String>>, Fault> {
        let ended = cx.ask(Relay(Ask::Nothing)).await;
        Ok(ended.err().map(|e| e.map_rejected(|never| match never {})))
    }
}

pub struct RelayActor;

impl Actor for RelayActor {
    type Capability = RelayCapability;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();
    const ASKS: &'static [&'static str] = &[Probe::NAME];

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Relay>();
    }
}

impl Handle<Relay> for RelayActor {
    async fn handle(&mut self, Relay(ask): Relay, cx: &mut Cx) -> Result<Option<AskError<String>>, Fault> {
        match ask {
            Ask::Nothing => Ok(None),
            Ask::BackToMe => Ok(cx.ask(TryRelay).await?),
        }
    }
}

/// The probe in another version of the binary, whose asks close a circle with the relay's.
pub struct AskingProbeActor;

impl Actor for AskingProbeActor {
    type Capability = Probe;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();
    const ASKS: &'static [&'static str] = &[RelayCapability::NAME];

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Do>();
    }
}

impl Handle<Do> for AskingProbeActor {
    async fn handle(&mut self, _: Do, _: &mut Cx) -> Result<String, Fault<String>> {
        Ok("answered".into())
    }
}
