//! What the runtime asks a node itself, which answers on its own thread, however busy its actors are: of one node, or of all.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::Call;
use essaim_base::trace::TraceContext;
use essaim_base::{Env, codec};
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};
use essaim_core::node::bus::Bus;
use essaim_protocol::frame::RawAnswer;
use essaim_remote::{Peer, Remote, RemoteAsk};
use futures_util::future::{LocalBoxFuture, join, join_all};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::requests::Operator;

/// A question that every node answers of itself.
pub(crate) trait NodeAsk: Serialize + DeserializeOwned + 'static {
    /// The wire name of its ask.
    const NAME: &'static str;
    /// The longest wait for one node.
    const LIMIT: Duration = Duration::from_secs(5);
    type Answer: Serialize + DeserializeOwned;

    /// This node's answer.
    ///
    /// # Errors
    /// The reason in words: an operator reads it beside the node, and nothing decides by it.
    async fn answer(&self, bus: &Arc<Bus>) -> Result<Self::Answer, String>;

    /// Wants less, after an answer that is too long for a frame. Returns whether it can.
    fn want_less(&mut self) -> bool {
        false
    }
}

/// This node's answer, for another that asks.
///
/// # Errors
/// If it is no question of this kind.
pub(crate) fn answer<Q: NodeAsk>(
    bus: Arc<Bus>,
    body: &[u8],
) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let unreadable =
        |e: codec::DecodeError| NotDelivered::Undecodable { message: Q::NAME.into(), detail: e.to_string() };
    let question: Q = codec::decode(body).map_err(unreadable)?;
    Ok(Box::pin(async move {
        let failed = |detail| AskError::Failed(Failure { kind: FailureKind::Error, detail });
        encoded(question, &bus).await.map_err(failed)
    }))
}

/// As much of this node's answer as goes into one frame.
///
/// # Errors
/// As [`NodeAsk::answer`].
pub(crate) async fn encoded<Q: NodeAsk>(mut question: Q, bus: &Arc<Bus>) -> Result<Vec<u8>, String> {
    let most_bytes = bus.settings.wire.max_message_bytes / 2;
    loop {
        let answer = codec::encode(&question.answer(bus).await?).map_err(|e| e.to_string())?;
        if answer.len() as u64 <= most_bytes || !question.want_less() {
            return Ok(answer);
        }
    }
}

/// Asks another node.
///
/// # Errors
/// As [`NodeAsk::answer`], or why there is no answer.
pub(crate) async fn ask_peer<Q: NodeAsk>(
    env: &Env,
    remote: &Remote,
    peer: &Arc<Peer>,
    question: &Q,
) -> Result<Q::Answer, String> {
    if peer.is_silent() {
        return Err("it is not heard".into());
    }
    let body = codec::encode(question).map_err(|e| e.to_string())?;
    let ask = remote_ask("essaim".into(), Q::NAME.into(), body, call(env, Q::LIMIT));
    read(remote.ask_node(peer, &ask).await)
}

/// Asks a node by its name, this one or another.
///
/// # Errors
/// As [`ask_peer`].
pub(crate) async fn ask_node<Q: NodeAsk>(bus: &Arc<Bus>, node: &str, question: &Q) -> Result<Q::Answer, String> {
    if node == bus.settings.node.name {
        return question.answer(bus).await;
    }
    let unheard = || "it is not heard".to_string();
    let remote = bus.remote().ok_or_else(unheard)?;
    let members = remote.members().all();
    let peer = members.iter().find(|peer| *peer.name == *node).ok_or_else(unheard)?;
    ask_peer(&bus.env, remote, peer, question).await
}

impl Operator {
    /// Asks this node and all others; each answer, or why there is none, by the node's name.
    pub(crate) async fn ask_nodes<Q: NodeAsk>(
        &self,
        question: impl Fn(&str) -> Q,
    ) -> Vec<(String, Result<Q::Answer, String>)> {
        let own = async { (self.node.clone(), question(&self.node).answer(&self.bus).await) };
        let Some(remote) = &self.remote else { return vec![own.await] };
        let members = remote.members().all();
        let others = join_all(members.iter().map(async |peer| {
            let question = question(&peer.name);
            (peer.name.to_string(), ask_peer(&self.env, remote, peer, &question).await)
        }));
        let (own, others) = join(own, others).await;
        std::iter::once(own).chain(others).collect()
    }
}

/// The call of an ask that may take so long.
pub(crate) fn call(env: &Env, limit: Duration) -> Call {
    Call::of_the_runtime(env.now() + limit, TraceContext::root(env))
}

/// An ask of the runtime's own; where it is attempted twice, the second attempt finds nothing more to do.
pub(crate) fn remote_ask(capability: Cow<'static, str>, name: Arc<str>, body: Vec<u8>, call: Call) -> RemoteAsk {
    RemoteAsk { capability, name, body, key: None, personal_key: false, idempotent: true, call, refused: None }
}

/// The answer of one.
///
/// # Errors
/// The reason in words.
pub(crate) fn read<A: DeserializeOwned>(answer: RawAnswer) -> Result<A, String> {
    let answer = answer.map_err(|error| error.map_rejected(|_| String::new()).to_string())?;
    codec::decode(&answer).map_err(|e| format!("its answer cannot be read: {e}"))
}
