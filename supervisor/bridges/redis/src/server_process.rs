//! The server process to which the wire is connected, and what a receiver count of 0 proves.
//!
//! While all nodes are subscribed to one server, 0 proves that no node has the frame. In a failover they are not: a node may
//! still be subscribed to the former server, and if that one is a replica by now, the frame reaches the node there although the
//! new server counts no receiver. That lasts for a lease at most: then the node, which renews its claims in vain, takes no more
//! asks.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::lock::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use essaim_base::Env;

/// The server of one node's wire.
pub(super) struct ServerProcess {
    lease: Duration,
    state: Mutex<ServerState>,
}

#[derive(Default)]
struct ServerState {
    /// Its `run_id`; empty before the first connection, and if the user of the URL may not read it.
    run: Arc<str>,
    /// The time at which it took the place of another process.
    since: Option<Instant>,
}

impl ServerProcess {
    /// No server yet. `lease` bounds the time for which nodes may stay at a former server.
    pub fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::default() }
    }

    /// Records a connection to this process, and returns whether the one before was to another process.
    pub fn is_other(&self, run: &Arc<str>, now: Instant) -> bool {
        let mut state = self.state.lock();
        let is_other = !state.run.is_empty() && state.run != *run;
        if is_other {
            state.since = Some(now);
        }
        state.run.clone_from(run);
        is_other
    }

    /// Whether a frame for which this connection's server has just counted no receiver certainly has none.
    pub async fn has_no_receiver(&self, connection: &mut MultiplexedConnection, env: &Env) -> bool {
        let since = self.state.lock().since;
        let is_new = since.is_some_and(|since| env.now().saturating_duration_since(since) <= self.lease);
        // A server without a replication backlog has no replica, and has kept nothing for later ones.
        !is_new || has_no_backlog(connection).await
    }
}

async fn has_no_backlog(connection: &mut MultiplexedConnection) -> bool {
    let info: Result<String, _> = redis::cmd("INFO").arg("replication").query_async(connection).await;
    info.is_ok_and(|info| info.lines().any(|line| line.trim() == "repl_backlog_active:0"))
}
