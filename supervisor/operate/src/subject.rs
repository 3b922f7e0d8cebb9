//! What is kept of a subject, such as a user: hosts find it in their databases and in the log, the node that stores message records in
//! its file; and its erasure.
//!
//! What is still to be applied is found and stays, unless parked messages are to go too: it may be the very message by which a
//! capability forgets the subject.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::text::cut;
use essaim_contract::Failure;
use essaim_core::node::bus::Bus;
use essaim_protocol::log::{Entry, Partition, Position, Reading};
use essaim_protocol::record::{Batch, Control, Record};
use essaim_store::tables::mentions::{self, KeptIn, Subject};
use serde::{Deserialize, Serialize};

use crate::api::*;
use crate::dead_letters::{failed, unanswered};
use crate::host::HostOperator;
use crate::node_ask::{NodeAsk, ask_node};
use crate::operation::{ErasedHere, LetterSelection, Operation};
use crate::requests::{Operator, OperatorRequest, Refusal};

/// Entries of a partition that are read at a time.
const ENTRIES_AT_ONCE: u32 = 100;
/// Characters of a subject in the audit.
const LONGEST_IN_AUDIT: usize = 200;
/// Letters that are asked of the log at a time.
const LETTERS_AT_ONCE: u32 = 128;

impl OperatorRequest for FindSubject {
    async fn answer(self, operator: &Operator) -> Result<KeptOfSubject, Refusal> {
        let subject = named(self.subject)?;
        let mut found = KeptOfSubject::default();
        for capability in operator.capabilities().await? {
            let asked = Operation::FindSubject(subject.clone());
            match operator.ask_host::<Vec<KeptRecord>>(&capability, &asked).await {
                Ok(kept) => {
                    found.more |= kept.len() >= MOST_KEPT as usize;
                    found.kept.extend(kept);
                }
                Err(why) => found.away.push(Away { capability, why }),
            }
        }
        found.records = operator.records_of(&subject, false, &mut found.away).await;
        Ok(found)
    }
}

impl OperatorRequest for EraseSubject {
    async fn answer(self, operator: &Operator) -> Result<ErasedSubject, Refusal> {
        let (subject, parked) = (named(self.subject)?, self.parked);
        let capabilities = operator.capabilities_to_change().await?;
        let too = if parked { ", parked messages too" } else { "" };
        let act = format!("erases what is kept of the subject {}{too}", cut(&subject, LONGEST_IN_AUDIT));
        let erase = async {
            let mut erased = ErasedSubject::default();
            for capability in capabilities {
                let asked = Operation::EraseSubject { subject: subject.clone(), parked };
                match operator.ask_host::<ErasedHere>(&capability, &asked).await {
                    Ok(here) => {
                        erased.dead += here.dead;
                        erased.retained += here.retained;
                        erased.parked += here.parked;
                        erased.refused.extend(here.refused);
                    }
                    Err(why) => erased.away.push(Away { capability, why }),
                }
            }
            erased.records = operator.records_of(&subject, true, &mut erased.away).await;
            Ok(erased)
        };
        operator.audited(act, erase).await
    }
}

fn named(subject: String) -> Result<String, Refusal> {
    if subject.trim().is_empty() {
        return Err(Refusal::Wrong("name the subject: the id of the user, for example".into()));
    }
    Ok(subject)
}

impl Operator {
    /// How many stored message records there are of a subject, or were until now.
    async fn records_of(&self, subject: &str, erase: bool, away: &mut Vec<Away>) -> u64 {
        let Some(node) = &self.store_node else { return 0 };
        match ask_node(&self.bus, node, &RecordsOf { subject: subject.into(), erase }).await {
            Ok(records) => records,
            Err(why) => {
                away.push(Away { capability: format!("node {node}, which stores message records"), why });
                0
            }
        }
    }
}

/// Asks the node that stores message records for those of a subject.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordsOf {
    subject: String,
    erase: bool,
}

impl NodeAsk for RecordsOf {
    const NAME: &'static str = "essaim.records-of.v1";
    type Answer = u64;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<u64, String> {
        let gathered = bus.gathered.as_ref().ok_or("it stores no records")?;
        let subject = Subject::of(&self.subject);
        let records = match self.erase {
            false => gathered.count_of(&subject).await,
            true => gathered.erase(&subject).await,
        };
        records.map_err(|error| error.to_string())
    }
}

impl HostOperator {
    /// What this host keeps of a subject; of each place a page.
    pub async fn find_subject(&self, subject: &str) -> Result<Vec<KeptRecord>, Failure> {
        let (subject, mut found) = (Subject::of(subject), Vec::new());
        if let Some(database) = self.host.database() {
            for (kept, place) in [
                (KeptIn::Dead, "dead"),
                (KeptIn::Parked, "parked"),
                (KeptIn::Retained, "retained"),
                (KeptIn::Outbox, "outbox"),
            ] {
                let rows = mentions::find(database.reads(), kept, &subject, MOST_KEPT).await.map_err(failed)?;
                found.extend(rows.iter().map(|row| self.kept(place, Record::decode(&row.record).ok())));
            }
        }
        for (_, bytes) in self.letters_of_log(&subject).await? {
            found.push(self.kept("dead", crate::dead_letters::record_in(&bytes)));
        }
        self.find_in_log(&subject, &mut found).await?;
        Ok(found)
    }

    /// Erases it: dead letters, retained events and, if they are to go too, parked messages.
    pub async fn erase_subject(&self, subject: &str, parked: bool) -> Result<ErasedHere, Failure> {
        let (subject, mut erased) = (Subject::of(subject), ErasedHere::default());
        let mut letters: BTreeSet<String> =
            self.letters_of_log(&subject).await?.into_iter().map(|(id, _)| id).collect();
        if let Some(database) = self.host.database() {
            let rows = mentions::find(database.reads(), KeptIn::Dead, &subject, MOST_KEPT).await.map_err(failed)?;
            letters.extend(rows.into_iter().map(|row| row.row));
            let tx = database.begin().await.map_err(failed)?;
            erased.retained = mentions::erase_retained(&tx, &subject).await.map_err(failed)?;
            if parked {
                erased.parked = mentions::erase_parked(&tx, &subject).await.map_err(failed)?;
            }
            tx.commit().await.map_err(failed)?;
        }
        let selection = LetterSelection { ids: letters.into_iter().collect(), capability: None };
        let dropped = self.deal_with(&selection, Control::Drop).await?;
        erased.dead = dropped.done.len() as u64;
        erased.refused = dropped.refused.into_iter().map(|letter| format!("{}: {}", letter.id, letter.why)).collect();
        Ok(erased)
    }

    /// The dead letters of a capability without a database that mention a subject.
    async fn letters_of_log(&self, subject: &Subject) -> Result<Vec<(String, bytes::Bytes)>, Failure> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let page =
                self.durable.log.dead(&self.host.name, from.as_deref(), LETTERS_AT_ONCE).await.map_err(unanswered)?;
            found.extend(page.letters.into_iter().filter(|(_, bytes)| subject.is_in(bytes)));
            from = page.next;
            if from.is_none() || found.len() >= MOST_KEPT as usize {
                return Ok(found);
            }
        }
    }

    /// Messages that wait in the log.
    async fn find_in_log(&self, subject: &Subject, found: &mut Vec<KeptRecord>) -> Result<(), Failure> {
        let registry = self.durable.log.registry().await.map_err(unanswered)?;
        for number in 0..registry.partitions.get(&*self.host.name).map_or(0, |partitions| *partitions) {
            let partition = Partition { capability: self.host.name.clone(), number };
            let mut after = Position::default();
            loop {
                let reading = Reading { partition: partition.clone(), after, most: ENTRIES_AT_ONCE };
                let read = self.durable.log.read(&[reading], Duration::ZERO).await.map_err(unanswered)?;
                let entries: Vec<Entry> = read.into_iter().flat_map(|(_, entries)| entries).collect();
                let Some(last) = entries.last() else { break };
                after = last.position;
                for entry in entries.iter().filter(|entry| subject.is_in(&entry.batch)) {
                    let (records, _) = Batch::read(&entry.batch, entry.count);
                    let mentions = |record: &Record| record.encode().is_ok_and(|bytes| subject.is_in(&bytes));
                    found.extend(records.into_iter().filter(mentions).map(|record| self.kept("log", Some(record))));
                }
                if found.len() >= MOST_KEPT as usize {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn kept(&self, place: &str, record: Option<Record>) -> KeptRecord {
        let (name, id) = record.map(|record| (record.name, record.id.to_string())).unwrap_or_default();
        KeptRecord { capability: self.host.name.to_string(), place: place.into(), name, id }
    }
}
