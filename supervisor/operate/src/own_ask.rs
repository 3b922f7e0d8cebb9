//! Asks of the runtime's own to one node, which answers them on its own thread, however busy its actors are.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::Call;
use essaim_base::trace::TraceContext;
use essaim_base::{Env, codec};
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
    let ask = RemoteAsk {
        capability: "essaim".into(),
        name: name.into(),
        body: codec::encode(question).map_err(|e| e.to_string())?,
        key: None,
        personal_key: false,
        idempotent: true,
        call: Call::of_the_runtime(env.now() + limit, TraceContext::root(env)),
        refused: None,
    };
    let answer = remote.ask_node(peer, &ask).await;
    let answer = answer.map_err(|error| error.map_rejected(|_| String::new()).to_string())?;
    codec::decode(&answer).map_err(|e| format!("its answer cannot be read: {e}"))
}
