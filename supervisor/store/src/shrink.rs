//! Connections to a server that nobody uses are given back: after a rush, others can have them.

use std::sync::Weak;

use tokio::time::{sleep, timeout};

use super::clock_hold::ClockHold;
use super::pool::Pool;

/// How often a pool is looked at in the time for which a connection may be idle.
const LOOKS: u32 = 4;

/// Closes the connections of a pool that have been idle for `store.idle_connection_ms`; ends with the pool.
pub(super) async fn shrink(pool: Weak<Pool>) {
    loop {
        let Some(idle) = pool.upgrade().map(|pool| pool.limits.idle) else { return };
        sleep(idle / LOOKS).await;
        let Some(pool) = pool.upgrade() else { return };
        for connection in pool.take_unused() {
            let _hold = ClockHold::of(&pool.env);
            // A server that is away cannot be told.
            let _ = timeout(pool.limits.acquire, connection.close()).await;
        }
    }
}
