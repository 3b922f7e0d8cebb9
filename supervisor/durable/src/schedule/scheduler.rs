//! Firing the schedules of one capability, by the owner of its partition 0.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::panic::panic_text;
use essaim_base::trace::TraceState;
use essaim_contract::{MessageId, SendError};
use essaim_protocol::log::Tally;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use essaim_store::tables::{fence, schedules};
use essaim_store::{Database, TxError};
use essaim_trace::Recorder;

use super::{Firings, Timetable, firings};
use crate::Durable;
use crate::outbox::Outbox;
use crate::partition::consumer::Hosted;
use crate::send::message::MessageContext;
use crate::trust::RecordTrust;

/// The partition whose owner fires.
const PARTITION: u32 = 0;

/// The schedules of one capability, as far as this host knows how far they have come.
pub struct Scheduler {
    env: Env,
    capability: Arc<str>,
    timetables: Arc<[Timetable]>,
    most_bytes: u64,
    trust: Arc<RecordTrust>,
    recorder: Arc<Recorder>,
    retention_ms: u64,
    /// The epoch of the ownership that the rest is known from.
    epoch: u64,
    progress: HashMap<&'static str, ScheduleProgress>,
}

/// One schedule on its way.
#[derive(Clone, Copy)]
struct ScheduleProgress {
    last_ms: u64,
    /// Its next moment; `None` if there is none any more.
    next_ms: Option<u64>,
}

impl Scheduler {
    pub fn new(durable: &Durable, hosted: &Hosted) -> Self {
        let retention = Duration::from_hours(durable.config.inbox_retention_hours);
        Self {
            env: durable.env.clone(),
            capability: hosted.handlers.capability().clone(),
            timetables: hosted.timetables.clone(),
            most_bytes: durable.most_bytes,
            trust: durable.trust.clone(),
            recorder: durable.recorder.clone(),
            retention_ms: retention.as_millis() as u64,
            epoch: 0,
            progress: HashMap::new(),
        }
    }

    /// Fires what is due, as the owner with this epoch.
    ///
    /// # Errors
    /// The database's; what is due stays due.
    pub async fn fire_due(&mut self, database: &Database, outbox: &Arc<Outbox>, epoch: u64) -> Result<(), TxError> {
        if self.timetables.is_empty() {
            return Ok(());
        }
        if self.epoch != epoch {
            if !self.load_progress(database, epoch).await? {
                return Ok(());
            }
            self.epoch = epoch;
        }
        let timetables = self.timetables.clone();
        for timetable in timetables.iter() {
            let now = self.env.wall_ms();
            let Some(clock) = self.progress.get(timetable.name()).copied() else { continue };
            if clock.next_ms.is_none_or(|next| next > now) {
                continue;
            }
            // What is in doubt is looked up again.
            let epoch = std::mem::take(&mut self.epoch);
            if !self.fire(database, outbox, timetable, clock.last_ms, now, epoch).await? {
                return Ok(());
            }
            self.epoch = epoch;
        }
        Ok(())
    }

    /// Finds how far the schedules have come. One that is new, or has changed, begins now.
    async fn load_progress(&mut self, database: &Database, epoch: u64) -> Result<bool, TxError> {
        let (known, now) = (schedules::read(database.own_reads()).await?, self.env.wall_ms());
        let tx = database.begin().await?;
        if !fence::advance(&tx, PARTITION, epoch, Tally::default()).await? {
            return Ok(false);
        }
        self.progress.clear();
        for timetable in self.timetables.iter() {
            let same = |s: &&schedules::ScheduleRow| s.name == timetable.name() && is_of(s, timetable);
            let last_ms = match known.iter().find(same) {
                Some(known) => known.planned_ms,
                None => {
                    schedules::set(&tx, &row(timetable, now)).await?;
                    now
                }
            };
            let next_ms = timetable.expression.after(last_ms);
            self.progress.insert(timetable.name(), ScheduleProgress { last_ms, next_ms });
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Sends the commands that are due, in one transaction with how far the schedule has come; `false` if another owner came.
    async fn fire(
        &mut self,
        database: &Database,
        outbox: &Arc<Outbox>,
        timetable: &Timetable,
        last_ms: u64,
        now: u64,
        epoch: u64,
    ) -> Result<bool, TxError> {
        let due = self.due(timetable, last_ms, now);
        let rows = self.commands(timetable, &due);
        let last_ms = due.planned_ms.last().copied().unwrap_or(last_ms);
        if !rows.is_empty() {
            let queue = outbox.own_queue();
            let tx = database.begin().await?;
            if !fence::advance(&tx, PARTITION, epoch, Tally::default()).await? {
                return Ok(false);
            }
            schedules::set(&tx, &row(timetable, last_ms)).await?;
            let first = outbox.reserve_numbers(queue, rows.len()).ok_or(TxError::Fenced)?;
            table::insert(&tx, queue, first, &rows).await?;
            let committed = tx.commit().await;
            match &committed {
                Err(TxError::CommitUnanswered(_)) => outbox.committed_perhaps(queue, rows.len()),
                _ => outbox.committed(queue, rows.len()),
            }
            committed?;
        }
        let next_ms = timetable.expression.after(last_ms.max(now));
        self.progress.insert(timetable.name(), ScheduleProgress { last_ms, next_ms });
        Ok(true)
    }

    fn due(&self, timetable: &Timetable, last_ms: u64, now: u64) -> Firings {
        let mut due = firings(&timetable.expression, timetable.missed(), last_ms, now);
        let found = due.planned_ms.len();
        // An id that is older than what inboxes remember would be a dead letter.
        let oldest = now.saturating_sub(self.retention_ms);
        due.planned_ms.retain(|planned| *planned > oldest);
        if due.left_out || due.planned_ms.len() < found {
            let (capability, schedule) = (&self.capability, timetable.name());
            tracing::warn!(%capability, schedule, "missed firings are left out: they are too many, or too old");
        }
        due
    }

    fn commands(&self, timetable: &Timetable, due: &Firings) -> Vec<OutboxRow> {
        let env = &self.env;
        let mut rows = Vec::with_capacity(due.planned_ms.len());
        for planned in &due.planned_ms {
            let head = head(&self.recorder, self.most_bytes, &self.trust);
            // Making the command runs code that is not ours.
            let made = catch_unwind(AssertUnwindSafe(|| timetable.message(&head, env, *planned)));
            let made = made.unwrap_or_else(|panic| {
                Err(SendError::NotStored { reason: format!("making it panicked: {}", panic_text(&*panic)) })
            });
            match made {
                Ok((_, message)) => rows.push(OutboxRow { event: false, target: None, record: message.record }),
                Err(error) => {
                    let (capability, schedule) = (&self.capability, timetable.name());
                    tracing::error!(%capability, schedule, %error, "a scheduled command cannot be written");
                }
            }
        }
        rows
    }
}

impl Durable {
    /// Sends the command of a schedule now, beside its set times; returns its id.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn fire(&self, timetable: &Timetable) -> Result<MessageId, SendError> {
        let head = head(&self.recorder, self.most_bytes, &self.trust);
        let (id, message) = timetable.message(&head, &self.env, self.env.wall_ms())?;
        self.sender.send(message).await?;
        Ok(id)
    }
}

/// Each firing begins a trace.
fn head(recorder: &Recorder, most_bytes: u64, trust: &RecordTrust) -> MessageContext {
    let (records, principal, metadata) = (None, None, None);
    MessageContext {
        trace: recorder.root(),
        records,
        trace_state: TraceState::default(),
        principal,
        metadata,
        most_bytes,
        keys: trust.keys.clone(),
    }
}

/// Whether a schedule has come that far by the same expression; from another one nothing was missed.
fn is_of(known: &schedules::ScheduleRow, timetable: &Timetable) -> bool {
    known.expression == timetable.cron() && known.zone == timetable.zone()
}

fn row(timetable: &Timetable, planned_ms: u64) -> schedules::ScheduleRow {
    schedules::ScheduleRow {
        name: timetable.name().into(),
        expression: timetable.cron().into(),
        zone: timetable.zone().into(),
        planned_ms,
    }
}
