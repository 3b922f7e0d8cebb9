//! The registry: where messages go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_protocol::log::{LogError, Registry, Subscription};
use redis::{Cmd, Value};

use super::scripts::call;
use super::scripts::registry::{IDENTITY, LOOK, REGISTER, UNSUBSCRIBE};
use super::{RedisLog, parse, restore};

/// How often a call waits for a restore to end; the server is not expected to lose records again meanwhile.
pub const PATIENCE: usize = 4;

/// The registry in its stored form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRegistry {
    /// The identity of its log; empty if there is none.
    pub identity: String,
    pub version: u64,
    /// The version of its last change.
    pub rank: u64,
    /// Subscriptions by capability and event.
    pub all: BTreeMap<String, BTreeMap<String, String>>,
    /// The versions in which capabilities were retired last.
    pub retired: BTreeMap<String, u64>,
    /// All fields to be restored on a server that has lost them.
    pub fields: Vec<(String, String)>,
}

/// The result of reading the registry.
struct RegistryLookup {
    registry: Registry,
    read: StoredRegistry,
    /// The time until it is complete.
    left: Duration,
}

/// Reads the registry, after a restore if the server has lost records.
pub async fn registry(log: &RedisLog) -> Result<Arc<Registry>, LogError> {
    for tries in 0..PATIENCE {
        let RegistryLookup { registry, read, left } = look(log).await?;
        let known = log.known.read();
        // No node has restored anything.
        let is_begun_anew = read.identity.is_empty() && known.identity.is_empty() && tries > 0;
        if (left.is_zero() && !is_behind(&read, &known)) || is_begun_anew {
            log.known.learn(read);
            return Ok(Arc::new(registry));
        }
        restore::check(log).await?;
        tokio::time::sleep(left).await;
    }
    Err(UNFINISHED)
}

/// Reads the registry without waiting for a restore.
pub async fn refresh(log: &RedisLog) -> Result<(), LogError> {
    let read = look(log).await?.read;
    log.known.learn(read);
    Ok(())
}

/// Whether the server has an older state of the log than the known one, or none.
fn is_behind(there: &StoredRegistry, known: &StoredRegistry) -> bool {
    let is_same_log = there.identity == known.identity;
    !known.identity.is_empty()
        && match is_same_log {
            true => there.rank < known.rank,
            false => there.identity.is_empty() || there.identity > known.identity,
        }
}

/// The error while a restore has not ended.
pub const UNFINISHED: LogError = LogError::Restoring { server: parse::SERVER };

async fn look(log: &RedisLog) -> Result<RegistryLookup, LogError> {
    let unexpected = || parse::unexpected("a look at the registry");
    let mut look = call(&LOOK, &[log.keys.registry(), log.cluster.key().into()]);
    look.arg(log.grace.as_micros() as u64)
        .arg(log.cluster.channels().all_broadcasts())
        .arg(log.cluster.channels().broadcast());
    let answer = log.link.run(&LOOK, &look).await?;
    let [all, left] = <[Value; 2]>::try_from(parse::items(answer).ok_or_else(unexpected)?).map_err(|_| unexpected())?;
    let (registry, read) = read(all).ok_or_else(unexpected)?;
    Ok(RegistryLookup { registry, read, left: waiting(&left).ok_or_else(unexpected)? })
}

/// A waiting time from the answer of a script.
pub fn waiting(answer: &Value) -> Option<Duration> {
    parse::number(answer).map(Duration::from_micros)
}

/// The registry, and its stored form.
fn read(answer: Value) -> Option<(Registry, StoredRegistry)> {
    let (mut registry, mut read) = (Registry::default(), StoredRegistry::default());
    let mut since = Vec::new();
    for (field, value) in parse::pairs(answer)? {
        let (field, text) = (parse::text(&field)?, parse::text(&value)?);
        match field.split_once(':') {
            None if field == "identity" => read.identity = text.into(),
            None if field == "version" => registry.version = parse::number(&value)?,
            None if field == "rank" => read.rank = parse::number(&value)?,
            None if matches!(field, "run" | "telling" | "young") => {}
            Some(("partitions", capability)) => {
                let partitions = u32::try_from(parse::number(&value)?).ok()?;
                registry.partitions.insert(capability.into(), partitions);
                read.all.entry(capability.into()).or_default();
            }
            Some(("subscription", rest)) => {
                let (capability, event) = rest.split_once(':')?;
                let subscription = serde_json::from_str(text).ok()?;
                registry.subscriptions.entry(event.into()).or_default().insert(capability.into(), subscription);
                read.all.entry(capability.into()).or_default().insert(event.into(), text.into());
            }
            Some(("since", rest)) => {
                let (capability, event) = rest.split_once(':')?;
                since.push((capability.to_string(), event.to_string(), parse::number(&value)?));
            }
            Some(("retired", capability)) => drop(read.retired.insert(capability.into(), parse::number(&value)?)),
            // Fields of later versions are ignored.
            _ => {}
        }
        if field.contains(':') {
            read.fields.push((field.into(), text.into()));
        }
    }
    for (capability, event, version) in &since {
        let subscription = registry.subscriptions.get_mut(event).and_then(|all| all.get_mut(capability));
        let _ = subscription.map(|subscription| subscription.since = *version);
    }
    read.version = registry.version;
    read.rank = if read.rank == 0 { read.version } else { read.rank };
    // A server may return them in another order each time.
    read.fields.sort();
    Some((registry, read))
}

/// The number of partitions of a capability; 0 if it is not registered.
pub async fn partitions(log: &RedisLog, capability: &str) -> Result<u32, LogError> {
    let registry = registry(log).await?;
    Ok(registry.partitions.get(capability).copied().unwrap_or(0))
}

pub async fn register(
    log: &RedisLog,
    capability: &str,
    partitions: u32,
    subscriptions: &[(String, Subscription)],
) -> Result<(), LogError> {
    let mut written = BTreeMap::new();
    for (event, subscription) in subscriptions {
        let subscription = serde_json::to_string(subscription).map_err(|e| LogError::NotSent(e.to_string()))?;
        written.insert(event.clone(), subscription);
    }
    for _ in 0..PATIENCE {
        let wait = register_once(log, capability, partitions, &written).await?;
        if wait.is_zero() {
            log.known.register(capability, partitions, written);
            return refresh(log).await;
        }
        restore::check(log).await?;
        tokio::time::sleep(wait).await;
    }
    Err(UNFINISHED)
}

/// Registers a capability, unless nodes are telling what they know: then until when.
pub async fn register_once(
    log: &RedisLog,
    capability: &str,
    partitions: u32,
    subscriptions: &BTreeMap<String, String>,
) -> Result<Duration, LogError> {
    let keys = [log.keys.registry(), log.cluster.key().into(), log.keys.old_identity()];
    let register = |run: &str| {
        let mut register = call(&REGISTER, &keys);
        identifying(log, run, register.arg(capability).arg(partitions));
        for (event, subscription) in subscriptions {
            register.arg(event).arg(subscription);
        }
        register
    };
    let answer = log.link.run_knowing(&REGISTER, register).await?;
    waiting(&answer).ok_or_else(|| parse::unexpected("a registration"))
}

/// Adds the arguments with which a log without an identity gets one.
fn identifying(log: &RedisLog, run: &str, call: &mut Cmd) {
    call.arg(format!("redis/{}", log.env.id())).arg(run).arg(log.grace.as_micros() as u64);
    call.arg(log.cluster.channels().all_broadcasts()).arg(log.cluster.channels().broadcast());
}

/// The identity of the log; the first call makes it.
pub async fn identity(log: &RedisLog) -> Result<String, LogError> {
    for _ in 0..PATIENCE {
        registry(log).await?;
        let known = log.known.read().identity.clone();
        if !known.is_empty() {
            return Ok(known);
        }
        let keys = [log.keys.registry(), log.cluster.key().into(), log.keys.old_identity()];
        let identity = |run: &str| {
            let mut identity = call(&IDENTITY, &keys);
            identifying(log, run, &mut identity);
            identity
        };
        log.link.run_knowing(&IDENTITY, identity).await?;
    }
    Err(UNFINISHED)
}

pub async fn unsubscribe(log: &RedisLog, event: &str, capability: &str) -> Result<bool, LogError> {
    let unexpected = || parse::unexpected("the end of a subscription");
    for _ in 0..PATIENCE {
        let mut unsubscribe = call(&UNSUBSCRIBE, &[log.keys.registry()]);
        let answer = log.link.run(&UNSUBSCRIBE, unsubscribe.arg(capability).arg(event)).await?;
        let [wait, was_there] =
            <[Value; 2]>::try_from(parse::items(answer).ok_or_else(unexpected)?).map_err(|_| unexpected())?;
        let wait = waiting(&wait).ok_or_else(unexpected)?;
        if wait.is_zero() {
            log.known.ended(capability, Some(event));
            refresh(log).await?;
            return Ok(parse::number(&was_there) == Some(1));
        }
        restore::check(log).await?;
        tokio::time::sleep(wait).await;
    }
    Err(UNFINISHED)
}
