//! How transactions begin.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Pool, TRIES};
use crate::connection_lease::ConnectionLease;
use crate::error::StoreError;
use crate::{outage, sqlite};

/// How long a file is left alone that another program has locked.
const BETWEEN_LOOKS_AT_A_LOCK: Duration = Duration::from_millis(2);

impl Pool {
    /// Lends a connection on which a transaction has begun.
    pub async fn begin(self: &Arc<Self>, patience: Instant) -> Result<ConnectionLease, StoreError> {
        if let Some(why) = self.file.as_ref().and_then(|file| file.refusal()) {
            return Err(StoreError::Unavailable(why));
        }
        for _ in 0..TRIES {
            let mut lease = self.lease(patience).await?;
            if lease.group.is_some() {
                lease.join();
                self.begun.fetch_add(1, Ordering::Relaxed);
                return Ok(lease);
            }
            match self.begin_on(&mut lease, patience).await {
                Ok(()) => {
                    self.unresolved.resolve();
                    self.begun.fetch_add(1, Ordering::Relaxed);
                    return Ok(lease);
                }
                Err(error) if lease.is_stale(&error) => {}
                Err(StoreError::TimedOut) => return Err(self.fails(self.connector.silent())),
                Err(error) => {
                    lease.discard();
                    return Err(error);
                }
            }
        }
        Err(StoreError::Unavailable("the database keeps closing its connections".into()))
    }

    /// Begins a transaction; waits until `patience` ends for another program that has locked a file.
    async fn begin_on(&self, lease: &mut ConnectionLease, patience: Instant) -> Result<(), StoreError> {
        let is_long = self.env.now() + self.limits.acquire / sqlite::LOOKS_AT_A_LOCK;
        loop {
            let error = match lease.work(patience, |mut c| async move { c.begin().await }).await {
                Err(StoreError::Driver(error)) if outage::is_locked(&error) => error,
                begun => return begun,
            };
            let now = self.env.now();
            if now >= is_long.min(patience) {
                self.health.fails(self.connector.explain(&error));
            }
            if now >= patience {
                return Err(StoreError::Driver(error));
            }
            sleep(BETWEEN_LOOKS_AT_A_LOCK).await;
        }
    }
}
