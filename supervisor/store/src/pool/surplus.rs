//! The connections of a pool within the node's budget: what it takes of it, and what it gives back because nobody uses it.

use std::sync::Arc;

use sea_orm::sqlx::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{IdleConnection, Pool};
use crate::connection_budget::Freed;
use crate::connection_lease::ConnectionLease;
use crate::error::StoreError;

impl IdleConnection {
    /// Closes it in order, so that the server need not find out.
    ///
    /// # Errors
    /// If the server is away.
    pub async fn close(self) -> Result<(), Error> {
        // Its place is free after that.
        let _place = self.place;
        self.connection.close().await
    }
}

impl Pool {
    /// Lends a new connection; or one that becomes idle while the node's budget is used up.
    pub(super) async fn lease_new(
        self: &Arc<Self>,
        mut permit: OwnedSemaphorePermit,
        patience: Instant,
    ) -> Result<ConnectionLease, StoreError> {
        let place = match &self.share {
            None => None,
            Some(share) => match share.try_place() {
                Some(place) => Some(place),
                None => {
                    let _waiting = share.wait();
                    loop {
                        permit = match self.take_idle(permit) {
                            Ok(lease) => return Ok(lease),
                            Err(permit) => permit,
                        };
                        if let Some(place) = share.try_place() {
                            break Some(place);
                        }
                        match share.freed(patience).await {
                            Some(Freed::Place(place)) => break Some(place),
                            Some(Freed::Connection) => {}
                            None => return Err(StoreError::Unavailable(share.used_up())),
                        }
                    }
                }
            },
        };
        Ok(ConnectionLease::of_new(self, self.connect(patience).await?, place, permit))
    }

    /// Ends the life of a connection. One that works is not given up before there is another; of those whose life is over at
    /// the same time one after the other is.
    pub(super) async fn renew(&self, lease: &mut ConnectionLease, patience: Instant) {
        let spare = self.share.as_ref().map(|share| share.try_spare());
        if let Some(None) = spare {
            return;
        }
        let younger = self.connect(patience).await.inspect_err(|error| {
            let error = error.clone().into_exec_error();
            tracing::warn!(%error, "a connection to a database stays in use beyond its life: no new one can be made");
        });
        lease.renew(younger.ok());
    }

    /// Closes an idle connection so that another pool can have one, if this one has more than its own and nobody here waits.
    pub fn give_up_idle(&self) -> bool {
        let Some(share) = self.share.as_ref().filter(|share| share.has_extra() && share.waiting() == 0) else {
            return false;
        };
        let mut idle = self.idle.lock();
        let given_up = share.has_extra().then(|| (!idle.is_empty()).then(|| idle.remove(0))).flatten();
        drop(idle);
        given_up.is_some()
    }

    /// Takes the connections out that were idle for too long; one stays, so that a lone request need not wait for another.
    pub fn take_unused(&self) -> Vec<IdleConnection> {
        let now = self.env.now();
        let mut idle = self.idle.lock();
        let most = idle.len().saturating_sub(usize::from(self.in_use() == 0));
        // Lent is the one that came back last, so those first in the list are idle for longest.
        let is_unused = |c: &&IdleConnection| c.since.is_some_and(|since| now >= since + self.limits.idle);
        let unused = idle.iter().take_while(is_unused).count().min(most);
        idle.drain(..unused).collect()
    }
}
