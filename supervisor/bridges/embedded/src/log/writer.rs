//! The task that writes.

use std::collections::HashMap;
use std::sync::Arc;

use essaim_base::Env;
use essaim_protocol::log::{AppendError, Partition, Retired};
use essaim_store::{Database, Transaction, TxError};
use sea_orm::DbErr;
use tokio::sync::{Mutex, mpsc};

use super::dead_letters;
use super::owners::Owners;
use super::published::Published;
use super::rows;
use super::state::{LogChanges, LogState};
use super::write_job::WriteJob;

/// The most jobs of a group: more would make the first one wait long.
const GROUP_JOBS: usize = 4_096;

/// The approximate bytes of a group: jobs beyond them are the next group.
const GROUP_BYTES: usize = 8 << 20;

/// Stores jobs in groups.
pub(super) struct Writer {
    database: Database,
    published: Arc<Published>,
    env: Env,
    /// `None` until it is loaded, and after a group has failed.
    state: Option<LogState>,
    owners: HashMap<Arc<str>, Owners>,
    failing: bool,
}

impl Writer {
    pub fn new(database: Database, published: Arc<Published>, env: Env) -> Self {
        Self { database, published, env, state: None, owners: HashMap::new(), failing: false }
    }

    /// Loads the stored state, and publishes it.
    pub async fn load(&mut self) -> Result<(), AppendError> {
        self.store(&mut []).await
    }

    /// Works until no sender of jobs is left.
    pub async fn run(mut self, waiting: Arc<Mutex<mpsc::Receiver<WriteJob>>>) {
        let mut waiting = waiting.lock().await;
        while let Some(first) = waiting.recv().await {
            let mut jobs = gather(first, &mut waiting);
            let outcome = self.store(&mut jobs).await;
            self.record_outcome(&outcome);
            jobs.into_iter().for_each(|job| job.finish(&outcome));
        }
    }

    /// Stores a group in one transaction, and publishes it.
    async fn store(&mut self, jobs: &mut [WriteJob]) -> Result<(), AppendError> {
        let tx = self.database.begin().await.map_err(failed)?;
        // A failure from here on leaves no state, so that the next group begins with the stored one.
        let (mut state, anew) = match self.state.take() {
            Some(state) => (state, false),
            None => (LogState::load(&tx).await.map_err(undone)?.of_the_same_file(&self.published), true),
        };
        let mut changes = LogChanges::default();
        // Retirements come before registrations of the same capability.
        self.retire(&tx, &mut state, jobs, &mut changes).await.map_err(undone)?;
        self.change_registry(&mut state, jobs, &mut changes);
        self.heartbeat(&mut state, jobs, &mut changes);
        acknowledge(&tx, &mut state, jobs, &mut changes).await.map_err(undone)?;
        raise(&mut state, jobs, &mut changes);
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
        for capability in changes.changed_owners {
            let owners = self.owners.get(&capability).map(Owners::list).unwrap_or_default();
            self.published.own(capability, owners);
        }
        self.state = Some(state);
        Ok(())
    }

    async fn retire(
        &mut self,
        tx: &Transaction,
        state: &mut LogState,
        jobs: &mut [WriteJob],
        changes: &mut LogChanges,
    ) -> Result<(), DbErr> {
        for job in jobs {
            let WriteJob::Retire { capability, answer } = job else { continue };
            let host = self.owners.get(&**capability).and_then(|owners| owners.live_host(self.env.now()));
            let retired = match host {
                _ if !state.registry.partitions.contains_key(capability) => Retired::Unknown,
                Some(host) => Retired::Hosted { host: host.into() },
                None => {
                    self.owners.remove(&**capability);
                    let letters = dead_letters::count(tx, capability).await?;
                    rows::retire(tx, capability).await?;
                    Retired::Done { messages: letters + state.retire(capability, changes) }
                }
            };
            answer.set(Ok(retired));
        }
        Ok(())
    }

    fn change_registry(&self, state: &mut LogState, jobs: &mut [WriteJob], changes: &mut LogChanges) {
        for job in jobs {
            match job {
                WriteJob::Register { capability, partitions, subscriptions, answer } => {
                    state.register(capability, *partitions, subscriptions, changes);
                    answer.set(Ok(()));
                }
                WriteJob::Unsubscribe { event, capability, answer } => {
                    answer.set(Ok(state.unsubscribe(event, capability, changes)));
                }
                _ => {}
            }
        }
    }

    fn heartbeat(&mut self, state: &mut LogState, jobs: &mut [WriteJob], changes: &mut LogChanges) {
        for job in jobs {
            let WriteJob::Heartbeat { heartbeat, answer } = job else { continue };
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
            changes.changed_owners.push(capability.clone());
        }
    }

    /// Records the outcome of a group.
    fn record_outcome(&mut self, outcome: &Result<(), AppendError>) {
        let owners = self.owners.values_mut();
        match outcome {
            Ok(()) => owners.for_each(Owners::confirm_grants),
            Err(_) => owners.for_each(Owners::revert_grants),
        }
        match outcome {
            Ok(()) if self.failing => tracing::info!("the log can be written again"),
            // An outage of its file is reported as such.
            Err(error) if !self.failing && !self.database.is_out() => {
                tracing::error!(%error, "the log cannot be written")
            }
            _ => return,
        }
        self.failing = outcome.is_err();
    }
}

/// All waiting jobs, up to the bounds of a group.
fn gather(first: WriteJob, waiting: &mut mpsc::Receiver<WriteJob>) -> Vec<WriteJob> {
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
    state: &mut LogState,
    jobs: &mut [WriteJob],
    changes: &mut LogChanges,
) -> Result<(), DbErr> {
    let mut positions = Vec::new();
    for job in &*jobs {
        if let WriteJob::Acknowledge { acknowledges, .. } = job {
            acknowledges.iter().for_each(|a| positions.extend(state.removable(a)));
        }
    }
    let mut removed = rows::remove(tx, &positions).await?;
    for job in jobs {
        if let WriteJob::Acknowledge { acknowledges, answer } = job {
            answer.set(acknowledges.iter().map(|a| state.acknowledge(a, &mut removed, changes)).collect());
        }
    }
    Ok(())
}

fn raise(state: &mut LogState, jobs: &mut [WriteJob], changes: &mut LogChanges) {
    for job in jobs {
        if let WriteJob::Raise { partition, appended, answer } = job {
            answer.set(state.raise(partition, *appended, changes));
        }
    }
}

fn append(state: &mut LogState, jobs: &mut [WriteJob], changes: &mut LogChanges) {
    for job in jobs {
        // A sender that has gone away does not know the outcome and sends again; storing this one would be wasted.
        if let WriteJob::Append { registry, most, appends, answer } = job
            && !answer.is_abandoned()
        {
            answer.set(state.append(*registry, *most, appends, changes));
        }
    }
}

async fn forget(tx: &Transaction, jobs: &mut [WriteJob]) -> Result<(), DbErr> {
    for job in jobs {
        if let WriteJob::Forget { capability, letters, answer } = job {
            answer.set(Ok(dead_letters::forget(tx, capability, letters).await?));
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

#[cfg(test)]
mod tests {
    use essaim_base::task::Tasks;
    use essaim_config::Settings;
    use essaim_protocol::conformance as log_tests;
    use essaim_protocol::log::Log;
    use essaim_store::testing::Directory;

    use super::super::write_job::Answer;
    use super::*;
    use crate::EmbeddedLog;

    #[tokio::test]
    async fn after_a_group_has_failed_the_file_is_no_older_than_it_was() {
        let (directory, env) = (Directory::new(), Env::system());
        let mut settings = Settings::default();
        settings.node.data_dir = directory.path().to_path_buf();
        let log = EmbeddedLog::open(&settings, env.clone(), &Tasks::without_node()).await.unwrap();
        log_tests::open_shop(&log, 2).await;
        let [told, untold] = [0, 1].map(log_tests::partition);
        log.raise(&told, 0).await.unwrap();
        log_tests::append(&log, &[log_tests::messages(0, 3, "a")]).await;
        // As after a panic of the task.
        let mut writer = Writer::new(log.database.clone(), log.published.clone(), env);
        let (registry, (answer, _arrives)) = (log.published.registry().version, Answer::new());
        let appends = vec![log_tests::messages(0, 2, "b")];
        writer.store(&mut [WriteJob::Append { registry, most: 100, appends, answer }]).await.unwrap();
        assert_eq!((log.appended(&told).await, log.appended(&untold).await), (Ok(5), Ok(0)));
    }
}
