//! The absence of the Redis bridge, in a binary that was built without it: its URLs are refused.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::{Settings, without_password};
use essaim_protocol::log::Log;
use essaim_protocol::wire::{BridgeReport, ClaimError};

use super::Connection;

/// No cluster.
#[derive(Clone)]
pub enum Cluster {}

/// Refuses the server of `bridge.url`.
pub async fn join(settings: &Settings, _: Vec<String>, _: Env, _: &Tasks) -> Result<Connection, ClaimError> {
    Err(refused(&settings.bridge.url))
}

/// Never called: there is no cluster.
pub async fn open_log(_: &Settings, cluster: Cluster, _: Env, _: &Tasks) -> Result<Arc<dyn Log>, ClaimError> {
    match cluster {}
}

/// Refuses the server.
pub async fn check(settings: &Settings, _: usize, _: impl Fn(&str)) -> Result<BridgeReport, ClaimError> {
    Err(refused(&settings.bridge.url))
}

fn refused(url: &str) -> ClaimError {
    let reason = "this binary was built without the Redis bridge; build it with the feature `redis`".into();
    ClaimError::Unsupported { url: without_password(url), reason }
}
