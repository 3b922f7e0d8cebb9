//! A dead letter with another payload, as its capability's host takes it: checked against the message's type, rehearsed, replayed.

use std::sync::Arc;
use std::time::Duration;

use essaim_contract::{Failure, FailureKind};
use essaim_core::local::declared::DeclaredMessage;
use essaim_durable::Handlers;
use essaim_durable::partition::rehearsal::{self, Rehearsed, RehearsedEnd, RehearsedKind};
use essaim_protocol::record::{Control, Record};
use serde_bytes::ByteBuf;
use tokio::time::Instant;

use crate::api::{
    CheckedPayload, RehearsedAsk, RehearsedLetter, RehearsedOutcome, RehearsedSend, RehearsedStatement,
    RehearsedTransaction,
};
use crate::dead_letters::LocatedLetter;
use crate::host::HostOperator;
use crate::operation::{EditedLetter, LetterAnswer, LetterResults};
use crate::payload::{self, EditedPayload};

/// A letter with the record of its message, and what its contract says of that.
struct ReadLetter {
    located: LocatedLetter,
    record: Record,
    declared: DeclaredMessage,
}

impl HostOperator {
    /// Checks a payload for a letter; nothing is changed.
    pub async fn check_edited(&self, letter: &EditedLetter) -> Result<LetterAnswer<CheckedPayload>, Failure> {
        Ok(match self.read_edited(letter).await? {
            Ok((_, edited)) => LetterAnswer::Done(CheckedPayload { changes: edited.changes }),
            Err(not) => not.into(),
        })
    }

    /// Replays a letter with the payload that was written for it.
    pub async fn replay_edited(&self, letter: &EditedLetter) -> Result<LetterAnswer<LetterResults>, Failure> {
        Ok(match self.read_edited(letter).await? {
            Ok((read, edited)) => {
                let body = ByteBuf::from(edited.message.body);
                LetterAnswer::Done(self.deal_with_each(vec![read.located], Control::Replay, Some(body)).await)
            }
            Err(not) => not.into(),
        })
    }

    /// Runs the handler of a letter's message so that nothing of it remains, until `deadline` at the latest.
    pub async fn rehearse(
        &self,
        letter: &EditedLetter,
        deadline: Instant,
    ) -> Result<LetterAnswer<RehearsedLetter>, Failure> {
        let read = match self.read(&letter.id).await? {
            Ok(read) => read,
            Err(not) => return Ok(not.into()),
        };
        let body = match letter.payload.as_deref().map(|text| self.edited(&read, text)) {
            Some(Ok(edited)) => ByteBuf::from(edited.message.body),
            Some(Err(why)) => return Ok(LetterAnswer::Unreadable(why)),
            None => read.record.body.clone(),
        };
        let record = Record { body, ..read.record };
        let handlers: Arc<dyn Handlers> = self.host.clone();
        let handler = Duration::from_millis(self.durable.config.handler_timeout_ms);
        let deadline = deadline.min(self.env.now() + handler);
        shown(rehearsal::rehearse(&handlers, &record, deadline, &self.env).await).map(LetterAnswer::Done)
    }

    /// A letter with the payload that was written for it; inside, why it is not to be handled with that.
    async fn read_edited(
        &self,
        letter: &EditedLetter,
    ) -> Result<Result<(ReadLetter, EditedPayload), NotRead>, Failure> {
        let read = match self.read(&letter.id).await? {
            Ok(read) => read,
            Err(not) => return Ok(Err(not)),
        };
        let edited = self.edited(&read, letter.payload.as_deref().unwrap_or_default());
        Ok(edited.map(|edited| (read, edited)).map_err(NotRead::Not))
    }

    fn edited(&self, read: &ReadLetter, text: &str) -> Result<EditedPayload, String> {
        let (body, key) = (&read.record.body, read.record.key.as_deref());
        payload::edited(text, body, key, &read.declared, self.durable.most_bytes())
    }

    /// The letter of this capability's own with this id; inside, why there is none that could be handled here.
    async fn read(&self, id: &str) -> Result<Result<ReadLetter, NotRead>, Failure> {
        let found = self.find(&[id.to_string()], Some(&self.host.name)).await?;
        let Some(located) = found.into_iter().next() else { return Ok(Err(NotRead::Gone)) };
        let record = match located.open(&self.durable.trust.keys) {
            Ok(record) => record,
            Err(why) => return Ok(Err(NotRead::Not(why))),
        };
        let Some(declared) = self.host.declared(&record.name) else {
            let (name, capability) = (&record.name, &self.host.name);
            let why =
                format!("this version of `{capability}` has no handler of `{name}`, so nobody knows what may be in it");
            return Ok(Err(NotRead::Not(why)));
        };
        Ok(Ok(ReadLetter { located, record, declared }))
    }
}

/// Why a letter is not to be handled.
enum NotRead {
    /// It is not kept here.
    Gone,
    Not(String),
}

impl<T> From<NotRead> for LetterAnswer<T> {
    fn from(not: NotRead) -> Self {
        match not {
            NotRead::Gone => Self::Gone,
            NotRead::Not(why) => Self::Unreadable(why),
        }
    }
}

/// A rehearsal as operators see it.
///
/// # Errors
/// If it did not come to its end.
fn shown(rehearsed: Rehearsed) -> Result<RehearsedLetter, Failure> {
    let Rehearsed { end, took, work } = rehearsed;
    let refused = work.asks.iter().find(|ask| !ask.was_sent).map(|ask| ask.name.clone());
    let (outcome, why) = match (end, refused) {
        (RehearsedEnd::Succeeds, _) => (RehearsedOutcome::Succeeds, None),
        (RehearsedEnd::Fails(_) | RehearsedEnd::Unavailable(_) | RehearsedEnd::Rejects(_), Some(name)) => {
            (RehearsedOutcome::Stops, Some(name))
        }
        (RehearsedEnd::Unavailable(why), None) => {
            let detail = format!("it could not be rehearsed, and nothing was changed: {why}");
            return Err(Failure { kind: FailureKind::Unavailable, detail });
        }
        (RehearsedEnd::Rejects(why), None) => (RehearsedOutcome::Rejects, Some(why)),
        (RehearsedEnd::Fails(why), None) => (RehearsedOutcome::Fails, Some(why)),
        (RehearsedEnd::Panics(why), _) => (RehearsedOutcome::Panics, Some(why)),
        (RehearsedEnd::TimesOut(why), _) => (RehearsedOutcome::TimesOut, Some(why)),
        (RehearsedEnd::Unreadable(why), _) => (RehearsedOutcome::Unreadable, Some(why)),
    };
    let mut left_out = work.left_out;
    let mut transactions = Vec::with_capacity(work.transactions.len());
    for log in &work.transactions {
        let (statements, more) = log.statements();
        left_out += more;
        let statements = statements.into_iter().map(|logged| RehearsedStatement {
            sql: logged.sql,
            values: logged.values as u64,
            rows: logged.rows.as_ref().ok().copied(),
            error: logged.rows.err(),
        });
        transactions.push(RehearsedTransaction { commits: log.is_committed(), statements: statements.collect() });
    }
    let sends = work.sent.into_iter().map(|sent| RehearsedSend {
        name: sent.name.to_string(),
        kind: match sent.kind {
            RehearsedKind::Command => "command".into(),
            RehearsedKind::Event => "event".into(),
            RehearsedKind::Broadcast => "broadcast".into(),
        },
        key: sent.key,
        payload: payload::of_fields(&sent.body, sent.secrets),
    });
    let asks = work.asks.into_iter().map(|ask| RehearsedAsk { name: ask.name, was_sent: ask.was_sent });
    let (sends, asks, took_us) = (sends.collect(), asks.collect(), took.as_micros() as u64);
    Ok(RehearsedLetter { outcome, why, took_us, transactions, sends, asks, left_out })
}
