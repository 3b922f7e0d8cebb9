//! A capability's host answers what operators ask of its durable messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::Call;
use essaim_base::{Env, codec};
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered, Unknown};
use essaim_core::local::host::Host;
use essaim_durable::Durable;
use essaim_protocol::frame::RawAnswer;
use essaim_protocol::log::{PartitionCount, Tally};
use essaim_protocol::record::Control;
use essaim_store::tables::{dead, ledger, log_gaps, outbox};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::api::{DurableReport, LedgerLine, LedgerSum, LogGap};
use crate::dead_letters::{failed, unanswered};
use crate::operation::{Operation, name_of};
use crate::requests::Operator;

/// What a rehearsal leaves of its deadline for its answer.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(1);

/// A host with what it needs to answer.
pub(crate) struct HostOperator {
    pub durable: Arc<Durable>,
    pub host: Arc<Host>,
    pub env: Env,
    /// The letters of one answer have about so many bytes at most, so that it can be sent to the node that asks.
    pub most_bytes: u64,
}

/// Answers an operation that is asked of a host of this node.
pub(crate) fn answer(
    operator: &Operator,
    host: &Arc<Host>,
    body: &[u8],
    call: Call,
) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let message = || name_of(&host.name);
    let operation: Operation =
        codec::decode(body).map_err(|e| NotDelivered::Undecodable { message: message(), detail: e.to_string() })?;
    let (began, env) = (operator.env.now(), operator.env.clone());
    let operator = HostOperator::of(operator, host)?;
    Ok(Box::pin(async move {
        match timeout_at(call.deadline, operator.perform(operation, call.deadline - ANSWER_TIME)).await {
            Ok(answer) => answer.map_err(AskError::Failed),
            Err(_) => {
                let running_ms = env.now().saturating_duration_since(began).as_millis() as u64;
                Err(AskError::Unknown(Unknown::TimedOut { running_ms, doing: String::new() }))
            }
        }
    }))
}

impl HostOperator {
    fn of(operator: &Operator, host: &Arc<Host>) -> Result<Self, NotDelivered> {
        let starting =
            |reason: &str| NotDelivered::Starting { capability: host.name.to_string(), reason: reason.into() };
        let durable = operator.durable.as_ref().ok_or_else(|| starting("its node keeps no durable messages"))?.clone();
        if !host.has_started() {
            return Err(starting("it has not started yet"));
        }
        let most_bytes = operator.most_bytes / 2;
        Ok(Self { durable, host: host.clone(), env: operator.env.clone(), most_bytes })
    }

    async fn perform(self, operation: Operation, deadline: Instant) -> Result<Vec<u8>, Failure> {
        match operation {
            Operation::List(wanted) => encoded(&self.list(&wanted).await?),
            Operation::Show(id) => {
                let found = self.find(&[id], None).await?;
                let shown: Vec<_> = found
                    .iter()
                    .map(|located| located.shown(&self.host.name, self.host.declared(&located.letter.name).as_ref()))
                    .collect();
                encoded(&shown)
            }
            Operation::Replay(selection) => encoded(&self.deal_with(&selection, Control::Replay).await?),
            Operation::Drop(selection) => encoded(&self.deal_with(&selection, Control::Drop).await?),
            Operation::CheckEdited(letter) => encoded(&self.check_edited(&letter).await?),
            Operation::ReplayEdited(letter) => encoded(&self.replay_edited(&letter).await?),
            Operation::Rehearse(letter) => encoded(&self.rehearse(&letter, deadline).await?),
            Operation::Ledger => encoded(&lines(&self.durable, &self.host).await?),
            Operation::ListParked(page) => encoded(&self.list_parked(&page).await?),
            Operation::RetryParked(ids) => encoded(&self.retry_parked(&ids).await?),
            Operation::ListSchedules => encoded(&self.list_schedules().await?),
            Operation::FireSchedule(name) => encoded(&self.fire_schedule(&name).await?),
            Operation::FindSubject(subject) => encoded(&self.find_subject(&subject).await?),
            Operation::EraseSubject { subject, parked } => encoded(&self.erase_subject(&subject, parked).await?),
            Operation::Locate(id_or_key) => encoded(&self.locate(&id_or_key).await?),
        }
    }
}

/// The fate of the messages of each partition of a capability, from the log and the database.
async fn lines(durable: &Durable, host: &Host) -> Result<Vec<LedgerLine>, Failure> {
    // The database first: what it has counted is acknowledged later, so that a message is seen twice rather than not.
    let (lines, gaps) = match host.database() {
        Some(database) => {
            let reads = database.reads();
            (ledger::read(reads).await.map_err(failed)?, log_gaps::read(reads).await.map_err(failed)?)
        }
        None => Default::default(),
    };
    let counts = durable.log.counts(&host.name).await.map_err(unanswered)?;
    let mut lines = ledger_lines(&host.name, &lines, &counts);
    for log_gaps::LogGap { partition, first, through, found_ms } in gaps {
        let of_partition = lines.iter_mut().find(|line| line.partition == partition);
        of_partition.into_iter().for_each(|line| line.gaps.push(LogGap { first, through, found_ms }));
    }
    Ok(lines)
}

/// The ledger of a capability, from what its database and the log have counted.
pub(crate) fn ledger_lines(
    capability: &str,
    lines: &[ledger::LedgerLine],
    counts: &[PartitionCount],
) -> Vec<LedgerLine> {
    let of_database: BTreeMap<_, _> = lines.iter().map(|line| (line.fence.partition, line)).collect();
    let line = |count: &PartitionCount| {
        let known = of_database.get(&count.number);
        let mut tally: Tally = count.tally;
        tally.add(known.map_or_else(Tally::default, |line| line.fence.tally));
        let Tally { handled, duplicates, dead, expired } = tally;
        LedgerLine {
            capability: capability.to_string(),
            partition: count.number,
            appended: count.appended,
            handled,
            duplicates,
            dead,
            expired,
            waiting: count.waiting,
            parked: known.map_or(0, |line| line.parked),
            before: known.map_or(0, |line| line.before),
            owner: count.owner.as_ref().map(|(host, _)| host.clone()),
            gaps: Vec::new(),
        }
    };
    counts.iter().map(line).collect()
}

/// How much of a capability's durable messages is where; `None` where it has none, or nobody says.
pub(crate) async fn report(durable: Option<&Arc<Durable>>, host: &Arc<Host>) -> Option<DurableReport> {
    let durable = durable?;
    if host.database().is_none() && !host.applies_durable() {
        return None;
    }
    let lines = lines(durable, host).await.ok()?;
    let own = lines.iter().filter(|line| line.owner.as_ref() == Some(&durable.host));
    let most = durable.config.partition_messages;
    let full = lines.iter().filter(|line| line.waiting + line.parked >= most);
    let mut report = DurableReport {
        waiting: lines.iter().map(|line| line.waiting).sum(),
        parked: lines.iter().map(|line| line.parked).sum(),
        partitions: own.map(|line| line.partition).collect(),
        full: full.map(|line| line.partition).collect(),
        stalled: host.outbox().map(|outbox| outbox.stalled()).unwrap_or_default(),
        ledger: LedgerSum::of(&lines),
        ..DurableReport::default()
    };
    report.dead = durable.log.dead_count(&host.name).await.ok()?;
    if let Some(database) = host.database() {
        let reads = database.reads();
        report.dead += dead::count(reads).await.ok()?.values().sum::<u64>();
        report.outbox = outbox::count(reads, DurableReport::OUTBOX_COUNTED + 1).await.ok()?;
    }
    Some(report)
}

fn encoded<T: Serialize>(answer: &T) -> Result<Vec<u8>, Failure> {
    codec::encode(answer).map_err(|e| Failure { kind: FailureKind::Error, detail: e.to_string() })
}
