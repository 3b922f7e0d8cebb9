//! Where messages go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_protocol::log::{LogError, Registry, Subscription};
use redis::{Cmd, Value};

use super::scripts::call;
use super::scripts::registry::{IDENTITY, LOOK, REGISTER, UNSUBSCRIBE};
use super::{RedisLog, parse, telling};

/// How often a call waits until nodes have told what the server has forgotten; it is not expected to forget again meanwhile.
pub const PATIENCE: usize = 4;

/// A registry as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// What tells its log from others; empty if there is none.
    pub identity: String,
    pub version: u64,
    /// The version of its last change.
    pub rank: u64,
    /// Subscriptions by capability and event.
    pub all: BTreeMap<String, BTreeMap<String, String>>,
    /// When capabilities were retired last, by version.
    pub retired: BTreeMap<String, u64>,
    /// All that is to be told a server that has forgotten it.
    pub fields: Vec<(String, String)>,
}

/// What was looked up.
struct Look {
    registry: Registry,
    read: Read,
    /// Until it is complete.
    left: Duration,
}

/// Waits until nodes have told what they know, if the server has forgotten something.
pub async fn registry(log: &RedisLog) -> Result<Arc<Registry>, LogError> {
    for tries in 0..PATIENCE {
        let Look { registry, read, left } = look(log).await?;
        let known = log.known.read();
        // Nobody has told anything.
        let is_begun_anew = read.identity.is_empty() && known.identity.is_empty() && tries > 0;
        if (left.is_zero() && !is_behind(&read, &known)) || is_begun_anew {
            log.known.learn(read);
            return Ok(Arc::new(registry));
        }
        telling::check(log).await?;
        tokio::time::sleep(left).await;
    }
    Err(unfinished())
}

/// Reads the registry if it is another than the one that is known, without waiting for anybody.
pub async fn refresh(log: &RedisLog) -> Result<(), LogError> {
    let read = look(log).await?.read;
    log.known.learn(read);
    Ok(())
}

/// Whether the server has an older state of the log than is known, or none.
fn is_behind(there: &Read, known: &Read) -> bool {
    let is_same_log = there.identity == known.identity;
    !known.identity.is_empty()
        && match is_same_log {
            true => there.rank < known.rank,
            false => there.identity.is_empty() || there.identity > known.identity,
        }
}

pub fn unfinished() -> LogError {
    LogError("Redis has forgotten where messages go, and nodes are telling it; trying again".into())
}

async fn look(log: &RedisLog) -> Result<Look, LogError> {
    let strange = || parse::strange("a look at the registry");
    let mut look = call(&LOOK, &[log.keys.registry(), log.cluster.key().into()]);
    look.arg(log.grace.as_micros() as u64)
        .arg(log.cluster.channels().all_broadcasts())
        .arg(log.cluster.channels().broadcast());
    let answer = log.link.run(&LOOK, &look).await?;
    let [all, left] = <[Value; 2]>::try_from(parse::items(answer).ok_or_else(strange)?).map_err(|_| strange())?;
    let (registry, read) = read(all).ok_or_else(strange)?;
    Ok(Look { registry, read, left: waiting(&left).ok_or_else(strange)? })
}

/// How long to wait, as scripts say it.
pub fn waiting(answer: &Value) -> Option<Duration> {
    parse::number(answer).map(Duration::from_micros)
}

/// A registry as it is understood, and as it is written.
fn read(answer: Value) -> Option<(Registry, Read)> {
    let (mut registry, mut read) = (Registry::default(), Read::default());
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
            // Of a later version.
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
    // A server may give them in another order each time.
    read.fields.sort();
    Some((registry, read))
}

/// How many partitions a capability has; 0 if nobody has registered it.
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
        let subscription = serde_json::to_string(subscription).map_err(|e| LogError(e.to_string()))?;
        written.insert(event.clone(), subscription);
    }
    for _ in 0..PATIENCE {
        let wait = register_once(log, capability, partitions, &written).await?;
        if wait.is_zero() {
            log.known.register(capability, partitions, written);
            return refresh(log).await;
        }
        telling::check(log).await?;
        tokio::time::sleep(wait).await;
    }
    Err(unfinished())
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
    waiting(&answer).ok_or_else(|| parse::strange("a registration"))
}

/// What a log that has no identity needs to get one.
fn identifying(log: &RedisLog, run: &str, call: &mut Cmd) {
    call.arg(format!("redis/{}", log.env.id())).arg(run).arg(log.grace.as_micros() as u64);
    call.arg(log.cluster.channels().all_broadcasts()).arg(log.cluster.channels().broadcast());
}

/// It is made by whoever asks first.
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
    Err(unfinished())
}

pub async fn unsubscribe(log: &RedisLog, event: &str, capability: &str) -> Result<bool, LogError> {
    let strange = || parse::strange("the end of a subscription");
    for _ in 0..PATIENCE {
        let mut unsubscribe = call(&UNSUBSCRIBE, &[log.keys.registry()]);
        let answer = log.link.run(&UNSUBSCRIBE, unsubscribe.arg(capability).arg(event)).await?;
        let [wait, was_there] =
            <[Value; 2]>::try_from(parse::items(answer).ok_or_else(strange)?).map_err(|_| strange())?;
        let wait = waiting(&wait).ok_or_else(strange)?;
        if wait.is_zero() {
            log.known.ended(capability, Some(event));
            refresh(log).await?;
            return Ok(parse::number(&was_there) == Some(1));
        }
        telling::check(log).await?;
        tokio::time::sleep(wait).await;
    }
    Err(unfinished())
}
