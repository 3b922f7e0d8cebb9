//! The dead letters of one host, whichever place keeps them: its database those of its partitions and those of subscribers
//! that had no room for its events, the log those of a capability without a database and what nobody could read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use essaim_base::codec;
use essaim_base::text::cut;
use essaim_contract::{Failure, FailureKind};
use essaim_core::local::declared::DeclaredMessage;
use essaim_durable::dead::{LogDeadLetter, RefusedLetter};
use essaim_protocol::keys::ClusterKeys;
use essaim_protocol::log::LogError;
use essaim_protocol::record::{NotOpened, Record};
use essaim_store::TxError;
use essaim_store::tables::dead::{self, DeadLetter, DeadLetterCursor, DeadLetterFilter, DeadReason};
use sea_orm::DbErr;

use crate::api::{DeadLetterDetail, DeadLetterSummary, DeadPosition, editable};
use crate::host::HostOperator;
use crate::operation::DeadFilter;
use crate::payload;

/// Letters that are asked of the log at a time.
const LOG_PAGE: u32 = 128;

/// Characters of an error in a list.
const LONGEST_ERROR: usize = 1_000;

/// A dead letter and who keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocatedLetter {
    pub letter: DeadLetter,
    pub location: LetterLocation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LetterLocation {
    Database,
    /// The log, as these bytes.
    Log(Bytes),
}

impl LocatedLetter {
    /// How operators see it among others: its error may be as long as its handler likes.
    pub fn summary(&self, kept_by: &str) -> DeadLetterSummary {
        let l = &self.letter;
        DeadLetterSummary {
            id: l.id.clone(),
            capability: l.capability.clone(),
            kept_by: kept_by.into(),
            name: l.name.clone(),
            key: l.ordered.then(|| l.order_key.clone()),
            reason: l.reason.as_str().into(),
            attempts: l.attempts,
            error: l.error.as_deref().map(|error| cut(error, LONGEST_ERROR)),
            trace: l.trace.clone(),
            sent_at_ms: l.first_at_ms,
            dead_at_ms: l.dead_at_ms,
            held: l.held,
        }
    }

    /// Whether it is kept under the id of its message.
    pub fn has_id_of_message(&self) -> bool {
        Record::decode(&self.letter.record).is_ok_and(|record| record.id.as_str() == self.letter.id)
    }

    /// Its message, to be handled again.
    ///
    /// # Errors
    /// Why it is not to be, in words: it cannot be read, or no node has stored it.
    pub fn open(&self, keys: &ClusterKeys) -> Result<Record, String> {
        let opened = match &self.location {
            // The log's own are signed whole.
            LetterLocation::Log(bytes) if codec::decode::<LogDeadLetter>(bytes).is_ok() => {
                let signed = keys.check_signed(bytes).map_err(NotOpened::from);
                signed.and_then(|()| Ok(Record::decode(&self.letter.record)?))
            }
            _ => Record::open(&self.letter.record, keys),
        };
        opened.map_err(|why| match why {
            NotOpened::Unreadable(_) => "it cannot be read: it can only be dropped".into(),
            NotOpened::Distrusted(why) => format!("{why}; see docs/security.md, or drop it"),
        })
    }

    /// The same, with what is in it and the whole error.
    /// Its payload is read as `declared` says, and shown without secrets.
    pub fn shown(&self, kept_by: &str, declared: Option<&DeclaredMessage>) -> DeadLetterDetail {
        let letter = DeadLetterSummary { error: self.letter.error.clone(), ..self.summary(kept_by) };
        let json = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
        match Record::decode(&self.letter.record) {
            Ok(record) => {
                let payload = payload::of(&record.body, declared);
                let is_own = self.letter.capability == kept_by && declared.is_some();
                DeadLetterDetail {
                    letter,
                    editable: editable(&payload).filter(|_| is_own),
                    payload,
                    principal: json(serde_json::to_value(&record.principal)),
                    metadata: json(serde_json::to_value(&record.meta)),
                }
            }
            // Not even its form can be read: all bytes are shown.
            Err(_) => {
                let (principal, metadata) = Default::default();
                let payload = payload::bytes(&self.letter.record);
                DeadLetterDetail { letter, payload, editable: None, principal, metadata }
            }
        }
    }
}

/// The record in a letter that the log keeps, if it can be read.
pub(crate) fn record_in(bytes: &Bytes) -> Option<Record> {
    codec::decode::<LogDeadLetter>(bytes).ok().map(|letter| letter.record)
}

/// A letter as the log keeps it.
fn of_log(capability: &str, id: String, bytes: &Bytes) -> LocatedLetter {
    let letter = match codec::decode::<LogDeadLetter>(bytes) {
        Ok(LogDeadLetter { record, reason, attempts, error, at }) => DeadLetter {
            id,
            capability: capability.into(),
            partition: 0,
            order_key: record.order().into(),
            ordered: record.key.is_some(),
            name: record.name.clone(),
            reason,
            attempts,
            error: Some(error),
            trace: record.trace.clone(),
            first_at_ms: record.at,
            dead_at_ms: at,
            held: false,
            record: record.encode().unwrap_or_default(),
        },
        Err(_) => match codec::decode(bytes) {
            Ok(RefusedLetter { refused, why, at }) => {
                DeadLetter { dead_at_ms: at, ..DeadLetter::unreadable(id, capability, why, refused.into_vec()) }
            }
            // A batch whose rest could not be read is kept as it is.
            Err(_) => {
                let why = "the rest of a stored batch could not be read".into();
                DeadLetter::unreadable(id, capability, why, bytes.to_vec())
            }
        },
    };
    LocatedLetter { letter, location: LetterLocation::Log(bytes.clone()) }
}

impl HostOperator {
    /// Dead letters in the order of their deaths, as many as go into one answer; none if there are no more.
    ///
    /// The log has them in no order: it is read from end to end, and of what it has only the page is kept.
    pub async fn list(&self, wanted: &DeadFilter) -> Result<Vec<DeadLetterSummary>, Failure> {
        let mut found = BTreeMap::new();
        let most = wanted.most as usize;
        if let Some(database) = self.host.database() {
            let filter = DeadLetterFilter {
                capability: wanted.capability.clone(),
                reason: wanted.reason.as_deref().and_then(DeadReason::parse),
                name: wanted.name.clone(),
                until_ms: wanted.until_ms,
                after: wanted.after.as_ref().map(cursor),
                most: wanted.most,
            };
            for letter in dead::list(database.reads(), &filter).await.map_err(failed)? {
                let located = LocatedLetter { letter, location: LetterLocation::Database };
                found.insert(located.letter.cursor(), located.summary(&self.host.name));
            }
        }
        let mut from = None;
        loop {
            let page = self.durable.log.dead(&self.host.name, from.as_deref(), LOG_PAGE).await.map_err(unanswered)?;
            for (id, bytes) in page.letters {
                let located = of_log(&self.host.name, id, &bytes);
                if matches(&located.letter, wanted) {
                    found.insert(located.letter.cursor(), located.summary(&self.host.name));
                    if found.len() > most {
                        found.pop_last();
                    }
                }
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let mut bytes = 0;
        let mut fits = |letter: &DeadLetterSummary| {
            let first = bytes == 0;
            bytes += codec::encode(letter).map_or(0, |encoded| encoded.len() as u64);
            first || bytes <= self.most_bytes
        };
        Ok(found.into_values().take(most).take_while(|letter| fits(letter)).collect())
    }

    /// The dead letters with these ids, of this capability alone if one is named; each once, however often its id is given.
    pub async fn find(&self, ids: &[String], capability: Option<&str>) -> Result<Vec<LocatedLetter>, Failure> {
        let mut found = Vec::new();
        let ids: Vec<String> = ids.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        if let Some(database) = self.host.database() {
            for id in &ids {
                let letters = dead::find(database.reads(), id).await.map_err(failed)?;
                found.extend(
                    letters.into_iter().map(|letter| LocatedLetter { letter, location: LetterLocation::Database }),
                );
            }
        }
        let letters = self.durable.log.dead_with(&self.host.name, &ids).await.map_err(unanswered)?;
        found.extend(letters.into_iter().map(|(id, bytes)| of_log(&self.host.name, id, &bytes)));
        found.retain(|located| capability.is_none_or(|c| *c == located.letter.capability));
        Ok(found)
    }
}

fn cursor(place: &DeadPosition) -> DeadLetterCursor {
    DeadLetterCursor { dead_at_ms: place.dead_at_ms, id: place.id.clone(), capability: place.capability.clone() }
}

fn matches(letter: &DeadLetter, wanted: &DeadFilter) -> bool {
    wanted.capability.as_ref().is_none_or(|c| *c == letter.capability)
        && wanted.reason.as_deref().is_none_or(|r| r == letter.reason.as_str())
        && wanted.name.as_ref().is_none_or(|n| *n == letter.name)
        && wanted.until_ms.is_none_or(|until| letter.dead_at_ms <= until)
        && wanted.after.as_ref().is_none_or(|after| letter.cursor() > cursor(after))
}

/// The database did not do what was asked; nothing has changed.
pub(crate) fn failed(error: impl Into<TxError>) -> Failure {
    let error: TxError = error.into();
    let away = matches!(&error, TxError::Database(DbErr::Conn(_) | DbErr::ConnectionAcquire(_)));
    let kind = if away { FailureKind::Unavailable } else { FailureKind::Database };
    Failure { kind, detail: error.to_string() }
}

/// The log did not answer.
pub(crate) fn unanswered(error: LogError) -> Failure {
    Failure { kind: FailureKind::Unavailable, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use essaim_durable::dead::encode_for_log;
    use essaim_protocol::record::sample as record;

    #[test]
    fn a_letter_of_the_log_is_seen_as_those_of_databases_are() {
        let record = record(7, Some("k"));
        let bytes = encode_for_log(&ClusterKeys::default(), &record, (DeadReason::Rejected, 2, "no"), 99);
        let located = of_log("shop", record.id.to_string(), &bytes);
        let seen = located.summary("shop");
        assert_eq!((seen.id.as_str(), seen.key.as_deref(), seen.reason.as_str()), ("test/7", Some("k"), "rejected"));
        assert_eq!((seen.dead_at_ms, seen.attempts, seen.error.as_deref()), (99, 2, Some("no")));
        assert_eq!(Record::decode(&located.letter.record).unwrap(), record);
    }

    #[test]
    fn a_long_error_is_cut_in_a_list_and_shown_whole() {
        let (record, error) = (record(7, None), "é".repeat(LONGEST_ERROR + 1));
        let located = of_log(
            "shop",
            "test/7".into(),
            &encode_for_log(&ClusterKeys::default(), &record, (DeadReason::Rejected, 2, &error), 99),
        );
        assert_eq!(located.summary("shop").error, Some(format!("{}…", "é".repeat(LONGEST_ERROR))));
        assert_eq!(located.shown("shop", None).letter.error, Some(error));
    }

    #[test]
    fn what_nobody_can_read_is_a_letter_too() {
        let located = of_log("shop", "unreadable/3".into(), &Bytes::from_static(&[0xc1, 1]));
        assert_eq!((located.letter.reason, located.letter.id.as_str()), (DeadReason::Unreadable, "unreadable/3"));
        assert_eq!(located.shown("shop", None).payload, crate::api::Payload::Hex("c101".into()));
    }

    #[test]
    fn a_filter_applies_to_letters_of_the_log() {
        let record = record(7, None);
        let letter = of_log(
            "shop",
            record.id.to_string(),
            &encode_for_log(&ClusterKeys::default(), &record, (DeadReason::Attempts, 1, "no"), 99),
        )
        .letter;
        assert!(matches(&letter, &DeadFilter::default()));
        let place =
            DeadPosition { kept_by: "shop".into(), dead_at_ms: 99, id: "test/7".into(), capability: "shop".into() };
        for (other, expected) in [
            (DeadFilter { reason: Some("attempts".into()), ..DeadFilter::default() }, true),
            (DeadFilter { reason: Some("full".into()), ..DeadFilter::default() }, false),
            (DeadFilter { name: Some("shop.buy.v1".into()), ..DeadFilter::default() }, false),
            (DeadFilter { until_ms: Some(98), ..DeadFilter::default() }, false),
            (DeadFilter { after: Some(place.clone()), ..DeadFilter::default() }, false),
            (DeadFilter { after: Some(DeadPosition { dead_at_ms: 98, ..place }), ..DeadFilter::default() }, true),
        ] {
            assert_eq!(matches(&letter, &other), expected, "{other:?}");
        }
    }
}
