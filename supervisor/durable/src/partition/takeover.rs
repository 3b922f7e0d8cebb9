//! What a new owner does before it begins: it shuts earlier owners out of the database, and finds what they left there.

use std::cell::Cell;
use std::sync::Arc;

use essaim_base::{Env, crash};
use essaim_config::DurableConfig;
use essaim_protocol::log::Partition;
use essaim_store::TxError;
use essaim_store::tables::fence::{self, Takeover};
use essaim_store::tables::{dead, logs, parked};
use tokio::sync::watch;

use super::owner::{CapabilityStore, PartitionOwner};
use super::queue::{OrderKey, ParkedPlace, Queue, Tries};
use super::unhandled::UnhandledMessages;
use crate::outbox::OpenQueue;
use crate::ports::Handlers;
use crate::trust::RecordTrust;

/// Parked messages that are read at a time.
const PAGE: u32 = 500;

/// An owner that may begin, and what waits for it in the database.
pub struct Ownership {
    pub owner: PartitionOwner,
    pub queue: Queue,
    /// Relays what its messages send as long as this is kept.
    pub outbox_queue: Option<OpenQueue>,
    /// The log that the partition's messages came from until now, if it was another one.
    pub left: Option<String>,
    /// Messages that the present log has appended, as far as the database knows.
    pub appended: u64,
}

/// Which partition is taken over, by whom.
pub struct Claim {
    pub partition: Partition,
    pub epoch: u64,
    /// The log that its messages come from.
    pub log: String,
    pub handlers: Arc<dyn Handlers>,
    pub config: DurableConfig,
    pub trust: Arc<RecordTrust>,
    pub env: Env,
    pub store: Option<CapabilityStore>,
    pub unhandled: Arc<UnhandledMessages>,
    pub stop: watch::Receiver<bool>,
}

impl Ownership {
    /// Takes over a partition, unless a later owner was here.
    ///
    /// # Errors
    /// The database's; nothing has changed then, or taking over again does no harm.
    pub async fn take(claim: Claim) -> Result<Takeover<Box<Self>>, TxError> {
        let Claim { partition, epoch, log, handlers, config, trust, env, store, unhandled, stop } = claim;
        let (number, last_seq) = (PartitionOwner::log(&log), Cell::new(0));
        let owner = PartitionOwner {
            partition,
            epoch,
            handlers,
            config,
            trust,
            env,
            store,
            log: number,
            last_seq,
            unhandled,
            stop,
        };
        let (mut queue, mut outbox_queue, mut left, mut appended) = (Queue::default(), None, None, 0);
        if let Some(store) = owner.store.clone() {
            let tx = store.database.begin().await?;
            let before = match fence::take(&tx, owner.number(), epoch).await? {
                Takeover::Done(before) => before,
                Takeover::Stale(epoch) => return Ok(Takeover::Stale(epoch)),
            };
            if before != log {
                logs::change(&tx, owner.number(), &before, &log).await?;
            }
            tx.commit().await?;
            left = (!before.is_empty() && before != log).then_some(before);
            crash::point("takeover.after-fence");
            owner.find(&store, &mut queue).await?;
            outbox_queue = Some(store.outbox.open(&store.queue, epoch).await?);
            appended = logs::appended(store.database.own_reads(), owner.number()).await?;
        }
        Ok(Takeover::Done(Box::new(Self { owner, queue, outbox_queue, left, appended })))
    }
}

impl PartitionOwner {
    async fn find(&self, store: &CapabilityStore, queue: &mut Queue) -> Result<(), TxError> {
        let reads = store.database.own_reads();
        let mut after = 0;
        let latest = self.env.wall_ms() + self.config.backoff_most_ms;
        loop {
            let rows = parked::load(reads, self.number(), after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in rows {
                let place = ParkedPlace { order: row.order_key.as_str().into(), seq: row.seq };
                let was_tried = row.error.is_some();
                let tries = Tries { attempts: row.attempts, tries: row.attempts.max(was_tried.into()) };
                // The clock may have been set back since.
                let due_ms = if was_tried { row.due_ms.min(latest) } else { row.due_ms };
                match row.ordered {
                    true => queue.add_parked(&place, due_ms, tries),
                    false => queue.delay_parked(place, due_ms, tries),
                }
            }
        }
        self.last_seq.set(after);
        for key in dead::held_keys(reads, &self.partition.capability, self.number()).await? {
            let _ = queue.hold(&OrderKey::from(key.as_str()));
        }
        Ok(())
    }
}
