//! The outcome for the messages of a page that a relay has tried to hand over.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use essaim_protocol::log::WhenFull;
use essaim_protocol::record::Record;
use essaim_store::tables::dead::{DeadLetter, DeadReason};
use essaim_store::tables::outbox::OutboxRow;
use essaim_store::tables::retained::RetainedEvent;

use super::OutboxQueue;
use crate::send::message::{OutgoingKind, OutgoingMessage};
use crate::send::sender::SendOutcome;

/// The outcome for a page of messages, up to the first that could not be handed over.
#[derive(Default)]
pub(super) struct RelayedPage {
    /// The numbers of the messages that are handed over or given up, to be forgotten.
    pub done: Vec<u64>,
    /// Events that were handed over and are retained, with their numbers.
    pub retained: Vec<(u64, OutgoingMessage)>,
    /// Messages that their subscriber does not want any more.
    pub outlived: u64,
    /// Copies that wait for a subscriber.
    pub overflow: Vec<(Arc<str>, OutboxRow)>,
    /// Copies that are dead letters of a subscriber.
    pub dead: Vec<(Arc<str>, OutgoingMessage)>,
    /// Rows that are no messages, with their numbers and why they cannot be read.
    unreadable: Vec<(u64, OutboxRow, String)>,
    /// Why the next message could not be handed over.
    pub why: Option<String>,
}

impl RelayedPage {
    /// Records the outcome for the next message; whether it is handed over.
    pub fn take(&mut self, seq: u64, row: &OutboxRow, message: &OutgoingMessage, sent: &SendOutcome) -> bool {
        let blocked = sent.full.iter().find(|(_, when_full)| *when_full == WhenFull::Block);
        self.why = match (&sent.error, blocked) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some((subscriber, _))) => Some(format!("`{subscriber}` has no room")),
            (None, None) => None,
        };
        if self.why.is_some() {
            return false;
        }
        if matches!(message.kind, OutgoingKind::Event { .. }) && message.retained.is_some() {
            self.retained.push((seq, message.clone()));
        }
        self.overflow.extend(sent.behind.iter().map(|subscriber| (subscriber.clone(), row.clone())));
        for (subscriber, when_full) in &sent.full {
            match when_full {
                WhenFull::OverflowToDisk => self.overflow.push((subscriber.clone(), row.clone())),
                WhenFull::DeadLetter => self.dead.push((subscriber.clone(), message.clone())),
                WhenFull::Block => {}
            }
        }
        self.done.push(seq);
        true
    }

    /// Whether all of the page is handed over, and nothing is to be written but that.
    pub fn only_removes(&self) -> bool {
        let Self { done, retained, outlived: _, overflow, dead, unreadable, why } = self;
        let nothing_else = retained.is_empty() && overflow.is_empty() && dead.is_empty() && unreadable.is_empty();
        !done.is_empty() && nothing_else && why.is_none()
    }

    /// Records that the next row is no message, so that those behind it go on.
    pub fn take_unreadable(&mut self, seq: u64, row: &OutboxRow, why: impl Display) {
        self.unreadable.push((seq, row.clone(), why.to_string()));
        self.done.push(seq);
    }

    /// The dead letters of rows that cannot be read.
    pub fn unreadable(&self, queue: &OutboxQueue, capability: &str, now: u64) -> Vec<DeadLetter> {
        let letter = |(seq, row, why): &(u64, OutboxRow, String)| {
            let id = format!("outbox-{queue}/{seq}");
            tracing::error!(capability, id, why, "a message in the outbox cannot be read: it is a dead letter now");
            let why = format!("what the outbox has kept is no message: {why}");
            let letter = DeadLetter::unreadable(id, capability, why, row.record.clone());
            DeadLetter { first_at_ms: now, dead_at_ms: now, ..letter }
        };
        self.unreadable.iter().map(letter).collect()
    }

    /// The rows of what is retained. An inbox takes nothing that it may have forgotten, so nothing is retained for longer.
    pub fn retained(&self, most_hours: u64) -> Vec<RetainedEvent> {
        let most = Duration::from_hours(most_hours).as_millis() as u64;
        let row = |(seq, message): &(u64, OutgoingMessage)| RetainedEvent {
            seq: *seq,
            event: message.name.to_string(),
            until_ms: message.retained.unwrap_or(0).min(message.at.saturating_add(most)),
            record: message.record.clone(),
        };
        self.retained.iter().map(row).collect()
    }

    /// The dead letters of subscribers that had no room, kept by the publisher.
    pub fn refused(&self, now: u64) -> Vec<DeadLetter> {
        self.dead.iter().map(|(subscriber, message)| refused(subscriber, message, now)).collect()
    }
}

/// The dead letter of a subscriber that had no room, kept by the publisher.
fn refused(subscriber: &str, message: &OutgoingMessage, now: u64) -> DeadLetter {
    let record = Record::decode(&message.record).ok();
    let is_ordered = |r: &Record| r.key.is_some() && r.not_before.is_none_or(|at| at <= now);
    let ordered = record.as_ref().is_some_and(is_ordered);
    DeadLetter {
        id: message.id.to_string(),
        partition: 0,
        order_key: if ordered { message.order.to_string() } else { message.id.to_string() },
        ordered,
        capability: subscriber.into(),
        name: message.name.to_string(),
        reason: DeadReason::Full,
        attempts: 0,
        error: Some("the subscriber had no room for it".into()),
        trace: record.map(|record| record.trace).unwrap_or_default(),
        first_at_ms: message.at,
        dead_at_ms: now,
        held: false,
        record: message.record.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use essaim_protocol::record::sample as record;

    #[test]
    fn a_dead_letter_for_want_of_room_says_what_its_record_says() {
        let of = |record: &Record| {
            let message =
                OutgoingMessage::read(record.clone(), &record.encode().unwrap(), OutgoingKind::EventFor("till".into()));
            let DeadLetter { capability, order_key, ordered, trace, first_at_ms, dead_at_ms, .. } =
                refused("till", &message, 7);
            assert_eq!((capability.as_str(), first_at_ms, dead_at_ms), ("till", 1, 7));
            (order_key, ordered, trace)
        };
        let traced = |key, not_before| Record { trace: "00-ab-cd-01".into(), not_before, ..record(1, key) };
        let (trace, id) = ("00-ab-cd-01".to_string(), traced(None, None).id.to_string());
        assert_eq!(of(&traced(Some("a"), None)), ("a".into(), true, trace.clone()));
        assert_eq!(of(&traced(None, None)), (id.clone(), false, trace.clone()));
        assert_eq!(of(&traced(Some("a"), Some(8))), (id, false, trace), "what is not due is in no order");
    }
}
