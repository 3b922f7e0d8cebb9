//! Schedules: what capabilities send themselves at set times.

use serde::{Deserialize, Serialize};

use super::{ApiRequest, Away};

/// Which schedules there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListSchedules {}

impl ApiRequest for ListSchedules {
    const PATH: &'static str = "/durable/schedules/list";
    type Answer = Schedules;
}

/// The schedules of all capabilities, by capability and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedules {
    /// The schedules.
    pub schedules: Vec<ScheduleLine>,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
    /// When it was asked, in milliseconds since 1970.
    pub asked_at_ms: u64,
}

/// A schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleLine {
    /// Whose it is.
    pub capability: String,
    /// Its name, unique in the capability.
    pub name: String,
    /// Its cron expression.
    pub cron: String,
    /// The time zone that the expression is read in.
    pub zone: String,
    /// The planned moment of its last firing, or when it began, in milliseconds since 1970; none if it has not begun yet.
    pub last_ms: Option<u64>,
    /// Its next moment, in milliseconds since 1970; none if there is none any more.
    pub next_ms: Option<u64>,
}

/// A schedule is to send its command now, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FireSchedule {
    /// Whose it is.
    pub capability: String,
    /// Its name.
    pub name: String,
}

impl ApiRequest for FireSchedule {
    const PATH: &'static str = "/durable/schedules/fire";
    const CHANGES: bool = true;
    type Answer = FiredSchedule;
}

/// A command was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredSchedule {
    /// Its id.
    pub id: String,
}
