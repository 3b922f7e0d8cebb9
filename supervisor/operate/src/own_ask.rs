//! Asks of the runtime's own to one node, which answers them on its own thread, however busy its actors are; and what they have in
//! common with those to a capability's host.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::Call;
use essaim_base::trace::TraceContext;
use essaim_base::{Env, codec};
use essaim_protocol::frame::RawAnswer;
use essaim_remote::{Peer, Remote, RemoteAsk};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Asks a node, which may take so long.
///
/// # Errors
/// The reason in words: an operator reads it beside the node, and nothing decides by it.
pub(crate) async fn ask_own<Q: Serialize, A: DeserializeOwned>(
    env: &Env,
    (remote, peer): (&Remote, &Arc<Peer>),
    (name, question): (&'static str, &Q),
    limit: Duration,
) -> Result<A, String> {
    if peer.is_silent() {
        return Err("it is not heard".into());
    }
    let body = codec::encode(question).map_err(|e| e.to_string())?;
    let ask = remote_ask("essaim".into(), name.into(), body, call(env, limit));
    read(remote.ask_node(peer, &ask).await)
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
