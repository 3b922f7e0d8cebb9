//! Parked messages of a host: they are listed, tried now, and found by id or key.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use essaim_contract::Failure;
use essaim_durable::OutboxQueue;
use essaim_durable::outbox::QueueKind;
use essaim_durable::send::message::{OutgoingKind, OutgoingMessage};
use essaim_protocol::record::{Control, Record};
use essaim_store::Reads;
use essaim_store::tables::outbox::{self, OutboxRow};
use essaim_store::tables::parked::{self, ParkedMessage};
use essaim_store::tables::{dead, inbox};
use serde_bytes::ByteBuf;

use crate::api::*;
use crate::dead_letters::failed;
use crate::host::HostOperator;
use crate::operation::{MessagePlaces, Operation, ParkedPage};
use crate::requests::{Operator, OperatorRequest, Refusal};

/// Messages of one key that are looked at.
const MOST_OF_A_KEY: u32 = 100;
/// Messages of each queue of an outbox that are looked at.
const MOST_OF_AN_OUTBOX: u32 = 1_000;
/// Messages of an outbox that are counted.
const MOST_COUNTED: u64 = 10_000;

impl OperatorRequest for ListParked {
    async fn answer(self, operator: &Operator) -> Result<ParkedMessages, Refusal> {
        let most = if self.most == 0 { MOST_PARKED } else { self.most.min(MOST_PARKED) };
        let mut found = ParkedMessages { asked_at_ms: operator.env.wall_ms(), ..ParkedMessages::default() };
        let is_wanted = |name: &String| self.capability.as_ref().is_none_or(|only| only == name);
        for capability in operator.capabilities().await?.into_iter().filter(is_wanted) {
            // One more tells whether there are more.
            let page = ParkedPage { after: (0, 0), most: most + 1 };
            match operator.ask_host::<Vec<ParkedLine>>(&capability, &Operation::ListParked(page)).await {
                Ok(lines) => {
                    found.more |= lines.len() as u32 > most;
                    found.messages.extend(lines.into_iter().take(most as usize));
                }
                Err(why) => found.away.push(Away { capability, why }),
            }
        }
        Ok(found)
    }
}

impl OperatorRequest for RetryParked {
    async fn answer(self, operator: &Operator) -> Result<RetriedParked, Refusal> {
        if self.ids.len() > MOST_PARKED as usize {
            let wrong = format!("{} ids are more than {MOST_PARKED} in one request", self.ids.len());
            return Err(Refusal::Wrong(wrong));
        }
        let capabilities = operator.capabilities_to_change().await?;
        let retry = async {
            let mut retried = RetriedParked::default();
            for capability in capabilities {
                match operator.ask_host::<Vec<String>>(&capability, &Operation::RetryParked(self.ids.clone())).await {
                    Ok(ids) => retried.ids.extend(ids),
                    Err(why) => retried.away.push(Away { capability, why }),
                }
            }
            Ok(retried)
        };
        operator.audited(format!("retries parked messages {}", listed(&self.ids)), retry).await
    }
}

impl HostOperator {
    /// Its parked messages behind a place.
    pub async fn list_parked(&self, page: &ParkedPage) -> Result<Vec<ParkedLine>, Failure> {
        let Some(database) = self.host.database() else { return Ok(Vec::new()) };
        let rows = parked::list(database.reads(), page.after, page.most.min(MOST_PARKED + 1)).await.map_err(failed)?;
        self.lines(&rows).await
    }

    /// Asks the owners of these parked messages to try them now; which there are.
    pub async fn retry_parked(&self, ids: &[String]) -> Result<Vec<String>, Failure> {
        let Some(database) = self.host.database() else { return Ok(Vec::new()) };
        let (mut found, mut sending) = (Vec::new(), Vec::new());
        for id in ids {
            let rows = parked::find(database.reads(), id, 1).await.map_err(failed)?;
            // Of one that nobody believes only its owner decides.
            let keys = &self.durable.trust.keys;
            let read = |row: &ParkedMessage| Some((row.due_ms, Record::open(&row.record, keys).ok()?));
            let Some((due_ms, record)) = rows.iter().filter(|row| row.id == *id).find_map(read) else { continue };
            let (control, seen, at) = (Some(Control::Replay), Some(due_ms), self.env.wall_ms());
            let record = Record { control, seen, at, not_before: None, expires: None, body: ByteBuf::new(), ..record };
            let sent = OutgoingMessage::of(record, self.host.name.clone(), OutgoingKind::Command, keys);
            if let Ok(message) = sent {
                sending.push(message);
                found.push(id.clone());
            }
        }
        let sent = self.durable.sender.send_all(sending).await;
        let sent = found.into_iter().zip(sent).filter(|(_, sent)| sent.error.is_none());
        Ok(sent.map(|(id, _)| id).collect())
    }

    /// Where messages of this id, or with this key, are.
    pub async fn locate(&self, id_or_key: &str) -> Result<MessagePlaces, Failure> {
        let Some(database) = self.host.database() else { return Ok(MessagePlaces::default()) };
        let reads = database.reads();
        let rows = parked::find(reads, id_or_key, MOST_OF_A_KEY).await.map_err(failed)?;
        // What it waits behind is known from the others of its key alone.
        let rows = match rows.first().filter(|row| row.id == id_or_key) {
            Some(row) => parked::find(reads, &row.order_key, MOST_OF_A_KEY).await.map_err(failed)?,
            None => rows,
        };
        let is_wanted = |line: &ParkedLine| line.id == id_or_key || line.key == id_or_key;
        let dead = self.find(&[id_or_key.to_string()], None).await?;
        let mut overflows = BTreeMap::new();
        for name in outbox::queues(reads).await.map_err(failed)? {
            if let Some(QueueKind::Overflow { subscriber, .. }) = OutboxQueue::parse(&name).map(|q| q.kind().clone()) {
                let waiting = outbox::extent(reads, &name, MOST_COUNTED).await.map_err(failed)?.count;
                *overflows.entry(subscriber.to_string()).or_default() += waiting;
            }
        }
        Ok(MessagePlaces {
            parked: self.lines(&rows).await?.into_iter().filter(is_wanted).collect(),
            dead: dead.iter().map(|located| located.summary(&self.host.name)).collect(),
            settled: inbox::seen(reads, &[id_or_key]).await.map_err(failed)?.contains_key(id_or_key),
            overflows,
            before_in_outbox: self.before_in_outbox(reads, id_or_key).await?,
            stalled: self.host.outbox().map(|outbox| outbox.stalled()).unwrap_or_default(),
        })
    }

    /// How many messages of its queue are to leave the outbox before a message of this id.
    async fn before_in_outbox(&self, reads: &Reads, id: &str) -> Result<Option<u64>, Failure> {
        for queue in outbox::queues(reads).await.map_err(failed)? {
            let rows = outbox::load(reads, &queue, 0, MOST_OF_AN_OUTBOX).await.map_err(failed)?;
            let is_wanted =
                |row: &OutboxRow| Record::decode(&row.record).is_ok_and(|record| record.id.to_string() == id);
            if let Some(before) = rows.iter().position(|(_, row)| is_wanted(row)) {
                return Ok(Some(before as u64));
            }
        }
        Ok(None)
    }

    async fn lines(&self, rows: &[ParkedMessage]) -> Result<Vec<ParkedLine>, Failure> {
        let mut held = HashSet::new();
        if let Some(database) = self.host.database() {
            for partition in rows.iter().map(|row| row.partition).collect::<BTreeSet<_>>() {
                let keys = dead::held_keys(database.reads(), &self.host.name, partition).await.map_err(failed)?;
                held.extend(keys.into_iter().map(|key| (partition, key)));
            }
        }
        let mut first = HashMap::<(u32, &str), &str>::new();
        let line = |row: &ParkedMessage, behind: Option<&str>| ParkedLine {
            id: row.id.clone(),
            capability: self.host.name.to_string(),
            name: Record::decode(&row.record).map(|record| record.name).unwrap_or_default(),
            partition: row.partition,
            seq: row.seq,
            key: row.order_key.clone(),
            attempts: row.attempts,
            due_ms: row.due_ms,
            error: row.error.clone(),
            behind: behind.map(Into::into),
            held: row.ordered && held.contains(&(row.partition, row.order_key.clone())),
        };
        Ok(rows
            .iter()
            .map(|row| {
                let behind = match row.ordered {
                    true => first.insert((row.partition, &row.order_key), &row.id),
                    false => None,
                };
                line(row, behind)
            })
            .collect())
    }
}
