//! The capability that is asked: it gives back what it is sent.

use essaim::config::Config;
use essaim::{Actor, Cx, Env, Fault, Handle, Handles, Node, NodeError, Roster, Start, StartError};
use essaim_contract::{Capability, Message, Never};
use serde::{Deserialize, Serialize};

use crate::records;

/// What every system under test sends, and gets back with the next id. Its text is allocated for each message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    pub id: u64,
    pub text: String,
}

impl Payload {
    pub fn new(id: u64, text: &str) -> Self {
        Self { id, text: text.to_owned() }
    }

    /// What every system under test does with a payload.
    pub fn answer(self) -> Self {
        Self { id: self.id + 1, ..self }
    }
}

pub struct Echo;
impl Capability for Echo {
    const NAME: &'static str = "echo";
}

impl Message for Payload {
    type To = Echo;
    const NAME: &'static str = "payload";
    const VERSION: u16 = 1;
}
impl essaim_contract::Ask for Payload {
    type Reply = Payload;
    type Error = Never;
}

struct EchoActor {
    seen: u64,
}

impl Actor for EchoActor {
    type Capability = Echo;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { seen: 0 })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Payload>();
    }
}

impl Handle<Payload> for EchoActor {
    async fn handle(&mut self, payload: Payload, _: &mut Cx) -> Result<Payload, Fault> {
        self.seen = self.seen.wrapping_add(payload.id);
        Ok(payload.answer())
    }
}

/// A node of this name on this thread alone, with or without the echo, and with a bridge if there is a URL.
///
/// # Errors
/// As [`Node::start`].
pub async fn node(name: &str, hosts: &[&str], bridge: Option<&str>) -> Result<Node, NodeError> {
    // As the binary logs without any configuration.
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    let mut config = Config::default();
    config.settings.node.name = name.into();
    config.settings.node.arbiters = 1;
    config.settings.trace = records::config();
    // It has no directory of its own.
    config.settings.trace.store_bytes = 0;
    // Who asks in the same process does so from the thread of the echo.
    config.settings.node.control_thread = bridge.is_some();
    config.settings.bridge.url = bridge.unwrap_or_default().into();
    let node = Node::start(&Roster::new().host::<EchoActor>(), hosts, config, Env::system()).await?;
    node.up().await;
    Ok(node)
}
