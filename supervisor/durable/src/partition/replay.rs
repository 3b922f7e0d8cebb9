//! What an operator has asked for about a dead letter: it is tried again, or dropped. A message that has failed and waits for its
//! next attempt is tried now.

use std::rc::Rc;

use essaim_protocol::record::{Control, Record};
use essaim_store::Transaction;
use essaim_store::tables::{dead, parked};

use super::owner::{CapabilityStore, PartitionOwner};
use super::queue::{LogMessage, ParkedPlace};
use super::retry::park_once;
use super::transactions::{NONE, PartitionLost, Settlement, Source, StepEnd};
use super::work::{HANDLED, Work, WorkOutcome};

/// Deals with a dead letter as somebody has asked for. If it holds its key it is tried again under the number `first`,
/// before what waits for it.
pub async fn control(
    owner: Rc<PartitionOwner>,
    store: CapabilityStore,
    message: Rc<LogMessage>,
    first: Option<u64>,
) -> WorkOutcome {
    let Some(control) = message.record.control else { return WorkOutcome::Finished };
    let work = Work::of(owner, store, &message);
    work.control(Source::Log { offset: message.offset }, control, first).await.unwrap_or(WorkOutcome::Lost)
}

impl Work<'_> {
    /// Has a message tried now that has failed and waits for its next attempt, if there is one.
    async fn hurry(&self, from: Source, id: &str) -> Result<WorkOutcome, PartitionLost> {
        let find = async || parked::find(self.store.database.own_reads(), id, 1).await;
        let found = self.transactions().until_answered(find).await;
        let is_own = |row: &parked::ParkedMessage| row.id == id && row.partition == self.owner.number();
        let is_seen = |row: &parked::ParkedMessage| is_own(row) && self.is_about(row.due_ms);
        let Some(row) = found.into_iter().find(is_seen) else { return self.finish(from, HANDLED).await };
        let write = async |tx: &Transaction| parked::hurry(tx, row.partition, row.seq).await.map(|_| StepEnd::Done);
        self.transactions().settle(self.leave(from, HANDLED), write).await?;
        Ok(WorkOutcome::Hurried(ParkedPlace { order: row.order_key.as_str().into(), seq: row.seq }))
    }

    /// Whether the request is about what its operator has seen. One that was recorded, and comes again, is about an earlier death
    /// or try. Versions before this one do not say what was seen: they are believed as far as what is not signed is.
    fn is_about(&self, died_or_due_ms: u64) -> bool {
        match self.record.seen {
            Some(seen) => seen == died_or_due_ms,
            None => self.owner.trust.keys.accepts_unsigned(),
        }
    }

    /// The message that is tried again: with the payload that an operator has given it, if they have.
    fn replayed(&self, letter: &[u8]) -> Vec<u8> {
        if self.record.body.is_empty() {
            return letter.to_vec();
        }
        // The host that took the payload has read the letter, and has made this of it.
        // One that is not believed stays what it is, and is refused when it is tried.
        let keys = &self.owner.trust.keys;
        let edited = Record::open(letter, keys).map(|letter| Record { body: self.record.body.clone(), ..letter });
        edited.ok().and_then(|edited| edited.sign(keys).ok()).unwrap_or_else(|| letter.to_vec())
    }

    async fn control(&self, from: Source, control: Control, first: Option<u64>) -> Result<WorkOutcome, PartitionLost> {
        let (id, capability) = (self.record.id.as_str(), &*self.owner.partition.capability);
        let found =
            self.transactions().until_answered(async || dead::find(self.store.database.own_reads(), id).await).await;
        let Some(letter) = found.into_iter().find(|letter| letter.capability == capability) else {
            // Another request has dealt with it already, or it is no dead letter and waits for its next attempt.
            return match control {
                Control::Replay => self.hurry(from, id).await,
                Control::Drop => self.finish(from, HANDLED).await,
            };
        };
        if !self.is_about(letter.dead_at_ms) {
            tracing::warn!(
                capability,
                id,
                "a request about a dead letter has no effect: the letter has died again since"
            );
            return self.finish(from, HANDLED).await;
        }
        let held = letter.held;
        let row = (control == Control::Replay).then(|| parked::ParkedMessage {
            partition: self.owner.number(),
            seq: first.filter(|_| held).unwrap_or_else(|| self.owner.next_seq()),
            id: id.into(),
            order_key: letter.order_key.clone(),
            ordered: held,
            attempts: 0,
            due_ms: 0,
            error: None,
            record: self.replayed(&letter.record),
        });
        let tally = if row.is_some() { NONE } else { HANDLED };
        let write = async |tx: &Transaction| {
            if dead::remove(tx, &[(id, capability)]).await? == 0 {
                return Ok(StepEnd::Nothing);
            }
            match &row {
                Some(row) => park_once(tx, row).await,
                None => Ok(StepEnd::Done),
            }
        };
        let leave = Settlement { effect: row.is_some(), ..self.leave(from, tally) };
        match self.transactions().settle(leave, write).await? {
            StepEnd::Done | StepEnd::Before => {
                let waits = row.map(|row| ParkedPlace { order: row.order_key.as_str().into(), seq: row.seq });
                Ok(WorkOutcome::Released { held, waits })
            }
            StepEnd::Nothing => self.finish(from, HANDLED).await,
            StepEnd::Repeated => {
                tracing::info!(
                    capability,
                    id,
                    "a dead letter is not tried again: another copy of it was applied, or waits"
                );
                let remove =
                    async |tx: &Transaction| dead::remove(tx, &[(id, capability)]).await.map(|_| StepEnd::Done);
                self.transactions().settle(self.leave(from, HANDLED), remove).await?;
                Ok(WorkOutcome::Released { held, waits: None })
            }
        }
    }
}
