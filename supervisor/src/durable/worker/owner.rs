//! One ownership of a partition: what the work on each of its messages needs.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use essaim_contract::{AskError, NotDelivered, Unknown};
use tokio::time::timeout;

use crate::Env;
use crate::backoff::Backoff;
use crate::bridge::log::Partition;
use crate::call::{Call, Chain};
use crate::config::DurableConfig;
use crate::durable::delivery::Delivery;
use crate::durable::outbox::Outbox;
use crate::durable::record::Record;
use crate::durable::soon;
use crate::durable::worker::queue::Job;
use crate::handles::{Applied, Kind};
use crate::host::Host;
use crate::store::Database;
use crate::store::durable::inbox;
use crate::trace::TraceContext;

/// The longest wait for a capability that cannot take messages now before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A partition, owned by this node.
pub(crate) struct Owner {
    pub partition: Partition,
    pub epoch: u64,
    pub host: Arc<Host>,
    pub config: DurableConfig,
    pub env: Env,
    /// The capability's database and the way out of it; none: nothing is remembered of what was applied.
    pub base: Option<Base>,
    /// The last number of a parked message.
    pub last_seq: Cell<u64>,
}

/// Where a capability remembers.
#[derive(Clone)]
pub(crate) struct Base {
    pub database: Database,
    pub outbox: Arc<Outbox>,
    /// The outbox's lane of this partition.
    pub lane: Arc<str>,
    /// Ids in the inbox of the whole capability, about.
    pub remembered: Arc<AtomicU64>,
}

/// How an attempt to apply a message ended.
pub(crate) enum Attempt {
    Applied,
    /// Its handler said no.
    Rejected(String),
    /// This binary cannot read it.
    Unreadable(String),
    /// It failed; it counts unless what it needs was not there.
    Failed {
        why: String,
        counts: bool,
    },
    /// It may have been applied.
    Doubtful(String),
}

impl Owner {
    pub fn number(&self) -> u32 {
        self.partition.number
    }

    /// The next number of a parked message: an even one. The odd one before it is for a dead letter that is tried again
    /// before the message.
    pub fn next_seq(&self) -> u64 {
        self.last_seq.set((self.last_seq.get() / 2 + 1) * 2);
        self.last_seq.get()
    }

    /// Whether no more can be remembered, so that nothing may be applied.
    pub fn is_inbox_full(&self) -> bool {
        let full = |base: &Base| base.remembered.load(Ordering::Relaxed) >= self.config.inbox_ids;
        self.base.as_ref().is_some_and(full)
    }

    pub fn backoff(&self, attempts: u32) -> Duration {
        let first = Duration::from_millis(self.config.backoff_first_ms);
        Backoff { first, most: Duration::from_millis(self.config.backoff_most_ms) }.delay(attempts, &self.env)
    }

    /// Has the actor apply a message; waits while the capability cannot take it.
    pub async fn attempt(&self, record: &Record, offset: u64, parked: Option<u64>) -> Attempt {
        let mut waits = 0;
        loop {
            let why = match self.dispatch(record, offset, parked).await {
                Ok(()) => return Attempt::Applied,
                Err(AskError::Rejected(why)) => return Attempt::Rejected(why),
                Err(AskError::Failed(failure)) => {
                    let counts = failure.kind != essaim_contract::FailureKind::Unavailable;
                    return Attempt::Failed { why: failure.to_string(), counts };
                }
                Err(AskError::Unknown(Unknown::TimedOut { running_ms })) => {
                    return Attempt::Doubtful(format!("it was still running after {running_ms} ms"));
                }
                Err(AskError::Unknown(unknown)) => return Attempt::Doubtful(unknown.to_string()),
                Err(AskError::NotDelivered(NotDelivered::Undecodable { detail, .. })) => {
                    return Attempt::Unreadable(detail);
                }
                Err(AskError::NotDelivered(NotDelivered::Unsupported { message })) => {
                    return Attempt::Failed { why: format!("this node does not know `{message}`"), counts: false };
                }
                Err(AskError::NotDelivered(why)) => why,
            };
            waits += 1;
            tracing::debug!(capability = %self.partition.capability, %why, "a durable message waits for its capability");
            match why {
                NotDelivered::Starting { .. } | NotDelivered::Failed { .. } => {
                    // Whatever the capability waits for, its supervision says when it is up.
                    let _ = timeout(LOOK_AGAIN, self.host.supervision.running()).await;
                    tokio::task::yield_now().await;
                }
                _ => tokio::time::sleep(self.backoff(waits).min(LOOK_AGAIN)).await,
            }
        }
    }

    async fn dispatch(&self, record: &Record, offset: u64, parked: Option<u64>) -> Applied {
        let entries = self.host.entries().iter().enumerate();
        let durable = entries.filter_map(|(index, e)| match e.kind {
            Kind::Durable(apply, _) if *e.name == *record.name => Some((index, apply)),
            _ => None,
        });
        let Some((entry, apply)) = durable.into_iter().next() else {
            return Err(AskError::NotDelivered(NotDelivered::Unsupported { message: record.name.clone() }));
        };
        let call = Call {
            deadline: self.env.now() + Duration::from_millis(self.config.handler_timeout_ms),
            trace: record.trace.parse().unwrap_or_else(|_| TraceContext::root(&self.env)),
            chain: Chain::default(),
            principal: record.principal.clone().map(Arc::new),
            metadata: (!record.meta.is_empty()).then(|| Arc::new(record.meta.clone())),
        };
        let delivery = Delivery {
            id: record.id.clone(),
            partition: self.number(),
            epoch: self.epoch,
            offset,
            parked,
            lane: self.base.as_ref().map_or_else(|| "".into(), |base| base.lane.clone()),
        };
        match apply(self.host.clone(), entry, &record.body, call, Arc::new(delivery)) {
            Ok(applied) => applied.await,
            Err(why) => Err(AskError::NotDelivered(why)),
        }
    }

    /// Whether a message may no longer be handled: its sender has said so, or the subscription has.
    pub fn is_expired(&self, record: &Record) -> bool {
        let now = self.env.wall_ms();
        let subscription = self.host.entries().iter().find_map(|e| match e.kind {
            Kind::Durable(_, subscription) if *e.name == *record.name => subscription,
            _ => None,
        });
        let outlived = |most: u64| record.not_before.unwrap_or(record.at).saturating_add(most) < now;
        record.expires.is_some_and(|expires| now > expires)
            || subscription.and_then(|s| s.retention_ms).is_some_and(outlived)
    }

    /// How long to wait for a database that is away.
    pub async fn pause(&self, tries: u32) {
        tokio::time::sleep(soon(&self.config).delay(tries, &self.env)).await;
    }

    /// Waits until this moment, in milliseconds since 1970; for ever if there is none.
    pub async fn until(&self, due_ms: Option<u64>) {
        match due_ms {
            Some(due) => tokio::time::sleep(Duration::from_millis(due.saturating_sub(self.env.wall_ms()))).await,
            None => pending().await,
        }
    }

    /// Where copies of these messages were applied or parked.
    pub async fn seen(&self, jobs: &[Job]) -> HashMap<String, Vec<u64>> {
        let Some(base) = &self.base else { return Default::default() };
        let ids: Vec<_> = jobs.iter().map(|job| job.record.id.as_str()).collect();
        let mut tries = 0;
        loop {
            match inbox::seen(base.database.reads(), &ids).await {
                Ok(seen) => return seen,
                Err(error) => {
                    tries += 1;
                    tracing::debug!(%error, "the inbox cannot be read");
                    self.pause(tries).await;
                }
            }
        }
    }
}
