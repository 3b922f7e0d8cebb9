//! Reading entries: a read waits for them on the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_config::Settings;
use essaim_protocol::log::{Entry, LogError, Partition, Reading};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::sync::Semaphore;

use super::super::command_error::CommandError;
use super::super::connection::reconnecting;
use super::super::endpoint::Endpoint;
use super::replicas::Replicas;
use super::wrong_type::WrongTypeKeys;
use super::{RedisLog, parse};

/// The connections for reads that wait, one for each read.
///
/// A connection is taken out for a read and returned with its answer. A read that is dropped drops its connection: the server
/// notices, and no answer can reach the next read. When the connection for commands is replaced, perhaps by one to another server,
/// all these are too.
pub struct Readers {
    endpoint: Arc<Endpoint>,
    backoff: Backoff,
    env: Env,
    /// The connections that no read uses. Bounded by `permits`.
    idle: Mutex<IdleConnections>,
    /// `durable.readers` of them.
    permits: Semaphore,
    /// The number of reads that failed in a row.
    failures: AtomicU32,
    /// The most entries of each stream in an answer. It is halved when a connection ends within a read, since the
    /// server may have had too much to send (`client-output-buffer-limit`), and doubled with every answer.
    most: AtomicU32,
    wrong_type: WrongTypeKeys,
}

/// Connections that no read uses, all made while the link had the connection of this number.
#[derive(Default)]
struct IdleConnections {
    number: u64,
    connections: Vec<MultiplexedConnection>,
}

impl IdleConnections {
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
            wrong_type: WrongTypeKeys::default(),
        }
    }

    /// Sends a command that may wait for `patience` on the server. Reading changes nothing, so it is sent again if an idle
    /// connection turns out to have ended, or when the link has left the server to which it was sent.
    async fn ask(&self, log: &RedisLog, command: &Cmd, patience: Duration) -> Result<Value, CommandError> {
        let (link, replicas) = (&log.link, log.replicas.as_ref());
        let until = self.env.now() + patience;
        loop {
            let number = link.number();
            let idle = self.idle().take(number);
            let is_kept = idle.is_some();
            let asked = async {
                let mut connection = match idle {
                    Some(connection) => connection,
                    None => self.connect().await?,
                };
                let answer = self.ask_on(&mut connection, replicas, command, patience).await;
                if !matches!(answer, Err(CommandError::Unanswered(_))) {
                    self.idle().give_back(number, connection);
                }
                answer
            };
            let answer = tokio::select! {
                answer = asked => answer,
                () = link.has_left(number) => Err(CommandError::Unanswered("the connection to the server is made anew".into())),
            };
            let is_late = self.env.now() >= until;
            match &answer {
                Err(CommandError::Unanswered(_)) if is_late => return answer,
                // The other idle connections may have ended too.
                Err(CommandError::Unanswered(_)) if is_kept => self.idle().connections.clear(),
                Err(CommandError::Unanswered(_)) if link.number() != number => {
                    if !link.wait(until.saturating_duration_since(self.env.now())).await {
                        return answer;
                    }
                }
                Err(failed) => {
                    if failed.is_wrong_server() {
                        link.failed_on(number, failed);
                    }
                    return answer;
                }
                Ok(_) => return answer,
            }
        }
    }

    /// Sends a command that does not wait, by a connection for it alone.
    async fn ask_apart(&self, replicas: &Replicas, command: &Cmd) -> Result<Value, CommandError> {
        self.ask_on(&mut self.connect().await?, Some(replicas), command, Duration::ZERO).await
    }

    async fn connect(&self) -> Result<MultiplexedConnection, CommandError> {
        let connection = self.endpoint.connect(&self.endpoint.config()).await;
        connection.map_err(|why| CommandError::NotSent(format!("Redis takes no connection ({why})")))
    }

    /// Sends a command on a connection, and waits until replicas have what it has found.
    async fn ask_on(
        &self,
        connection: &mut MultiplexedConnection,
        replicas: Option<&Replicas>,
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, CommandError> {
        connection.set_response_timeout(patience.saturating_add(self.endpoint.response_timeout()));
        let found = command.query_async(connection).await.map_err(|e| CommandError::of(&e))?;
        match replicas {
            Some(replicas) if found != Value::Nil => replicas.confirm_read(connection).await?,
            _ => {}
        }
        Ok(found)
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock()
    }

    /// Records the outcome of a read, and pauses after a failed one, so that it is not repeated in haste.
    async fn record<T>(&self, answer: Result<T, CommandError>, patience: Duration) -> Result<T, LogError> {
        let most = self.most.load(Ordering::Relaxed);
        let failed = match answer {
            Ok(answer) => {
                self.failures.store(0, Ordering::Relaxed);
                self.most.store(most.saturating_mul(2), Ordering::Relaxed);
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        if matches!(failed, CommandError::Unanswered(_)) {
            // The first halving begins with the most entries that a read may ask for.
            self.most.store((most.min(MOST_ENTRIES) / 2).max(1), Ordering::Relaxed);
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        tokio::time::sleep(self.backoff.delay(failures, &self.env).min(patience)).await;
        Err(failed.into())
    }
}

/// The most entries of one stream in one read.
const MOST_ENTRIES: u32 = 4_096;

/// The longest wait of a read while keys are left out.
const PATIENCE_WHILE_LEFT_OUT: Duration = Duration::from_millis(250);

/// The requests, by the keys of their streams.
type WantedStreams<'a> = HashMap<String, &'a Reading>;

pub async fn read(
    log: &RedisLog,
    readings: &[Reading],
    mut patience: Duration,
) -> Result<Vec<(Partition, Vec<Entry>)>, LogError> {
    let readers = &log.readers;
    let mut wanted: WantedStreams<'_> =
        readings.iter().filter(|r| r.most > 0).map(|r| (log.keys.stream(&r.partition), r)).collect();

    if !readers.wrong_type.is_empty() {
        wanted.retain(|key, _| !readers.wrong_type.is_left_out(key, readers.env.now()));
        // Keys that are left out have to be checked again soon.
        patience = patience.min(PATIENCE_WHILE_LEFT_OUT);
    }
    let until = readers.env.now() + patience;
    let left = || until.saturating_duration_since(readers.env.now());
    if wanted.is_empty() {
        tokio::time::sleep(patience).await;
        return Ok(Vec::new());
    }
    // While the server is away the link alone reconnects, and reads wait for it.
    if !log.link.wait(patience).await {
        return Err(LogError::NotSent("Redis does not answer; trying again".into()));
    }
    let most = readers.most.load(Ordering::Relaxed).min(MOST_ENTRIES);
    let answer = match tokio::time::timeout(left(), readers.permits.acquire()).await {
        Ok(_permit) => {
            let wait = left();
            let answer = readers.ask(log, &xread(&wanted, most, wait), wait).await;
            if matches!(&answer, Err(CommandError::Refused { code, .. }) if code == "WRONGTYPE") {
                readers.wrong_type.find(&log.link, wanted.keys(), readers.env.now()).await?;
                return Ok(Vec::new());
            }
            readers.record(answer, left()).await?
        }
        // More readers than connections: each still gets the entries that are there.
        Err(_) => {
            let xread = xread(&wanted, most, Duration::ZERO);
            match &log.replicas {
                None => log.link.ask(&xread).await?,
                // It may have to wait for replicas, and nobody may wait behind it.
                Some(replicas) => readers.ask_apart(replicas, &xread).await?,
            }
        }
    };
    readers.wrong_type.are_streams(wanted.keys());
    let found = entries(answer, &wanted).ok_or_else(|| parse::unexpected("a read"))?;
    for (partition, entries) in &found {
        if let Some(last) = entries.last() {
            log.known.seen(partition, last.first + u64::from(last.count), last.position);
        }
    }
    Ok(found)
}

fn xread(wanted: &WantedStreams<'_>, most: u32, patience: Duration) -> Cmd {
    let most = wanted.values().map(|r| r.most).max().unwrap_or(1).min(most);
    let mut xread = redis::cmd("XREAD");
    xread.arg("COUNT").arg(most);
    if !patience.is_zero() {
        // BLOCK 0 would wait for ever.
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

fn entries(answer: Value, wanted: &WantedStreams<'_>) -> Option<Vec<(Partition, Vec<Entry>)>> {
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
