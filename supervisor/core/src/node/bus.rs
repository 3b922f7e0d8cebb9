//! Routing of asks and broadcasts: a direct call to a handler in this node, the wire to other nodes.

mod inbound;
mod local;
mod peers;
mod refused;
mod sent_messages;
mod untyped;

pub use self::local::{HandlerRef, LocalHandlers};

use std::any::TypeId;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use essaim_audit::AuditStore;
use essaim_base::Env;
use essaim_base::call::{Call, Chain, WireOrigin};
use essaim_base::codec;
use essaim_base::task::Tasks;
use essaim_config::{Config, Settings};
use essaim_contract::{Ask, AskError, Broadcast, Capability, Message, NotDelivered, SendError, Unknown, wire_name};
use essaim_durable::Durable;
use essaim_durable::trust::keys_of;
use essaim_durable::{MessageContext, OutgoingMessage};
use essaim_gather::GatheredStore;
use essaim_near::Near;
use essaim_protocol::keys::ClusterKeys;
use essaim_remote::{Remote, RemoteAsk, RemoteBroadcast};
use essaim_store::Database;
use essaim_trace::{Recorder, Shown};
use serde_json::Value;
use tokio::time::Instant;

use self::sent_messages::SentMessages;
use crate::local::host::Host;
use crate::local::watchdog::Watchdog;

pub type AskResultOf<M> = Result<<M as Ask>::Reply, AskError<<M as Ask>::Error>>;

/// Routes messages to the capabilities hosted in this node and, over the wire, to other nodes.
pub struct Bus {
    pub env: Env,
    pub settings: Arc<Settings>,
    /// All that is configured, with the source of each value.
    pub config: Arc<Config>,
    pub near: Near,
    pub watchdog: Arc<Watchdog>,
    pub tasks: Tasks,
    pub recorder: Arc<Recorder>,
    /// What signs messages that are to be stored.
    pub keys: Arc<ClusterKeys>,
    /// Who has changed what here.
    pub audit: Arc<AuditStore>,
    /// The gathered records of all nodes, if they are stored here.
    pub gathered: Option<Arc<GatheredStore>>,
    /// The file of the log, if it is in one of this node.
    pub log_file: Option<Database>,
    pub started: Instant,
    sent: SentMessages,
    draining: AtomicBool,
    local: Arc<LocalHandlers>,
    remote: Option<Arc<Remote>>,
    durable: Option<Arc<Durable>>,
}

/// What a bus is made of.
pub struct BusParts {
    pub env: Env,
    pub settings: Arc<Settings>,
    /// All that is configured, with the source of each value.
    pub config: Arc<Config>,
    pub near: Near,
    pub watchdog: Arc<Watchdog>,
    pub tasks: Tasks,
    pub recorder: Arc<Recorder>,
    pub local: Arc<LocalHandlers>,
    /// The other nodes; `None` without a wire.
    pub remote: Option<Arc<Remote>>,
    /// The durable half; `None` where nothing is stored.
    pub durable: Option<Arc<Durable>>,
    /// The file of the log, if it is in one of this node.
    pub log_file: Option<Database>,
}

/// The caller of an ask.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// A handler of this capability, which declares these asks.
    Handler { asks: &'a [&'a str] },
    /// A caller outside actors.
    Edge,
}

impl Bus {
    pub fn new(parts: BusParts) -> Self {
        let BusParts { env, settings, config, near, watchdog, tasks, recorder, local, remote, durable, log_file } =
            parts;
        let (started, sent, draining) = (env.now(), SentMessages::default(), AtomicBool::new(false));
        let gathered = GatheredStore::of(&settings, &env, tasks.outages());
        let keys = Arc::new(keys_of(&settings.bridge));
        let audit = AuditStore::of(&settings, &env, tasks.outages());
        Self {
            env,
            settings,
            config,
            near,
            watchdog,
            tasks,
            recorder,
            keys,
            audit,
            gathered,
            log_file,
            started,
            sent,
            draining,
            local,
            remote,
            durable,
        }
    }

    /// The node has begun to leave.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub fn durable(&self) -> Option<&Arc<Durable>> {
        self.durable.as_ref()
    }

    /// Stores a durable message, and writes the record of that.
    pub async fn send_in(&self, context: &MessageContext, message: OutgoingMessage) -> Result<(), SendError> {
        let recorded = context.records.is_some().then(|| message.clone());
        self.send(message).await?;
        recorded.iter().for_each(|message| context.record_sent(message));
        Ok(())
    }

    /// Stores a durable message.
    pub async fn send(&self, message: OutgoingMessage) -> Result<(), SendError> {
        let no_log =
            || SendError::NotStored { reason: "this node has no log: none of its capabilities needs one".into() };
        self.durable.as_ref().ok_or_else(no_log)?.sender.send(message).await
    }

    /// How the node is, and how it hears the others, as operators see it.
    pub async fn status(self: &Arc<Self>) -> Value {
        self.local.system_asks().status(self.clone()).await
    }

    pub fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref()
    }

    pub fn local(&self) -> &Arc<LocalHandlers> {
        &self.local
    }

    pub fn hosts(&self) -> &[Arc<Host>] {
        self.local.hosts()
    }

    pub fn host(&self, capability: &str) -> Option<&Arc<Host>> {
        self.local.host(capability)
    }

    /// Whether a capability's data can change here alone: its one host has opened the database, which locks the file, and
    /// does not prepare to let it go.
    pub fn is_sole_host_of(&self, capability: &str) -> bool {
        let holds = |host: &Arc<Host>| host.is_exclusive() && host.database().is_some();
        self.host(capability).is_some_and(holds) && !self.is_draining()
    }

    /// Whether a live node, this one or another, takes asks for a capability now. With `parity.enabled` asks of this node come to
    /// it over the wire: it takes them once its own heartbeat has come back.
    pub fn reaches(&self, capability: &str) -> bool {
        let reaches_here = !self.settings.parity.enabled && self.local.reaches(capability);
        reaches_here || self.remote.as_ref().is_some_and(|r| r.members().reach(capability))
    }

    /// Asks: here if the capability is hosted here, elsewhere if it is not or surely did not take the message.
    pub async fn ask<M: Ask>(&self, message: M, origin: Origin<'_>, call: Call) -> AskResultOf<M> {
        let to = <M::To as Capability>::NAME;
        if let Origin::Handler { asks } = origin
            && (!asks.contains(&to) || call.chain.holds(to))
        {
            let why = call.chain.cycle_to(to);
            self.record_refused::<M>(self.shown(&message), &call.trace, &why);
            return Err(AskError::NotDelivered(why));
        }
        let mut refused = None;
        if let Some(handler) = self.local_handler::<M>(to, || message.key().map(Cow::into_owned)) {
            // Cooperative yield: asks that are answered at once must not starve other tasks of this thread. It comes before
            // admission, so that a waiting ask holds no permit.
            tokio::task::coop::consume_budget().await;
            match handler.host.admit(message.key().as_deref()) {
                Ok(permit) => {
                    let (permit, trace) = (permit.showing(&message, &call.trace), call.trace);
                    let answer = permit.ask(handler.entry, message, call).await;
                    if let Err(AskError::NotDelivered(why)) = &answer {
                        self.record_refused::<M>(Shown::default(), &trace, why);
                    }
                    return answer;
                }
                Err(reason) => refused = Some(reason),
            }
        }
        match &self.remote {
            Some(remote) => {
                let answer = Box::pin(ask_remote(remote, self.sent.name::<M>(), message, call, refused)).await;
                if let Err(AskError::NotDelivered(_)) = &answer {
                    self.sent.count_not_delivered::<M>();
                }
                answer
            }
            None => {
                let no_host = || NotDelivered::NoHost { capability: to.to_string() };
                let why = refused.unwrap_or_else(no_host);
                self.record_refused::<M>(self.shown(&message), &call.trace, &why);
                Err(AskError::NotDelivered(why))
            }
        }
    }

    /// Asks of this node's that were surely not run, by capability and message: of those that it has sent elsewhere, or in vain.
    pub fn not_delivered(&self) -> Vec<(&'static str, Arc<str>, u64)> {
        self.sent.not_delivered()
    }

    fn shown<M: Message>(&self, message: &M) -> Shown {
        Shown::of(message, self.settings.trace.payload_bytes)
    }

    /// The handler of a message in this node, if the ask should be answered locally.
    fn local_handler<M: Ask>(&self, to: &str, key: impl FnOnce() -> Option<String>) -> Option<&HandlerRef> {
        let handler = self.local.by_type(TypeId::of::<M>())?;
        match &self.remote {
            Some(remote) if !remote.prefers_local(to, wire_name::<M>, key, || handler.host.admitted()) => None,
            _ => Some(handler),
        }
    }

    /// Broadcasts to this node and all others.
    pub fn broadcast<S: Broadcast>(&self, message: S, call: Call) {
        let origin = self.remote.as_ref().and_then(|remote| self.broadcast_to_others(remote, &message, &call));
        if let Some(handler) = self.local.by_type(TypeId::of::<S>()) {
            // Nobody waits for those who hear it.
            let call = Call { chain: Chain::default(), origin, ..call };
            match handler.host.admit(None) {
                Ok(permit) => permit.showing(&message, &call.trace).deliver(handler.entry, message, call),
                Err(reason) => tracing::debug!(name = wire_name::<S>(), %reason, "a broadcast was missed"),
            }
        }
    }

    fn broadcast_to_others<S: Broadcast>(&self, remote: &Remote, message: &S, call: &Call) -> Option<Arc<WireOrigin>> {
        let name = self.sent.name::<S>();
        match codec::encode(message) {
            Ok(body) => {
                let shown = if call.trace.kept { self.shown(message) } else { Shown::default() };
                let capability = <S::To as Capability>::NAME;
                remote.broadcast(RemoteBroadcast { capability, name, body, shown, call })
            }
            Err(error) => {
                tracing::error!(%name, %error, "a broadcast cannot be encoded");
                None
            }
        }
    }
}

async fn ask_remote<M: Ask>(
    remote: &Arc<Remote>,
    name: Arc<str>,
    message: M,
    call: Call,
    refused: Option<NotDelivered>,
) -> AskResultOf<M> {
    let key = message.key().map(|k| k.into_owned());
    let body = codec::encode(&message).map_err(|e| {
        AskError::NotDelivered(NotDelivered::Undecodable { message: wire_name::<M>(), detail: e.to_string() })
    })?;
    let ask = RemoteAsk {
        capability: <M::To as Capability>::NAME.into(),
        name,
        body,
        key,
        personal_key: M::PERSONAL_KEY,
        idempotent: M::IDEMPOTENT,
        call,
        refused,
    };
    let undecodable = |e: codec::DecodeError| AskError::Unknown(Unknown::UndecodableAnswer { detail: e.to_string() });
    match remote.ask(ask).await {
        Ok(reply) => codec::decode(&reply).map_err(undecodable),
        Err(AskError::Rejected(bytes)) => Err(match codec::decode(&bytes) {
            Ok(rejection) => AskError::Rejected(rejection),
            Err(e) => undecodable(e),
        }),
        Err(other) => Err(other.map_rejected(|_| unreachable!("rejections are matched above"))),
    }
}

#[cfg(test)]
mod tests;
