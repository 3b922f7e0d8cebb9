//! The `redis` crate alone: pipelines of XADDs, XREADGROUP, and one XACK for all that was read, with the next read. And
//! SQLite alone: rows inserted many to a transaction.

use std::time::{Duration, Instant};

use redis::streams::StreamInfoGroupsReply;
use redis::{Commands, Connection, Value};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, Statement, TransactionTrait};

use super::{BYTES, MESSAGES, TIMED, WARM_UP, at_percentile};
use crate::Error;
use crate::server::{Scratch, redis_url};

const STREAM: &str = "bench:stream";
const GROUP: &str = "bench";
/// Messages of one pipeline, of one read, and of one transaction.
const TOGETHER: u64 = 256;

fn connect(url: &str) -> Result<Connection, Error> {
    Ok(redis::Client::open(url)?.get_connection()?)
}

pub fn send(url: &str) -> Result<f64, Error> {
    let mut connection = connect(url)?;
    make_group(&mut connection);
    let mut sent = 0;
    let mut run = |connection: &mut Connection, messages: u64| -> Result<f64, Error> {
        let began = Instant::now();
        let until = sent + messages;
        while sent < until {
            let mut pipeline = redis::pipe();
            for _ in 0..TOGETHER.min(until - sent) {
                pipeline.cmd("XADD").arg(STREAM).arg("*").arg("d").arg(&[b'x'; BYTES][..]).ignore();
                sent += 1;
            }
            let () = pipeline.query(connection)?;
        }
        while !is_all_handled(connection, until)? {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(messages as f64 / began.elapsed().as_secs_f64() / 1e3)
    };
    run(&mut connection, WARM_UP)?;
    run(&mut connection, MESSAGES)
}

/// Whether so many messages were read and acknowledged.
fn is_all_handled(connection: &mut Connection, messages: u64) -> Result<bool, Error> {
    let groups: StreamInfoGroupsReply = connection.xinfo_groups(STREAM)?;
    let group = groups.groups.first().ok_or("there is no group")?;
    Ok(group.pending == 0 && group.entries_read.is_some_and(|read| read as u64 >= messages))
}

pub fn work() -> Result<(), Error> {
    let mut connection = connect(&redis_url()?)?;
    make_group(&mut connection);
    let mut ids: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut pipeline = redis::pipe();
        if !ids.is_empty() {
            pipeline.cmd("XACK").arg(STREAM).arg(GROUP).arg(&ids).ignore();
        }
        read_group(&mut pipeline);
        let (reply,): (Value,) = pipeline.query(&mut connection)?;
        ids.clear();
        collect(&reply, &mut ids);
    }
}

fn read_group(pipeline: &mut redis::Pipeline) {
    let read = pipeline.cmd("XREADGROUP").arg("GROUP").arg(GROUP).arg("worker").arg("COUNT").arg(TOGETHER);
    read.arg("BLOCK").arg(100).arg("STREAMS").arg(STREAM).arg(">");
}

fn make_group(connection: &mut Connection) {
    // The first process makes the group; for the others it exists.
    let _: Result<(), _> =
        redis::cmd("XGROUP").arg("CREATE").arg(STREAM).arg(GROUP).arg("0").arg("MKSTREAM").query(connection);
}

/// The ids of the entries of a reply: the texts in its arrays of two whose second is an array.
fn collect(value: &Value, ids: &mut Vec<Vec<u8>>) {
    let Value::Array(items) = value else { return };
    match &items[..] {
        [Value::BulkString(id), Value::Array(fields)] if !matches!(fields.first(), Some(Value::Array(_))) => {
            ids.push(id.clone());
        }
        _ => items.iter().for_each(|item| collect(item, ids)),
    }
}

pub fn latency(url: &str, percentile: usize) -> Result<f64, Error> {
    let (mut sender, mut receiver) = (connect(url)?, connect(url)?);
    make_group(&mut sender);
    let (begin, begun) = std::sync::mpsc::channel::<Instant>();
    let worker = std::thread::spawn(move || -> Result<Vec<f64>, redis::RedisError> {
        let (mut times, mut ids) = (Vec::new(), Vec::new());
        while times.len() < TIMED {
            let mut pipeline = redis::pipe();
            if !ids.is_empty() {
                pipeline.cmd("XACK").arg(STREAM).arg(GROUP).arg(&ids).ignore();
            }
            read_group(&mut pipeline);
            let (reply,): (Value,) = pipeline.query(&mut receiver)?;
            ids.clear();
            collect(&reply, &mut ids);
            for _ in &ids {
                if let Ok(at) = begun.recv() {
                    times.push(at.elapsed().as_nanos() as f64 / 1e3);
                }
            }
        }
        Ok(times)
    });
    for _ in 0..TIMED {
        let _ = begin.send(Instant::now());
        let () = redis::cmd("XADD").arg(STREAM).arg("*").arg("d").arg(&[b'x'; BYTES][..]).query(&mut sender)?;
        std::thread::sleep(Duration::from_micros(500));
    }
    let times = worker.join().map_err(|_| "the worker panicked")??;
    Ok(at_percentile(times, percentile))
}

pub fn embedded(scratch: &Scratch) -> Result<f64, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let path = scratch.path().join("bare.db");
        let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
        options.max_connections(1).sqlx_logging(false);
        let database = Database::connect(options).await?;
        for sql in [
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = NORMAL",
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        ] {
            database.execute_unprepared(sql).await?;
        }
        let rows = vec!["($1)"; TOGETHER as usize].join(", ");
        let sql = format!("INSERT INTO messages (body) VALUES {rows}");
        let began = Instant::now();
        for _ in 0..MESSAGES / TOGETHER {
            let tx = database.begin().await?;
            let body = sea_orm::Value::from(vec![b'x'; BYTES]);
            tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), &sql, [body])).await?;
            tx.commit().await?;
        }
        Ok(MESSAGES as f64 / began.elapsed().as_secs_f64() / 1e3)
    })
}
