//! Retained events: those that have left the outbox and are retained for capabilities that subscribe later, and how far each
//! backfill subscriber has come.

use sea_orm::{DbErr, Value};

use super::{bulk, int, number, queues_of, row, rows, run};
use crate::own_rows::OwnQueries;

/// A retained event, under the number that it had in its outbox queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedEvent {
    pub seq: u64,
    /// Its wire name.
    pub event: String,
    /// Until when it is retained, in milliseconds since 1970.
    pub until_ms: u64,
    /// The encoded record.
    pub record: Vec<u8>,
}

/// How far a subscriber is backfilled with the events of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillMark<'a> {
    pub queue: &'a str,
    pub event: &'a str,
    pub subscriber: &'a str,
    /// Which of its subscriptions: events that an earlier one got do not count.
    pub since: u64,
    /// The number of the last event that is on its way; [`ALL`] once all that came before the subscription are.
    pub through: u64,
}

/// Beyond every number.
pub const ALL: u64 = i64::MAX as u64;

/// Retains events of a queue; those that are retained already stay as they are.
pub async fn retain(db: &impl OwnQueries, queue: &str, events: &[RetainedEvent]) -> Result<(), DbErr> {
    let into = "essaim_kept (lane, seq, event, until_ms, record)";
    bulk::insert(db, into, events, "ON CONFLICT (lane, seq) DO NOTHING", |retained| {
        let RetainedEvent { seq, event, until_ms, record } = retained;
        [Value::from(queue), int(*seq), Value::from(event.as_str()), int(*until_ms), Value::from(record.clone())]
    })
    .await
    .map(drop)
}

/// The retained events of one kind after that number, in order, as numbers and records: at most `most`, and so few that
/// they have about `most_bytes`; one in any case.
pub async fn load(
    db: &impl OwnQueries,
    queue: &str,
    event: &str,
    after_seq: u64,
    (most, most_bytes): (u32, u64),
) -> Result<Vec<(u64, Vec<u8>)>, DbErr> {
    let sql = "SELECT seq, record FROM essaim_kept WHERE lane = $1 AND event = $2 AND seq > $3 ORDER BY seq LIMIT \
               (SELECT CASE WHEN sum(bytes) > $5 THEN 1 + $5 / max(bytes) ELSE $4 END FROM \
               (SELECT length(record) AS bytes FROM essaim_kept WHERE lane = $1 AND event = $2 AND seq > $3 \
               ORDER BY seq LIMIT $4) AS page)";
    let values = [Value::from(queue), Value::from(event), int(after_seq), int(most), int(most_bytes)];
    let page = rows(db, sql, values, |row| Ok((number(row, 0)?, row.try_get_by_index(1)?))).await?;
    debug_assert!(
        page.len() <= most as usize && page.is_sorted_by_key(|(seq, _)| *seq),
        "a page is in order and bounded"
    );
    Ok(page)
}

/// All queues of which events are retained.
pub async fn queues(db: &impl OwnQueries) -> Result<Vec<String>, DbErr> {
    queues_of(db, "essaim_kept").await
}

/// How many events are retained.
pub async fn count(db: &impl OwnQueries) -> Result<u64, DbErr> {
    let count = row(db, "SELECT count(*) FROM essaim_kept", [], |row| number(row, 0)).await?;
    Ok(count.unwrap_or(0))
}

/// Removes events whose retention has ended, the oldest first, at most `most`; returns how many.
pub async fn prune(db: &impl OwnQueries, now_ms: u64, most: u32) -> Result<u64, DbErr> {
    let sql = "DELETE FROM essaim_kept WHERE (lane, seq) IN \
               (SELECT lane, seq FROM essaim_kept WHERE until_ms < $1 ORDER BY until_ms LIMIT $2)";
    run(db, sql, [int(now_ms), int(most)]).await
}

/// How far a subscriber is backfilled since it subscribed; 0 if it has got nothing.
pub async fn through(
    db: &impl OwnQueries,
    queue: &str,
    event: &str,
    subscriber: &str,
    since: u64,
) -> Result<u64, DbErr> {
    let sql = "SELECT through FROM essaim_caught_up WHERE lane = $1 AND event = $2 AND subscriber = $3 AND since = $4";
    let values = [Value::from(queue), Value::from(event), Value::from(subscriber), int(since)];
    Ok(row(db, sql, values, |row| number(row, 0)).await?.unwrap_or(0))
}

/// Records how far a subscriber is backfilled.
pub async fn mark(db: &impl OwnQueries, mark: &BackfillMark<'_>) -> Result<(), DbErr> {
    let sql = "INSERT INTO essaim_caught_up (lane, event, subscriber, since, through) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (lane, event, subscriber) DO UPDATE SET since = excluded.since, through = excluded.through";
    let BackfillMark { queue, event, subscriber, since, through } = *mark;
    let values = [Value::from(queue), Value::from(event), Value::from(subscriber), int(since), int(through)];
    run(db, sql, values).await.map(drop)
}

/// Removes the marks of nodes' queues, other than `own`, of which nothing is retained any more.
pub async fn prune_marks(db: &impl OwnQueries, own: &str) -> Result<u64, DbErr> {
    let sql = "DELETE FROM essaim_caught_up WHERE lane >= 'n/' AND lane < 'n0' AND lane <> $1 AND NOT EXISTS \
               (SELECT 1 FROM essaim_kept AS k WHERE k.lane = essaim_caught_up.lane)";
    run(db, sql, [Value::from(own)]).await
}
