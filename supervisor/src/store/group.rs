//! Group commit: transactions of several handlers that share one COMMIT on the one writer of a SQLite database.
//!
//! While others wait for the writer, a transaction that commits leaves its writes in the outer transaction and hands the
//! connection to the next, which works behind a SAVEPOINT of its own. Its commit is answered when the outer COMMIT is.
//! One that fails, or whose handler is dropped, goes back to its savepoint, and the others do not notice; unless it failed
//! so that SQLite undid the outer transaction, which then has failed for all of them.
//!
//! The outer COMMIT is a task that stands in the same queue: as soon as its first transaction has ended it queues behind
//! those who wait at that moment. So all of them get in, whoever comes later is in the next group, and nobody waits
//! because of a neighbour's handler that went away. A transaction that nobody waits behind commits by itself, as it would
//! alone. (The idea is DeWitt's and others', "Implementation techniques for main memory database systems", 1984.)

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::DbErr;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::durable::enclosed::Enclosed;
use super::lanes::Lanes;
use super::lease::Lease;
use super::outcome;
use super::trouble::{Trouble, connection_error};

/// How far a group may grow while others wait; it is committed by the first that reaches a bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    /// Transactions in one group.
    pub members: u32,
    /// From the end of its first transaction to the end of the last that may hand on.
    pub age: Duration,
}

/// Why a commit did not succeed, as far as is known.
#[derive(Debug, Clone)]
pub(crate) enum NotCommitted {
    /// Surely nothing was committed.
    Surely(DbErr),
    /// Nothing was: the partition of a message, whose handler's transaction it was or a neighbour's, has another owner.
    Fenced,
    /// Nothing was: another copy of the message, whose handler's transaction it was, has its effect.
    Repeated,
    /// The commit was sent and not answered.
    Perhaps(DbErr),
}

type Outcome = Result<(), NotCommitted>;

/// Where the members of a group hear how it ended.
#[derive(Clone)]
struct Ending(Arc<watch::Sender<Option<Outcome>>>);

/// An outer transaction with members; it stays with its connection. However it goes, its members hear of it.
pub(crate) struct Open {
    ending: Ending,
    members: u32,
    since: Instant,
    /// What the runtime writes with them.
    pub enclosed: Enclosed,
    pub stage: Stage,
}

/// How far an outer transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Others may join.
    Open,
    /// What it encloses is being written, and nothing else may be.
    Closing,
    /// The outer COMMIT was sent.
    Committing,
}

impl Open {
    fn begin(now: Instant) -> Self {
        let ending = Ending(Arc::new(watch::Sender::new(None)));
        Self { ending, members: 0, since: now, enclosed: Enclosed::default(), stage: Stage::Open }
    }

    fn end(self, outcome: Outcome) {
        self.ending.0.send_replace(Some(outcome));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let lost = || connection_error("the connection was lost with all transactions that shared the commit".into());
        let outcome = match self.stage {
            Stage::Open | Stage::Closing => NotCommitted::Surely(lost()),
            Stage::Committing => NotCommitted::Perhaps(lost()),
        };
        self.ending.0.send_if_modified(|ended| {
            let lost = ended.is_none();
            if lost {
                *ended = Some(Err(outcome));
            }
            lost
        });
    }
}

impl Ending {
    async fn heard(&self, limit: Instant) -> Outcome {
        let mut outcome = self.0.subscribe();
        let ended = timeout_at(limit, outcome.wait_for(Option::is_some)).await;
        match ended.map(|outcome| outcome.map(|o| o.clone())) {
            Ok(Ok(Some(outcome))) => outcome,
            _ => Err(NotCommitted::Perhaps(Trouble::TimedOut.into_exec_error())),
        }
    }
}

impl Lease {
    /// Makes the transaction durable with what the runtime writes with it, alone or together with others.
    pub async fn commit(mut self, mut enclosed: Enclosed, limit: Instant) -> Outcome {
        if !self.is_ready() {
            // A statement that nobody waited for to its end; the lease undoes it as it falls.
            return Err(NotCommitted::Surely(Trouble::Gone.into_exec_error()));
        }
        let lanes = self.lanes().clone();
        let now = lanes.env.now();
        let limits = lanes.grouping();
        let first = self.open.is_none();
        if first && !(limits.is_some() && lanes.is_awaited()) {
            return self.commit_alone(&enclosed, limit).await;
        }
        if let Err(refused) = self.write_contested(&mut enclosed, limit).await {
            // A copy that a neighbour has applied counts once that is certain.
            return Err(self.undo(limit).await.map_or_else(NotCommitted::Surely, |()| refused));
        }
        let open = self.open.get_or_insert_with(|| Open::begin(now));
        open.members += 1;
        open.enclosed.add(enclosed);
        let ending = open.ending.clone();
        let age = now.saturating_duration_since(open.since);
        let full = limits.is_none_or(|limits| open.members >= limits.members || age >= limits.age);
        if full {
            // In a task of its own: this handler may be dropped, and the others' commit not with it. Were it to panic, its
            // members would hear that the connection is lost.
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(self.commit_all());
        } else {
            if first {
                #[allow(clippy::disallowed_methods)] // As above.
                tokio::spawn(lanes.clone().close_in_turn(ending.clone()));
            }
            drop(self);
        }
        ending.heard(now + lanes.longest_doubt()).await
    }

    /// Undoes the transaction. What it has read may be its neighbours', so its handler goes on only when that is committed.
    pub async fn undo(mut self, limit: Instant) -> Result<(), DbErr> {
        let certainty = self.certainty();
        self.roll_back(limit).await.map_err(Trouble::into_exec_error)?;
        drop(self);
        match certainty {
            Some(certainty) => certainty.await,
            None => Ok(()),
        }
    }

    /// When what the transaction may have read of its neighbours is certain, if there are any.
    pub fn certainty(&self) -> Option<BoxFuture<'static, Result<(), DbErr>>> {
        let ending = self.open.as_ref()?.ending.clone();
        let lanes = self.lanes().clone();
        let certain = async move {
            let heard = ending.heard(lanes.env.now() + lanes.longest_doubt()).await;
            heard.map_err(NotCommitted::into_error)
        };
        Some(certain.boxed())
    }

    async fn commit_alone(&mut self, enclosed: &Enclosed, limit: Instant) -> Outcome {
        if let Err(refused) = self.write(enclosed, limit).await {
            let _ = self.roll_back(limit).await;
            return Err(refused);
        }
        match self.work(limit, |mut c| async move { c.commit().await }).await {
            Ok(()) => Ok(()),
            Err(trouble) => {
                self.discard();
                Err(not_committed(trouble))
            }
        }
    }

    async fn close(&mut self, enclosed: &Enclosed, limit: Instant) -> Outcome {
        self.write(enclosed, limit).await.map_err(|refused| match refused {
            // It is not known whose: each of them is tried again.
            NotCommitted::Repeated => NotCommitted::Surely(refused.into_error()),
            refused => refused,
        })?;
        if let Some(open) = &mut self.open {
            open.stage = Stage::Committing;
        }
        let done = self.work(limit, |mut c| async move { c.commit().await }).await;
        done.map_err(|trouble| {
            self.lanes().note_refusal(&trouble);
            not_committed(trouble)
        })
    }

    /// The outer COMMIT.
    async fn commit_all(mut self) {
        let Some(open) = &mut self.open else { return };
        open.stage = Stage::Closing;
        let enclosed = std::mem::take(&mut open.enclosed);
        let limit = self.lanes().env.now() + self.lanes().limits.transaction;
        let outcome = self.close(&enclosed, limit).await;
        let open = self.open.take();
        if outcome.is_err() {
            self.discard();
        }
        // First the connection, so that whoever hears of the end and begins anew finds it free.
        drop(self);
        if let Some(open) = open {
            open.end(outcome);
        }
    }
}

impl NotCommitted {
    /// What a statement would say.
    pub fn into_error(self) -> DbErr {
        match self {
            Self::Surely(error) | Self::Perhaps(error) => error,
            Self::Fenced => connection_error("a partition of those that shared the commit has another owner".into()),
            Self::Repeated => connection_error("a message of those that shared the commit was applied before".into()),
        }
    }
}

impl Lanes {
    /// Waits for its turn behind all who wait now, and commits the group then if it is still open.
    async fn close_in_turn(self: Arc<Self>, ending: Ending) {
        let Some(lease) = self.turn().await else { return };
        if lease.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.ending.0, &ending.0)) {
            lease.commit_all().await;
        }
    }
}

fn not_committed(trouble: Trouble) -> NotCommitted {
    match &trouble {
        Trouble::Database(e) if outcome::nothing_committed(e) => NotCommitted::Surely(trouble.into_exec_error()),
        _ => NotCommitted::Perhaps(trouble.into_exec_error()),
    }
}
