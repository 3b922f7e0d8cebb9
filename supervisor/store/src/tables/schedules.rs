//! The last firing of each schedule.

use sea_orm::{DbErr, Value};

use super::{int, number, rows, run};
use crate::own_rows::{OwnQueries, OwnRow};

/// A schedule and the last moment at which it has fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    pub name: String,
    /// The expression under which it last fired: a new one has missed no firing.
    pub expression: String,
    /// The time zone of the expression, by name.
    pub zone: String,
    /// The last planned moment that was fired.
    pub planned_ms: u64,
}

/// All schedules that ever fired.
pub async fn read(db: &impl OwnQueries) -> Result<Vec<ScheduleRow>, DbErr> {
    let schedule = |row: &OwnRow| {
        let (name, expression) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok(ScheduleRow { name, expression, zone: row.try_get_by_index(2)?, planned_ms: number(row, 3)? })
    };
    let sql = "SELECT name, expression, zone, planned_ms FROM essaim_schedule ORDER BY name";
    rows(db, sql, [], schedule).await
}

/// Records that a schedule has fired.
pub async fn set(db: &impl OwnQueries, schedule: &ScheduleRow) -> Result<(), DbErr> {
    let sql = "INSERT INTO essaim_schedule (name, expression, zone, planned_ms) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (name) DO UPDATE SET expression = excluded.expression, zone = excluded.zone, \
               planned_ms = excluded.planned_ms";
    let ScheduleRow { name, expression, zone, planned_ms } = schedule;
    let text = |text: &String| Value::from(text.as_str());
    run(db, sql, [text(name), text(expression), text(zone), int(*planned_ms)]).await.map(drop)
}
