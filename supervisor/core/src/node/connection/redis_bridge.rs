//! The Redis bridge, in a binary that has it.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::task::Tasks;
pub use essaim_bridge_redis::check;
use essaim_bridge_redis::{RedisLog, RedisWire};
use essaim_config::Settings;
use essaim_protocol::log::Log;
use essaim_protocol::wire::ClaimError;

use super::Connection;

/// The cluster on the server, in which a node's wire and its log are.
pub type Cluster = Arc<essaim_bridge_redis::Cluster>;

/// Connects to the server and joins the cluster there.
pub async fn join(
    settings: &Settings,
    exclusive: Vec<String>,
    env: Env,
    tasks: &Tasks,
) -> Result<Connection, ClaimError> {
    let (wire, me, events) = RedisWire::join(settings, exclusive, env, tasks).await?;
    let cluster = Some(wire.cluster());
    Ok(Connection { wire: Arc::new(wire), me, events, cluster })
}

/// Opens the log on the server.
pub async fn open_log(
    settings: &Settings,
    cluster: Cluster,
    env: Env,
    tasks: &Tasks,
) -> Result<Arc<dyn Log>, ClaimError> {
    Ok(Arc::new(RedisLog::connect(settings, cluster, env, tasks).await?))
}
