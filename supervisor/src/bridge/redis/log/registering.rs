//! Where messages go.

use std::sync::Arc;

use redis::Value;

use super::remembered::Read;
use super::scripts::{REGISTER, UNSUBSCRIBE, call};
use super::{RedisLog, parse};
use crate::bridge::log::{LogError, Registry, Subscription};

pub async fn registry(log: &RedisLog) -> Result<Arc<Registry>, LogError> {
    let changes = log.link.remembered().changes();
    let (answer, is_complete) = log.link.look(redis::cmd("HGETALL").arg(log.keys.registry())).await?;
    let (registry, written) = read(answer).ok_or_else(|| parse::strange("a look at the registry"))?;
    if is_complete {
        log.link.remembered().learn(written, changes);
    }
    Ok(Arc::new(registry))
}

/// A registry as it is understood, and as it is written.
pub fn read(answer: Value) -> Option<(Registry, Read)> {
    let (mut registry, mut written) = (Registry::default(), Read::default());
    for (field, value) in parse::pairs(answer)? {
        let field = parse::text(&field)?;
        match field.split_once(':') {
            None if field == "version" => registry.version = parse::number(&value)?,
            Some(("partitions", capability)) => {
                let partitions = u32::try_from(parse::number(&value)?).ok()?;
                registry.partitions.insert(capability.into(), partitions);
                written.all.entry(capability.into()).or_default().partitions = partitions;
            }
            Some(("subscription", rest)) => {
                let ((capability, event), text) = (rest.split_once(':')?, parse::text(&value)?);
                let subscription = serde_json::from_str(text).ok()?;
                registry.subscriptions.entry(event.into()).or_default().insert(capability.into(), subscription);
                written.all.entry(capability.into()).or_default().subscriptions.insert(event.into(), text.into());
            }
            Some(("since", rest)) => {
                let (capability, event) = rest.split_once(':')?;
                written.since.insert((capability.into(), event.into()), parse::number(&value)?);
            }
            Some(("retired", capability)) => drop(written.retired.insert(capability.into())),
            // Of a later version.
            _ => {}
        }
    }
    for ((capability, event), version) in &written.since {
        let subscription = registry.subscriptions.get_mut(event).and_then(|all| all.get_mut(capability));
        let _ = subscription.map(|subscription| subscription.since = *version);
    }
    Some((registry, written))
}

/// How many partitions a capability has; 0 if nobody has registered it.
pub async fn partitions(log: &RedisLog, capability: &str) -> Result<u32, LogError> {
    let field = format!("partitions:{capability}");
    let answer = log.link.ask(redis::cmd("HGET").arg(log.keys.registry()).arg(field)).await?;
    let partitions = match answer {
        Value::Nil => Some(0),
        some => parse::number(&some).and_then(|n| u32::try_from(n).ok()),
    };
    partitions.ok_or_else(|| parse::strange("a look at the registry"))
}

pub async fn register(
    log: &RedisLog,
    capability: &str,
    partitions: u32,
    subscriptions: &[(String, Subscription)],
) -> Result<(), LogError> {
    let mut written = Vec::new();
    for (event, subscription) in subscriptions {
        let subscription = serde_json::to_string(subscription).map_err(|e| LogError(e.to_string()))?;
        written.push((event.as_str(), subscription));
    }
    let mut register = call(&REGISTER, &[log.keys.registry()]);
    register.arg(capability).arg(partitions);
    for (event, subscription) in &written {
        register.arg(event).arg(subscription);
    }
    log.link.run(&REGISTER, &register).await?;
    log.link.remembered().add(capability, partitions, written.into_iter());
    Ok(())
}

/// It is made by whoever asks first.
pub async fn identity(log: &RedisLog) -> Result<String, LogError> {
    let key = log.keys.identity();
    let ours = format!("redis/{}", log.env.id());
    log.link.ask(redis::cmd("SET").arg(&key).arg(&ours).arg("NX")).await?;
    let answer = log.link.ask(redis::cmd("GET").arg(&key)).await?;
    parse::text(&answer).map(String::from).ok_or_else(|| parse::strange("the log's identity"))
}

pub async fn unsubscribe(log: &RedisLog, event: &str, capability: &str) -> Result<bool, LogError> {
    let mut unsubscribe = call(&UNSUBSCRIBE, &[log.keys.registry()]);
    let answer = log.link.run(&UNSUBSCRIBE, unsubscribe.arg(capability).arg(event)).await?;
    log.link.remembered().remove(capability, event);
    Ok(parse::number(&answer) == Some(1))
}
