//! What a capability sends itself at set times.
//!
//! The owner of the capability's partition 0 fires, so that a cluster fires once; and each firing is a command whose id
//! carries its planned moment, so that the inbox makes even a firing that was repeated once. How far a schedule has come
//! is written in one transaction with the commands, under the owner's epoch.
//!
//! # Layout
//! - here: what a developer declares. `rhythm`: cron expressions in time zones. `firing`: which firings are due.

mod cron;
mod firing;
pub mod scheduler;

use std::sync::Arc;

use essaim_contract::{Command, MessageId, SendError};

pub use self::cron::{CronError, CronExpression};
pub use self::firing::{Firings, firings};
use crate::send::message::{MessageContext, OutgoingMessage};
use crate::send::options::SendOptions;
use essaim_base::Env;

/// When a capability sends itself a command; see `Handles::schedule`.
///
/// The expression is cron's: minute, hour, day of the month, month and day of the week, with a field for seconds before
/// them if wanted. It is read in the time zone. A time that a change of the clocks leaves out fires right after the gap,
/// and a time that comes twice fires the first time; but where the hour, the minute or the second has `*` or a step, what
/// is left out is left out, and what comes twice fires twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    name: &'static str,
    cron: String,
    zone: String,
    missed: Missed,
}

/// The policy for firings that came while no node hosted the capability. A firing is missed when it is more than a minute
/// late: a restart or a handover within that time loses none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missed {
    /// They are left out.
    Skip,
    /// The last of them is made up for.
    #[default]
    Once,
    /// All of them are made up for, in order: the last 1,000 if there are more.
    All,
}

impl Schedule {
    /// A schedule of this name, unique in its capability, such as `Schedule::new("nightly", "0 3 * * *")`; in UTC, and of
    /// what was missed the last firing is made up for.
    pub fn new(name: &'static str, cron: impl Into<String>) -> Self {
        Self { name, cron: cron.into(), zone: "UTC".into(), missed: Missed::default() }
    }

    /// This schedule in a time zone, such as `Europe/Paris`.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = name.into();
        self
    }

    /// This schedule, with the policy for missed firings.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }
}

/// Why a capability cannot keep a schedule, as the rest of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("its name must be of a-z, 0-9 and -, and not long")]
    Name,
    #[error("another one has that name")]
    NameTaken,
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The capability could not remember how far the schedule has come.
    #[error("it has no database, which a schedule needs: declare one in `Actor::schema`")]
    NoDatabase,
    /// The capability has no handler for the command of this name.
    #[error("it does not apply `{0}`: add `h.command` to `Actor::handles`")]
    NotApplied(String),
}

/// A schedule that can be kept.
#[derive(Clone)]
pub struct Timetable {
    pub schedule: Schedule,
    pub expression: CronExpression,
    capability: &'static str,
    write: CommandWriter,
}

/// Writes the command of one firing.
type CommandWriter =
    Arc<dyn Fn(&MessageContext, &Env, SendOptions) -> Result<OutgoingMessage, SendError> + Send + Sync>;

/// A schedule as it was declared.
pub struct DeclaredSchedule {
    schedule: Schedule,
    message: Arc<str>,
    write: CommandWriter,
}

impl DeclaredSchedule {
    pub fn new<M: Command>(schedule: Schedule, make: impl Fn() -> M + Send + Sync + 'static) -> Self {
        let write: CommandWriter = Arc::new(move |head, env, options| head.command(env, &make(), options));
        Self { schedule, message: essaim_contract::wire_name::<M>().into(), write }
    }

    pub fn name(&self) -> &'static str {
        self.schedule.name
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the capability keeps of it.
    ///
    /// # Errors
    /// What of it cannot be understood.
    pub fn read(&self, capability: &'static str) -> Result<Timetable, ScheduleError> {
        let Schedule { name, cron, zone, .. } = &self.schedule;
        let fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || !name.bytes().all(fit) || Timetable::id_of(capability, name, u64::MAX).is_none() {
            return Err(ScheduleError::Name);
        }
        let expression = CronExpression::parse(cron, zone)?;
        Ok(Timetable { schedule: self.schedule.clone(), expression, capability, write: self.write.clone() })
    }
}

impl Timetable {
    pub fn name(&self) -> &'static str {
        self.schedule.name
    }

    pub fn cron(&self) -> &str {
        &self.schedule.cron
    }

    pub fn zone(&self) -> &str {
        &self.schedule.zone
    }

    pub fn missed(&self) -> Missed {
        self.schedule.missed
    }

    fn id_of(capability: &str, name: &str, planned_ms: u64) -> Option<MessageId> {
        MessageId::planned(&format!("{capability}.{name}"), planned_ms)
    }

    /// The command of one firing, and its id.
    pub fn message(
        &self,
        head: &MessageContext,
        env: &Env,
        planned_ms: u64,
    ) -> Result<(MessageId, OutgoingMessage), SendError> {
        let id = Self::id_of(self.capability, self.schedule.name, planned_ms);
        let id = id.ok_or_else(|| SendError::NotStored { reason: "its id is too long".into() })?;
        let message = (self.write)(head, env, SendOptions::new().id(id.clone()))?;
        Ok((id, message))
    }
}
