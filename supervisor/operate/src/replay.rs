//! What is done about dead letters: each is replayed or dropped where it is kept.
//!
//! A letter of the host's own partitions is dealt with by its partition's owner, which knows what waits for it: what is to
//! be done goes there through the log, as a record without a body, or with that which the letter is to have. A letter of a subscriber that had no room goes back
//! into the publisher's outbox. The log's own letters are appended again.

use bytes::Bytes;
use essaim_contract::Failure;
use essaim_durable::send::message::{OutgoingKind, OutgoingMessage};
use essaim_protocol::record::{Control, Record};
use essaim_store::TxError;
use essaim_store::tables::dead;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use serde_bytes::ByteBuf;

use crate::api::{DeadLetterSummary, Refused};
use crate::dead_letters::{LetterLocation, LocatedLetter, failed, unanswered};
use crate::host::HostOperator;
use crate::operation::{LetterResults, LetterSelection};

/// What keeps a letter from being dealt with, in words: an operator reads it beside the letter, and nothing decides by it.
type Why = String;

impl HostOperator {
    /// Deals with letters, each alone: a failure of one does not keep back the others.
    pub async fn deal_with(&self, selection: &LetterSelection, control: Control) -> Result<LetterResults, Failure> {
        let letters = self.find(&selection.ids, selection.capability.as_deref()).await?;
        Ok(self.deal_with_each(letters, control, None).await)
    }

    /// Deals with letters that were found. `body` is what a letter of the capability's own is replayed with, if not with its own.
    pub async fn deal_with_each(
        &self,
        letters: Vec<LocatedLetter>,
        control: Control,
        body: Option<ByteBuf>,
    ) -> LetterResults {
        let mut done = LetterResults::default();
        let mut sending = Vec::new();
        for located in letters {
            let of_subscriber = located.letter.capability != *self.host.name;
            let settled = match (&located.location, control) {
                (LetterLocation::Log(bytes), Control::Drop) => self.drop_from_log(&located, bytes).await,
                // No owner could be told of one that it does not know by its message's id: what was in the outbox and no message.
                (LetterLocation::Database, Control::Drop) if of_subscriber || !located.has_id_of_message() => {
                    self.remove(&located, None).await
                }
                (LetterLocation::Database, Control::Replay) if of_subscriber => self.publish_again(&located).await,
                (LetterLocation::Database, Control::Replay) if !located.has_id_of_message() => {
                    self.relay_again(&located).await
                }
                _ => match self.record_of(&located, control, body.clone()) {
                    Ok(letter) => {
                        sending.push((located, letter));
                        continue;
                    }
                    Err(why) => Err(why),
                },
            };
            self.note(&mut done, &located, settled);
        }
        let letters = sending.iter().map(|(_, letter)| letter.clone()).collect();
        let sent = if sending.is_empty() { Vec::new() } else { self.durable.sender.send_all(letters).await };
        for ((located, _), sent) in sending.iter().zip(sent) {
            let settled = match (sent.error, &located.location) {
                (Some(error), _) => Err(error.to_string()),
                // One that has died again since it was stored again is another letter, and stays.
                (None, LetterLocation::Log(bytes)) => self.forget(located, bytes).await.map(drop),
                (None, LetterLocation::Database) => Ok(()),
            };
            self.note(&mut done, located, settled);
        }
        done
    }

    fn note(&self, done: &mut LetterResults, located: &LocatedLetter, settled: Result<(), Why>) {
        // Many are dealt with at a time: what they died of has been listed.
        let letter = DeadLetterSummary { error: None, ..located.summary(&self.host.name) };
        match settled {
            Ok(()) => done.done.push(letter),
            Err(why) => done.refused.push(Refused { id: letter.id, capability: letter.capability, why }),
        }
    }

    /// What goes into the log for a letter: what is to be done about it, or itself if nobody else keeps it.
    fn record_of(
        &self,
        located: &LocatedLetter,
        control: Control,
        body: Option<ByteBuf>,
    ) -> Result<OutgoingMessage, Why> {
        let keys = &self.durable.trust.keys;
        let record = match &located.location {
            LetterLocation::Log(_) => {
                let record = located.open(keys)?;
                Record { body: body.unwrap_or(record.body), ..record }
            }
            LetterLocation::Database => {
                let record = match control {
                    Control::Replay => located.open(keys)?,
                    // To be rid of one nobody needs to believe it, nor what it says of its place.
                    Control::Drop => {
                        let record = Record::decode(&located.letter.record).map_err(|e| e.to_string())?;
                        let key = located.letter.ordered.then(|| located.letter.order_key.clone());
                        Record { key, ..record }
                    }
                };
                let (not_before, expires, body) = (None, None, body.unwrap_or_default());
                let (control, seen) = (Some(control), Some(located.letter.dead_at_ms));
                Record { control, seen, at: self.env.wall_ms(), not_before, expires, body, ..record }
            }
        };
        OutgoingMessage::of(record, self.host.name.clone(), OutgoingKind::Command, keys).map_err(|e| e.to_string())
    }

    /// Has the log forget a letter; whether it was still there as it was read.
    async fn forget(&self, located: &LocatedLetter, bytes: &Bytes) -> Result<bool, Why> {
        let letters = [(located.letter.id.clone(), bytes.clone())];
        let forgotten = self.durable.log.forget(&self.host.name, &letters).await;
        forgotten.map(|count| count > 0).map_err(|error| unanswered(error).detail)
    }

    async fn drop_from_log(&self, located: &LocatedLetter, bytes: &Bytes) -> Result<(), Why> {
        if self.forget(located, bytes).await? {
            return Ok(());
        }
        Err("somebody else has dealt with it meanwhile: if it is still listed, it has died again".into())
    }

    async fn publish_again(&self, located: &LocatedLetter) -> Result<(), Why> {
        located.open(&self.durable.trust.keys)?;
        let again = OutboxRow {
            event: true,
            target: Some(located.letter.capability.clone()),
            record: located.letter.record.clone(),
        };
        self.remove(located, Some(again)).await
    }

    /// Puts a message of this host's outbox that was refused there back into it.
    async fn relay_again(&self, located: &LocatedLetter) -> Result<(), Why> {
        let record = located.open(&self.durable.trust.keys)?;
        let registry = self.durable.log.registry().await.map_err(|error| unanswered(error).detail)?;
        let is_own = record.name.split('.').next() == Some(&*self.host.name);
        let event =
            registry.subscriptions.contains_key(&record.name) || (is_own && self.host.declared(&record.name).is_none());
        let again = OutboxRow { event, target: None, record: located.letter.record.clone() };
        self.remove(located, Some(again)).await
    }

    /// Removes a letter from the host's database, in one transaction with sending it again.
    async fn remove(&self, located: &LocatedLetter, again: Option<OutboxRow>) -> Result<(), Why> {
        self.try_remove(located, again).await.map_err(|error| failed(error).detail)
    }

    async fn try_remove(&self, located: &LocatedLetter, again: Option<OutboxRow>) -> Result<(), TxError> {
        let Some((database, outbox)) = self.host.database().zip(self.host.outbox()) else {
            return Err(TxError::NoDatabase);
        };
        let queue = outbox.own_queue();
        let tx = database.begin().await?;
        if dead::remove(&tx, &[(&located.letter.id, &located.letter.capability)]).await? == 0 {
            // Another request has dealt with it already.
            return Ok(());
        }
        let count = again.is_some().into();
        if let Some(again) = again {
            let number = outbox.reserve_numbers(queue, 1).ok_or(TxError::Fenced)?;
            table::insert(&tx, queue, number, &[again]).await?;
        }
        let committed = tx.commit().await;
        if count > 0 {
            outbox.committed(queue, count);
        }
        committed
    }
}
