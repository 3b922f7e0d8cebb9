//! What the runtime writes with a handler's transaction: that its message is applied, and what it sends.

use std::sync::{Arc, Mutex, PoisonError};

use essaim_contract::{Command, Event, MessageId, SendError};
use sea_orm::{ConnectionTrait, DbErr};

use super::delivery::Delivery;
use super::letter::{Letter, LetterKind, Letterhead};
use super::options::SendOptions;
use super::outbox::Outbox;
use crate::Env;
use crate::bridge::log::Tally;
use crate::store::TxError;
use crate::store::durable::{fence, inbox, outbox, parked};

/// What goes with one transaction.
pub(crate) struct Enclosure {
    delivery: Option<Arc<Delivery>>,
    /// Absent where nothing durable is about.
    outbox: Option<Arc<Outbox>>,
    letterhead: Letterhead,
    letters: Mutex<Vec<Letter>>,
    env: Env,
}

impl Enclosure {
    /// `letters` were sent before the transaction began, and leave with it.
    pub fn new(
        delivery: Option<Arc<Delivery>>,
        outbox: Option<Arc<Outbox>>,
        letterhead: Letterhead,
        letters: Vec<Letter>,
        env: Env,
    ) -> Self {
        Self { delivery, outbox, letterhead, letters: Mutex::new(letters), env }
    }

    pub fn command<M: Command>(&self, message: &M, options: SendOptions) -> Result<MessageId, SendError> {
        self.add(self.letterhead.command(&self.env, message, options)?)
    }

    pub fn event<E: Event>(&self, event: &E, options: SendOptions) -> Result<MessageId, SendError> {
        self.add(self.letterhead.event(&self.env, event, options)?)
    }

    fn add(&self, letter: Letter) -> Result<MessageId, SendError> {
        let no_log = || SendError::NotStored { reason: "this node keeps no durable messages".into() };
        let outbox = self.outbox.as_ref().ok_or_else(no_log)?;
        // What a durable message causes always has room, or two full capabilities would wait for each other.
        if self.delivery.is_none()
            && let Some(full) = outbox.refusal(&letter.capability)
        {
            return Err(full);
        }
        let id = letter.id.clone();
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        Ok(id)
    }

    /// Writes it with the handler's own writes; the last thing before the commit.
    pub async fn write(&self, tx: &impl ConnectionTrait) -> Result<(), TxError> {
        if let Some(delivery) = &self.delivery {
            applied(tx, delivery, &self.env).await?;
        }
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(outbox) = &self.outbox
            && !letters.is_empty()
        {
            let rows: Vec<_> = letters.into_iter().map(row).collect();
            let lane = self.lane(outbox);
            let first = outbox.numbers(lane, rows.len());
            outbox::insert(tx, lane, first, &rows).await?;
        }
        Ok(())
    }

    /// The transaction is committed, or may be.
    pub fn committed(&self) {
        let count = self.letters.lock().unwrap_or_else(PoisonError::into_inner).len();
        if let Some(outbox) = &self.outbox
            && count > 0
        {
            outbox.committed(self.lane(outbox), count);
        }
    }

    /// The crash point before its commit.
    pub fn before_commit(&self) -> &'static str {
        if self.delivery.is_some() { "apply.before-commit" } else { "ask.before-commit" }
    }

    /// The crash point after it.
    pub fn after_commit(&self) -> &'static str {
        if self.delivery.is_some() { "apply.after-commit" } else { "ask.after-commit" }
    }

    fn lane<'a>(&'a self, outbox: &'a Outbox) -> &'a str {
        self.delivery.as_ref().map_or(outbox.own_lane(), |d| &d.lane)
    }
}

/// Notes that a message is applied, under the epoch of its partition's owner.
async fn applied(tx: &impl ConnectionTrait, delivery: &Delivery, env: &Env) -> Result<(), TxError> {
    let tally = Tally { handled: 1, ..Tally::default() };
    if !fence::advance(tx, delivery.partition, delivery.epoch, tally).await? {
        return Err(TxError::Fenced);
    }
    match delivery.parked {
        // It is in the inbox since it was parked.
        Some(seq) => match parked::remove(tx, delivery.partition, seq).await? {
            true => Ok(()),
            false => Err(TxError::Database(DbErr::RecordNotUpdated)),
        },
        None => {
            let at_ms = delivery.id.time_ms().max(env.wall_ms());
            inbox::insert(tx, &[inbox::Mark { id: delivery.id.as_str(), offset: delivery.offset, at_ms }]).await?;
            Ok(())
        }
    }
}

/// A letter as a row of the outbox.
fn row(letter: Letter) -> outbox::Outgoing {
    let (event, target) = match letter.kind {
        LetterKind::Command => (false, None),
        LetterKind::Event { .. } => (true, None),
        LetterKind::EventFor(subscriber) => (true, Some(subscriber.to_string())),
    };
    outbox::Outgoing { event, target, record: letter.record }
}
