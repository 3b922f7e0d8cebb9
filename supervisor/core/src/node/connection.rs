//! The bridge of a node, as its configuration names it: the wire to other nodes, and the log of durable messages.

#[cfg_attr(not(feature = "redis"), path = "connection/without_redis.rs")]
mod redis_bridge;

use std::sync::Arc;

use essaim_bridge_embedded::{EmbeddedLog, EmbeddedWire};
use essaim_config::{BridgeConfig, Settings, Unsigned};
use essaim_protocol::log::Log;
use essaim_protocol::wire::{BridgeReport, ClaimError, Identity, Wire, WireEvents};
use essaim_store::Database;

use crate::node::NodeError;
use crate::node::bus::LocalHandlers;
use crate::node::hosting::NodeContext;

/// A node's connection to the wire, before it has joined.
pub struct Connection {
    pub wire: Arc<dyn Wire>,
    pub me: Identity,
    pub events: WireEvents,
    /// The cluster on the bridge's server.
    cluster: Option<redis_bridge::Cluster>,
}

impl Connection {
    /// Connects to the bridge that the configuration names and claims the node's name there.
    pub async fn open(node: &NodeContext, local: &LocalHandlers) -> Result<Option<Self>, NodeError> {
        let settings = &node.settings;
        if !settings.bridge.url.is_empty() {
            let exclusive = local.hosts().iter().filter(|h| h.is_exclusive()).map(|h| h.name.to_string()).collect();
            let connection = redis_bridge::join(settings, exclusive, node.env.clone(), &node.tasks).await?;
            warn_of_trust(&settings.bridge);
            return Ok(Some(connection));
        }
        Ok(settings.parity.enabled.then(|| {
            let (wire, me, events) = EmbeddedWire::new(&settings.node.name, settings.parity.clone());
            Self { wire: Arc::new(wire), me, events, cluster: None }
        }))
    }
}

/// Tells once of a bridge that is trusted more than it need be.
fn warn_of_trust(bridge: &BridgeConfig) {
    if bridge.secret.is_empty() {
        tracing::warn!(
            "bridge.secret is not set: whoever may publish on the bridge's server can do what an administrator can; `openssl rand -hex \
             32` makes one (docs/security.md)"
        );
    } else if bridge.unsigned == Unsigned::Accept {
        tracing::warn!(
            "what nobody has signed is believed (bridge.unsigned = \"accept\"): take that out once all nodes have bridge.secret"
        );
    }
}

/// The log of durable messages.
pub struct OpenLog {
    pub log: Arc<dyn Log>,
    /// Its file, if it is the embedded one.
    pub file: Option<Database>,
}

/// Opens the log of durable messages: the bridge's, or the embedded one where anything is kept at all.
pub async fn open_log(
    node: &NodeContext,
    connection: Option<&Connection>,
    keeps: bool,
) -> Result<Option<OpenLog>, NodeError> {
    let (settings, env, tasks) = (&node.settings, node.env.clone(), node.durable_tasks());
    let (log, file): (Arc<dyn Log>, _) = match connection.and_then(|connection| connection.cluster.clone()) {
        Some(cluster) => (redis_bridge::open_log(settings, cluster, env, &tasks).await?, None),
        None if keeps => {
            let embedded = EmbeddedLog::open(settings, env, &tasks).await?;
            let file = embedded.database().clone();
            (Arc::new(embedded), Some(file))
        }
        None => return Ok(None),
    };
    if let Some(weak) = log.weaker_than_configured().await {
        tracing::warn!("durable messages survive less than they should: {weak}");
    }
    Ok(Some(OpenLog { log, file }))
}

/// Looks at the server of the bridge, which so many nodes are to use, and changes nothing there. `waiting` is called with one line when a
/// server that loads its data begins to be waited for.
///
/// # Errors
/// [`ClaimError::Unreachable`], [`ClaimError::Malformed`] and [`ClaimError::Unsupported`].
pub async fn check_bridge(
    settings: &Settings,
    nodes: usize,
    waiting: impl Fn(&str),
) -> Result<BridgeReport, ClaimError> {
    redis_bridge::check(settings, nodes, waiting).await
}

#[cfg(all(test, not(feature = "redis")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_binary_without_the_redis_bridge_refuses_its_urls_and_says_how_to_build_one() {
        let mut settings = Settings::default();
        settings.bridge.url = "redis://shop:s3cret@redis.example".into();
        let refused = check_bridge(&settings, 1, |_| {}).await.expect_err("there is no bridge");
        assert!(matches!(refused, ClaimError::Unsupported { .. }));
        let said = refused.to_string();
        assert!(said.contains("redis.example") && said.contains("feature `redis`"), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
