//! The one task that writes.

use std::collections::HashMap;
use std::sync::Arc;

use essaim_base::Env;
use essaim_protocol::log::{AppendError, Partition, Retired};
use essaim_store::{Database, Transaction, TxError};
use sea_orm::DbErr;
use tokio::sync::{Mutex, mpsc};

use super::dead;
use super::job::Job;
use super::owners::Owners;
use super::published::Published;
use super::rows;
use super::state::{Changes, State};

/// Jobs that are stored together, at most: what is beyond would make the first wait long.
const GROUP_JOBS: usize = 4_096;

/// Bytes that are stored together, about: what waits beyond them is the next group.
const GROUP_BYTES: usize = 8 << 20;

/// Stores jobs, as many at once as there are.
pub(super) struct Writer {
    database: Database,
    published: Arc<Published>,
    env: Env,
    /// Absent until it is loaded, and after a group has failed.
    state: Option<State>,
    owners: HashMap<Arc<str>, Owners>,
    failing: bool,
}

impl Writer {
    pub fn new(database: Database, published: Arc<Published>, env: Env) -> Self {
        Self { database, published, env, state: None, owners: HashMap::new(), failing: false }
    }

    /// Reads what is stored, and publishes it.
    pub async fn load(&mut self) -> Result<(), AppendError> {
        self.store(&mut []).await
    }

    /// Works until nobody can ask it any more.
    pub async fn run(mut self, waiting: Arc<Mutex<mpsc::Receiver<Job>>>) {
        let mut waiting = waiting.lock().await;
        while let Some(first) = waiting.recv().await {
            let mut jobs = gather(first, &mut waiting);
            let outcome = self.store(&mut jobs).await;
            self.note(&outcome);
            jobs.into_iter().for_each(|job| job.finish(&outcome));
        }
    }

    /// Stores a group in one transaction, and publishes it.
    async fn store(&mut self, jobs: &mut [Job]) -> Result<(), AppendError> {
        let tx = self.database.begin().await.map_err(failed)?;
        // Whatever fails from here on leaves it away, so the next group begins with what is stored.
        let (mut state, anew) = match self.state.take() {
            Some(state) => (state, false),
            None => (State::load(&tx).await.map_err(undone)?, true),
        };
        let mut changes = Changes::default();
        // Before whatever registers the capability again.
        self.retire(&tx, &mut state, jobs, &mut changes).await.map_err(undone)?;
        self.change_registry(&mut state, jobs, &mut changes);
        self.heartbeat(&mut state, jobs, &mut changes);
        acknowledge(&tx, &mut state, jobs, &mut changes).await.map_err(undone)?;
        append(&mut state, jobs, &mut changes);
        forget(&tx, jobs).await.map_err(undone)?;
        changes.store(&state, &tx).await.map_err(undone)?;
        tx.commit().await.map_err(failed)?;
        match anew {
            true => self.published.replace(&state),
            false => self.published.update(&state, &changes),
        }
        for capability in changes.retired {
            self.published.own(capability, Vec::new());
        }
        for capability in changes.tended {
            let owners = self.owners.get(&capability).map(Owners::list).unwrap_or_default();
            self.published.own(capability, owners);
        }
        self.state = Some(state);
        Ok(())
    }

    async fn retire(
        &mut self,
        tx: &Transaction,
        state: &mut State,
        jobs: &mut [Job],
        changes: &mut Changes,
    ) -> Result<(), DbErr> {
        for job in jobs {
            let Job::Retire { capability, answer } = job else { continue };
            let host = self.owners.get(&**capability).and_then(|owners| owners.live_host(self.env.now()));
            let retired = match host {
                _ if !state.registry.partitions.contains_key(capability) => Retired::Unknown,
                Some(host) => Retired::Hosted { host: host.into() },
                None => {
                    self.owners.remove(&**capability);
                    let letters = dead::count(tx, capability).await?;
                    rows::retire(tx, capability).await?;
                    Retired::Done { messages: letters + state.retire(capability, changes) }
                }
            };
            answer.set(Ok(retired));
        }
        Ok(())
    }

    fn change_registry(&self, state: &mut State, jobs: &mut [Job], changes: &mut Changes) {
        for job in jobs {
            match job {
                Job::Register { capability, partitions, subscriptions, answer } => {
                    state.register(capability, *partitions, subscriptions, changes);
                    answer.set(Ok(()));
                }
                Job::Unsubscribe { event, capability, answer } => {
                    answer.set(Ok(state.unsubscribe(event, capability, changes)));
                }
                _ => {}
            }
        }
    }

    fn heartbeat(&mut self, state: &mut State, jobs: &mut [Job], changes: &mut Changes) {
        for job in jobs {
            let Job::Heartbeat { heartbeat, answer } = job else { continue };
            let Some(&partitions) = state.registry.partitions.get(&*heartbeat.capability) else {
                answer.set(Ok(Vec::new()));
                continue;
            };
            let capability = &heartbeat.capability;
            let owners = self.owners.entry(capability.clone()).or_default();
            for &(number, seen) in
                heartbeat.stale_epochs.iter().filter(|(number, _)| owners.has(&heartbeat.host, *number))
            {
                state.raise_epoch(Partition { capability: capability.clone(), number }, seen, changes);
            }
            let wall_ms = self.env.wall_ms();
            let epoch = |number| {
                let partition = Partition { capability: capability.clone(), number };
                state.next_epoch(partition, wall_ms, changes)
            };
            answer.set(Ok(owners.heartbeat(heartbeat, partitions, self.env.now(), epoch)));
            changes.tended.push(capability.clone());
        }
    }

    /// Takes note of what became of a group.
    fn note(&mut self, outcome: &Result<(), AppendError>) {
        let owners = self.owners.values_mut();
        match outcome {
            Ok(()) => owners.for_each(Owners::settle),
            Err(_) => owners.for_each(Owners::take_back),
        }
        match outcome {
            Ok(()) if self.failing => tracing::info!("the log can be written again"),
            // What is an outage of its file is told as that.
            Err(error) if !self.failing && !self.database.is_out() => {
                tracing::error!(%error, "the log cannot be written")
            }
            _ => return,
        }
        self.failing = outcome.is_err();
    }
}

/// What waits now, or as much of it as is stored together.
fn gather(first: Job, waiting: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.bytes();
    let mut jobs = vec![first];
    while jobs.len() < GROUP_JOBS && bytes < GROUP_BYTES {
        let Ok(job) = waiting.try_recv() else { break };
        bytes += job.bytes();
        jobs.push(job);
    }
    jobs
}

async fn acknowledge(
    tx: &Transaction,
    state: &mut State,
    jobs: &mut [Job],
    changes: &mut Changes,
) -> Result<(), DbErr> {
    let mut positions = Vec::new();
    for job in &*jobs {
        if let Job::Acknowledge { acknowledges, .. } = job {
            acknowledges.iter().for_each(|a| positions.extend(state.removable(a)));
        }
    }
    let mut removed = rows::remove(tx, &positions).await?;
    for job in jobs {
        if let Job::Acknowledge { acknowledges, answer } = job {
            answer.set(acknowledges.iter().map(|a| state.acknowledge(a, &mut removed, changes)).collect());
        }
    }
    Ok(())
}

fn append(state: &mut State, jobs: &mut [Job], changes: &mut Changes) {
    for job in jobs {
        // A sender that has gone away does not know the outcome and sends again; storing this one would be wasted.
        if let Job::Append { registry, most, appends, answer } = job
            && !answer.is_vain()
        {
            answer.set(state.append(*registry, *most, appends, changes));
        }
    }
}

async fn forget(tx: &Transaction, jobs: &mut [Job]) -> Result<(), DbErr> {
    for job in jobs {
        if let Job::Forget { capability, letters, answer } = job {
            answer.set(Ok(dead::forget(tx, capability, letters).await?));
        }
    }
    Ok(())
}

/// The error of a statement: the transaction never came to its commit.
fn undone(error: DbErr) -> AppendError {
    AppendError::NotStored(format!("the log could not be written: {error}"))
}

fn failed(error: TxError) -> AppendError {
    match error {
        TxError::CommitUnanswered(_) => AppendError::Unknown(format!("the log: {error}")),
        _ => AppendError::NotStored(format!("the log could not be written: {error}")),
    }
}
