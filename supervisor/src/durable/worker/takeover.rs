//! What a new owner does before it begins: it shuts earlier owners out of the database, and finds what they left there.

use std::cell::Cell;
use std::sync::Arc;

use super::owner::{Base, Owner};
use super::queue::{Order, Queue};
use crate::bridge::log::Partition;
use crate::config::DurableConfig;
use crate::durable::outbox::Outbox;
use crate::host::Host;
use crate::progress::Track;
use crate::store::TxError;
use crate::store::durable::{dead, fence, parked};
use crate::{Env, crash};

/// Parked messages that are read at a time.
const PAGE: u32 = 500;

/// An owner that may begin, and what waits for it in the database.
pub(crate) struct Takeover {
    pub owner: Owner,
    pub queue: Queue,
}

impl Takeover {
    /// Takes over a partition with this epoch; none if a later owner was faster.
    ///
    /// # Errors
    /// The database's; nothing has changed then, or taking over again does no harm.
    pub async fn begin(
        partition: Partition,
        epoch: u64,
        host: Arc<Host>,
        config: DurableConfig,
        env: Env,
        base: Option<Base>,
    ) -> Result<Option<Self>, TxError> {
        let owner = Owner { partition, epoch, host, config, env, base, last_seq: Cell::new(0) };
        let mut queue = Queue::default();
        if let Some(base) = owner.base.clone() {
            let tx = base.database.begin(None, Track::default()).await?;
            if !fence::take(&tx, owner.number(), epoch).await? {
                return Ok(None);
            }
            tx.commit().await?;
            crash::point("takeover.after-fence");
            owner.find(&base, &mut queue).await?;
            base.outbox.open(&base.lane, Outbox::floor(epoch)).await?;
        }
        Ok(Some(Self { owner, queue }))
    }
}

impl Owner {
    async fn find(&self, base: &Base, queue: &mut Queue) -> Result<(), TxError> {
        let reads = base.database.reads();
        let mut after = 0;
        loop {
            let rows = parked::load(reads, self.number(), after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in rows {
                queue.waits(&Order::from(row.order_key.as_str()), row.seq, row.due_ms, row.attempts);
            }
        }
        self.last_seq.set(after);
        for key in dead::held_keys(reads, &self.partition.capability, self.number()).await? {
            let _ = queue.hold(&Order::from(key.as_str()));
        }
        Ok(())
    }
}
