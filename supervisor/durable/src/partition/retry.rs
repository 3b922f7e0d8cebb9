//! Retry: a message that failed, or has to wait, is parked in its capability's database, and tried when it is due.

use std::rc::Rc;

use essaim_store::Transaction;
use essaim_store::tables::parked;
use sea_orm::DbErr;

use super::dead_letter_policy;
use super::owner::{CapabilityStore, PartitionOwner};
use super::queue::{LogMessage, ParkedPlace, Tries};
use super::transactions::{NONE, PartitionLost, Settlement, Source, StepEnd};
use super::work::{DUPLICATE, Work, WorkOutcome};

/// Works on a message that is parked.
pub async fn again(owner: Rc<PartitionOwner>, store: CapabilityStore, place: ParkedPlace, tries: Tries) -> WorkOutcome {
    let ParkedPlace { order, seq } = place;
    let mut failures = 0;
    let row = loop {
        match parked::load(store.database.own_reads(), owner.number(), seq - 1, 1).await {
            Ok(rows) => break rows.into_iter().find(|row| row.seq == seq),
            Err(error) => owner.reported(&mut failures, &error).await,
        }
    };
    // Gone means done: an earlier attempt whose commit was not answered.
    let Some(row) = row else { return WorkOutcome::Finished };
    let from = Source::Parked { seq, tries };
    match owner.trust.open(&row.record, &owner.partition.capability) {
        Ok(record) => {
            let work = Work { owner, store, record: &record, order, copy: None };
            work.apply(from).await.unwrap_or(WorkOutcome::Lost)
        }
        Err(error) => dead_letter_policy::unreadable(owner, store, row, from, error.to_string()).await,
    }
}

/// Parks a message that has to wait behind others of its key, or until a moment.
pub async fn park(
    owner: Rc<PartitionOwner>,
    store: CapabilityStore,
    message: Rc<LogMessage>,
    seq: u64,
    due_ms: Option<u64>,
) -> WorkOutcome {
    let work = Work::of(owner, store, &message);
    let from = Source::Log { offset: message.offset };
    if let Some(ended) = work.at_first_sight(&message).await {
        return ended.unwrap_or(WorkOutcome::Lost);
    }
    let row = work.row(seq, due_ms.is_none(), due_ms.unwrap_or(0), Tries::default(), None);
    work.park(from, row, Tries::default()).await.unwrap_or(WorkOutcome::Lost)
}

impl Work<'_> {
    /// Has the message wait in the database for another try.
    pub(super) async fn put_off(
        &self,
        from: Source,
        tries: Tries,
        due_ms: u64,
        why: String,
    ) -> Result<WorkOutcome, PartitionLost> {
        match from {
            Source::Log { .. } => {
                let row = self.row(self.owner.next_seq(), self.record.key.is_some(), due_ms, tries, Some(why));
                self.park(from, row, tries).await
            }
            Source::Parked { seq, .. } => {
                let (number, attempts) = (self.owner.number(), tries.attempts);
                let note = async |tx: &Transaction| {
                    let there = parked::failed(tx, number, seq, attempts, due_ms, &why).await?;
                    Ok(if there { StepEnd::Done } else { StepEnd::Before })
                };
                self.transactions().advance(NONE, note).await?;
                Ok(WorkOutcome::Parked { seq, due_ms, tries })
            }
        }
    }

    /// The message as it waits in the database; `ordered` if its place is among those of its key already.
    pub(super) fn row(
        &self,
        seq: u64,
        ordered: bool,
        due_ms: u64,
        tries: Tries,
        error: Option<String>,
    ) -> parked::ParkedMessage {
        parked::ParkedMessage {
            partition: self.owner.number(),
            seq,
            id: self.record.id.to_string(),
            order_key: self.order.to_string(),
            ordered,
            attempts: tries.attempts,
            due_ms,
            error,
            record: self.record.sign(&self.owner.trust.keys).unwrap_or_default(),
        }
    }

    /// Puts the message into the database. Of copies that are on their way there one arrives; the others are duplicates.
    pub(super) async fn park(
        &self,
        from: Source,
        row: parked::ParkedMessage,
        tries: Tries,
    ) -> Result<WorkOutcome, PartitionLost> {
        let park = async |tx: &Transaction| park_once(tx, &row).await;
        let leave = Settlement { effect: true, ..self.leave(from, NONE) };
        match self.transactions().settle(leave, park).await? {
            StepEnd::Done | StepEnd::Before => Ok(WorkOutcome::Parked { seq: row.seq, due_ms: row.due_ms, tries }),
            StepEnd::Repeated | StepEnd::Nothing => self.finish(from, DUPLICATE).await,
        }
    }
}

/// Parks a message, unless it is parked already.
pub(super) async fn park_once(tx: &Transaction, row: &parked::ParkedMessage) -> Result<StepEnd, DbErr> {
    let parked = parked::park(tx, std::slice::from_ref(row)).await?;
    Ok(if parked == 1 { StepEnd::Done } else { StepEnd::Repeated })
}
