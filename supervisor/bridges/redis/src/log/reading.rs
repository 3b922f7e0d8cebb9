//! Reading entries, waiting for them on the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_config::Settings;
use essaim_protocol::log::{Entry, LogError, Partition, Reading};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::sync::Semaphore;

use super::super::endpoint::Endpoint;
use super::super::failed::Failed;
use super::super::keep::reconnecting;
use super::link::Link;
use super::strange::Strange;
use super::{RedisLog, parse};

/// Connections for reads that wait, one each.
///
/// A connection is taken out for a read and comes back with its answer. A read that is dropped takes its connection
/// with it: the server notices, and no answer can reach the next read. All follow the connection that carries commands:
/// when that is made anew, perhaps to another server, they are too.
pub struct Readers {
    endpoint: Arc<Endpoint>,
    backoff: Backoff,
    env: Env,
    /// Those that nobody uses; bounded by `permits`.
    idle: Mutex<Idle>,
    /// As many as `durable.readers`.
    permits: Semaphore,
    /// Reads that failed in a row.
    failures: AtomicU32,
    /// Entries of each stream that an answer may have. It is halved when a connection ends within a read, since the
    /// server may have had too much to send (`client-output-buffer-limit`), and doubled with every answer.
    most: AtomicU32,
    strange: Strange,
}

/// Connections that nobody uses, all made while the link had the connection of this number.
#[derive(Default)]
struct Idle {
    number: u64,
    connections: Vec<MultiplexedConnection>,
}

impl Idle {
    fn take(&mut self, number: u64) -> Option<MultiplexedConnection> {
        if self.number != number {
            *self = Self { number, connections: Vec::new() };
        }
        self.connections.pop()
    }

    fn give_back(&mut self, number: u64, connection: MultiplexedConnection) {
        if self.number == number {
            self.connections.push(connection);
        }
    }
}

impl Readers {
    pub fn new(endpoint: Arc<Endpoint>, settings: &Settings, env: Env) -> Self {
        Self {
            endpoint,
            backoff: reconnecting(settings),
            env,
            idle: Mutex::default(),
            permits: Semaphore::new(settings.durable.readers as usize),
            failures: AtomicU32::new(0),
            most: AtomicU32::new(u32::MAX),
            strange: Strange::default(),
        }
    }

    /// Sends a command that may wait for so long on the server. Reading changes nothing, so it is done again where the
    /// connection has ended while nobody used it, and when the link has left the server that it was sent to.
    async fn ask(&self, link: &Link, command: &Cmd, patience: Duration) -> Result<Value, Failed> {
        let until = self.env.now() + patience;
        loop {
            let number = link.number();
            let idle = self.idle().take(number);
            let is_kept = idle.is_some();
            let asked = async {
                let connection = match idle {
                    Some(connection) => connection,
                    None => self.connect().await?,
                };
                self.ask_on(connection, number, command, patience).await
            };
            let answer = tokio::select! {
                answer = asked => answer,
                () = link.has_left(number) => Err(Failed::Unanswered("the connection to the server is made anew".into())),
            };
            let is_late = self.env.now() >= until;
            match &answer {
                Err(Failed::Unanswered(_)) if is_late => return answer,
                // Others may have ended too.
                Err(Failed::Unanswered(_)) if is_kept => self.idle().connections.clear(),
                Err(Failed::Unanswered(_)) if link.number() != number => {
                    if !link.wait(until.saturating_duration_since(self.env.now())).await {
                        return answer;
                    }
                }
                Err(failed) => {
                    if failed.is_elsewhere() {
                        link.failed_on(number, failed);
                    }
                    return answer;
                }
                Ok(_) => return answer,
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Failed> {
        let connection = self.endpoint.connect(&self.endpoint.config()).await;
        connection.map_err(|why| Failed::NotSent(format!("Redis takes no connection ({why})")))
    }

    async fn ask_on(
        &self,
        mut connection: MultiplexedConnection,
        number: u64,
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, Failed> {
        connection.set_response_timeout(patience.saturating_add(self.endpoint.response_timeout()));
        let answer = command.query_async(&mut connection).await.map_err(|e| Failed::of(&e));
        if !matches!(answer, Err(Failed::Unanswered(_))) {
            self.idle().give_back(number, connection);
        }
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a read went, and keeps whoever repeats one that failed from doing so in haste.
    async fn note<T>(&self, answer: Result<T, Failed>, patience: Duration) -> Result<T, LogError> {
        let most = self.most.load(Ordering::Relaxed);
        let failed = match answer {
            Ok(answer) => {
                self.failures.store(0, Ordering::Relaxed);
                self.most.store(most.saturating_mul(2), Ordering::Relaxed);
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        if matches!(failed, Failed::Unanswered(_)) {
            // From the first halving on it is a number of entries that somebody may ask for.
            self.most.store((most.min(MOST_ENTRIES) / 2).max(1), Ordering::Relaxed);
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        tokio::time::sleep(self.backoff.delay(failures, &self.env).min(patience)).await;
        Err(failed.into())
    }
}

/// More entries of one stream are not read at a time.
const MOST_ENTRIES: u32 = 4_096;

/// How long a read waits at most while keys are left out.
const PATIENCE_WHILE_STRANGE: Duration = Duration::from_millis(250);

/// What is read, by the key of its stream.
type Wanted<'a> = HashMap<String, &'a Reading>;

pub async fn read(
    log: &RedisLog,
    readings: &[Reading],
    mut patience: Duration,
) -> Result<Vec<(Partition, Vec<Entry>)>, LogError> {
    let readers = &log.readers;
    let mut wanted: Wanted<'_> =
        readings.iter().filter(|r| r.most > 0).map(|r| (log.keys.stream(&r.partition), r)).collect();

    if !readers.strange.is_empty() {
        wanted.retain(|key, _| !readers.strange.is_left_out(key, readers.env.now()));
        // Keys that are left out are to be looked at again soon.
        patience = patience.min(PATIENCE_WHILE_STRANGE);
    }
    let until = readers.env.now() + patience;
    let left = || until.saturating_duration_since(readers.env.now());
    if wanted.is_empty() {
        tokio::time::sleep(patience).await;
        return Ok(Vec::new());
    }
    // While the server is away, one knocks at its door, and readers wait for that one.
    if !log.link.wait(patience).await {
        return Err(LogError("Redis does not answer; trying again".into()));
    }
    let most = readers.most.load(Ordering::Relaxed).min(MOST_ENTRIES);
    let answer = match tokio::time::timeout(left(), readers.permits.acquire()).await {
        Ok(_permit) => {
            let wait = left();
            let answer = readers.ask(&log.link, &xread(&wanted, most, wait), wait).await;
            if matches!(&answer, Err(Failed::Refused { code, .. }) if code == "WRONGTYPE") {
                readers.strange.find(&log.link, wanted.keys(), readers.env.now()).await?;
                return Ok(Vec::new());
            }
            readers.note(answer, left()).await?
        }
        // More readers than connections: each still gets what is there.
        Err(_) => log.link.ask(&xread(&wanted, most, Duration::ZERO)).await?,
    };
    readers.strange.are_streams(wanted.keys());
    let found = entries(answer, &wanted).ok_or_else(|| parse::strange("a read"))?;
    for (partition, entries) in &found {
        if let Some(last) = entries.last() {
            log.known.seen(partition, last.first + u64::from(last.count), last.position);
        }
    }
    Ok(found)
}

fn xread(wanted: &Wanted<'_>, most: u32, patience: Duration) -> Cmd {
    let most = wanted.values().map(|r| r.most).max().unwrap_or(1).min(most);
    let mut xread = redis::cmd("XREAD");
    xread.arg("COUNT").arg(most);
    if !patience.is_zero() {
        // 0 would mean for ever.
        xread.arg("BLOCK").arg(patience.as_millis().max(1) as u64);
    }
    xread.arg("STREAMS");
    let wanted: Vec<_> = wanted.iter().collect();
    wanted.iter().for_each(|(stream, _)| {
        xread.arg(stream);
    });
    wanted.iter().for_each(|(_, reading)| {
        xread.arg(parse::shown(reading.after));
    });
    xread
}

fn entries(answer: Value, wanted: &Wanted<'_>) -> Option<Vec<(Partition, Vec<Entry>)>> {
    let streams = match answer {
        Value::Nil => return Some(Vec::new()),
        Value::Map(streams) => streams,
        other => {
            let pair = |v| <[Value; 2]>::try_from(parse::items(v)?).ok().map(|[k, v]| (k, v));
            parse::items(other)?.into_iter().map(pair).collect::<Option<_>>()?
        }
    };
    let one = |(stream, entries): (Value, Value)| {
        let reading = wanted.get(parse::text(&stream)?)?;
        let entries = parse::items(entries)?.into_iter().take(reading.most as usize);
        Some((reading.partition.clone(), entries.map(parse::entry).collect::<Option<_>>()?))
    };
    streams.into_iter().map(one).collect()
}
