//! Which server process the wire is connected to, and what it proves that it counts no receiver of a frame.
//!
//! Where all nodes are subscribed to one server it proves that nobody has the frame. In a failover they are not: a node may
//! still listen at the server before, and if that one is a replica by now, the frame reaches it there although the new one
//! counts nobody. That lasts for a lease at most: the node renews its claims there in vain, and then takes no more asks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use essaim_base::Env;

/// The server of one node's wire.
pub(super) struct Server {
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Empty before the first, and where the user of the URL may not know.
    run: Arc<str>,
    /// When it took the place of another one.
    since: Option<Instant>,
}

impl Server {
    /// No server yet; others are there for so long after they have left one.
    pub fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::default() }
    }

    /// There is a connection to this process; whether the one before was to another.
    pub fn is_other(&self, run: &Arc<str>, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = !state.run.is_empty() && state.run != *run;
        if is_other {
            state.since = Some(now);
        }
        state.run.clone_from(run);
        is_other
    }

    /// Whether a frame that this connection's server has just counted no receiver of has none.
    pub async fn none_means_none(&self, connection: &mut MultiplexedConnection, env: &Env) -> bool {
        let since = self.state.lock().unwrap_or_else(PoisonError::into_inner).since;
        let is_new = since.is_some_and(|since| env.now().saturating_duration_since(since) <= self.lease);
        // A server without a backlog passes nothing on, nor has it kept anything for those who follow it later.
        !is_new || has_no_backlog(connection).await
    }
}

async fn has_no_backlog(connection: &mut MultiplexedConnection) -> bool {
    let info: Result<String, _> = redis::cmd("INFO").arg("replication").query_async(connection).await;
    info.is_ok_and(|info| info.lines().any(|line| line.trim() == "repl_backlog_active:0"))
}
