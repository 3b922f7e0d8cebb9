//! What a server has forgotten, and what this node tells it.
//!
//! A running server can lose any key: by FLUSHALL, by eviction, by hand. Each node looks with every heartbeat, and at
//! whatever fails for it, whether the server still has what the node knows. Whoever finds something missing begins a time of
//! telling, as long as a live node needs at most to be heard: in it every node tells what it knows, the highest of all is
//! kept, and nothing is appended, granted or changed. Then all go on where they were.

use std::sync::Arc;

use essaim_protocol::log::{LogError, Partition, Position, Tally};
use redis::Value;

use super::known::{Counted, Letters};
use super::registering::{Read, refresh, register_once};
use super::scripts::call;
use super::scripts::telling::{CHECK, RECOUNT, TELL};
use super::{RedisLog, measuring, parse};

/// What the server has, beside what this node knows.
struct Found {
    /// Its memory is used up: it takes no appends.
    is_full: bool,
    /// It has another registry that is older, a younger one, or none.
    standing: String,
    version: u64,
    /// Until when nodes tell what they know, in microseconds since 1970.
    telling: u64,
    /// Partitions of which it knows less.
    gone: Vec<(Partition, Counted)>,
}

/// Whether a server takes appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    None,
    Some,
}

/// What the server was told that it had forgotten.
struct Told {
    registry: bool,
    partitions: u64,
    messages: u64,
}

/// Looks whether the server has forgotten anything that this node knows, and tells it; whether it has room.
pub async fn check(log: &RedisLog) -> Result<Room, LogError> {
    let known = log.known.read();
    let found = find(log, &known).await?;
    let behind = found.standing == "behind";
    if found.standing == "other" {
        let now = "an older one";
        tracing::warn!(
            before = known.identity,
            now,
            "the log has begun anew over a server that had forgotten, and is back"
        );
    }
    let is_to_tell = log.known.is_to_tell(found.telling);
    if behind || !found.gone.is_empty() || is_to_tell {
        tell(log, &known, &found).await?;
    }
    if behind || found.version != known.version {
        refresh(log).await?;
    }
    for (capability, own) in log.known.unseen() {
        if register_once(log, &capability, own.partitions, &own.subscriptions).await?.is_zero() {
            refresh(log).await?;
        }
    }
    Ok(if found.is_full { Room::None } else { Room::Some })
}

/// Has nodes tell what they know of these counts, if there are any by that name.
pub async fn recount(log: &RedisLog, counts: &str) -> Result<(), LogError> {
    if !counts.is_empty() {
        let mut recount = call(&RECOUNT, &[log.keys.registry(), counts.into()]);
        log.link.run(&RECOUNT, recount.arg(log.grace.as_micros() as u64)).await?;
    }
    Ok(())
}

async fn find(log: &RedisLog, known: &Read) -> Result<Found, LogError> {
    let partitions = log.known.partitions();
    let mut keys = vec![log.keys.registry(), log.cluster.key().into()];
    partitions.iter().for_each(|(p, _)| keys.extend([log.keys.stream(p), log.keys.counts(p)]));
    let capabilities = log.known.capabilities();
    capabilities.iter().for_each(|c| keys.extend([log.keys.dead(c), log.keys.state(c)]));
    let mut check = call(&CHECK, &keys);
    check.arg(&known.identity).arg(known.rank).arg(partitions.len());
    for (_, counted) in &partitions {
        check.arg(counted.appended);
    }
    for capability in &capabilities {
        check.arg(&**capability);
    }
    let answer = log.link.run(&CHECK, &check).await?;
    let strange = || parse::strange("a look at what it has");
    let mut answer = parse::items(answer).ok_or_else(strange)?;
    let letters = answer.split_off(answer.len().saturating_sub(3 * capabilities.len()));
    tell_of_letters(log, &letters, &capabilities).ok_or_else(strange)?;
    read(log, answer, partitions).ok_or_else(strange)
}

/// Dead letters that the server has forgotten are nobody else's to know.
fn tell_of_letters(log: &RedisLog, answer: &[Value], capabilities: &[Arc<str>]) -> Option<()> {
    for (there, capability) in answer.chunks_exact(3).zip(capabilities) {
        let [count, emptied, retired] = [0, 1, 2].map(|i| parse::number(&there[i]));
        let letters = Letters { count: count?, emptied: emptied?, retired: retired? };
        let lost = log.known.letters(capability, letters);
        if lost > 0 {
            let url = log.link.url();
            tracing::error!(url, %capability, lost, "Redis has forgotten dead letters: was it flushed, or may it evict keys?");
        }
    }
    Some(())
}

fn read(log: &RedisLog, answer: Vec<Value>, partitions: Vec<(Partition, Counted)>) -> Option<Found> {
    let (full, rest) = answer.split_first()?;
    let (standing, rest) = rest.split_first()?;
    let (version, rest) = rest.split_first()?;
    let (telling, rest) = rest.split_first()?;
    let mut gone = Vec::new();
    for (there, (partition, counted)) in rest.chunks_exact(7).zip(partitions) {
        let there: Vec<u64> = there.iter().map(parse::number).collect::<Option<_>>()?;
        let tally = Tally { handled: there[1], duplicates: there[2], dead: there[3], expired: there[4] };
        // What others append is certain only once replicas have it, which they say to those alone.
        let appended = if log.replicas.is_some() { 0 } else { there[0] };
        match there[6] {
            0 => log.known.counted(&partition, appended, tally, there[5]),
            _ => gone.push((partition, counted)),
        }
    }
    let (version, telling, is_full) = (parse::number(version)?, parse::number(telling)?, parse::number(full)? == 1);
    Some(Found { is_full, standing: parse::text(standing)?.into(), version, telling, gone })
}

/// Tells the server all that this node knows: what another one does not miss may be what the next one does.
async fn tell(log: &RedisLog, known: &Read, found: &Found) -> Result<(), LogError> {
    let partitions = log.known.partitions();
    let mut keys = vec![log.keys.registry(), log.cluster.key().into()];
    partitions.iter().for_each(|(p, _)| keys.extend([log.keys.stream(p), log.keys.counts(p)]));
    let mut waiting = Vec::with_capacity(partitions.len());
    for (partition, _) in &partitions {
        let is_gone = found.gone.iter().any(|(gone, _)| gone == partition);
        waiting.push(if is_gone { measuring::waiting(log, partition).await? } else { 0 });
    }
    let telling = |run: &str| {
        let mut tell = call(&TELL, &keys);
        tell.arg(run).arg(log.grace.as_micros() as u64).arg(&known.identity).arg(known.rank).arg(known.fields.len());
        for (field, value) in &known.fields {
            tell.arg(field).arg(value);
        }
        for ((partition, counted), waiting) in partitions.iter().zip(&waiting) {
            let Counted { appended, parked, tally, last, born } = *counted;
            tell.arg(&*partition.capability).arg(appended).arg(born).arg(waiting).arg(parked);
            tell.arg(tally.handled).arg(tally.duplicates).arg(tally.dead).arg(tally.expired);
            tell.arg(if last == Position::default() { String::new() } else { parse::shown(last) });
        }
        tell
    };
    let answer = log.link.run_knowing(&TELL, telling).await?;
    let told = told(answer).ok_or_else(|| parse::strange("what it was told"))?;
    if told.registry || told.partitions > 0 {
        let (url, Told { registry, partitions, messages }) = (log.link.url(), told);
        tracing::error!(
            url,
            registry,
            partitions,
            messages,
            "Redis has forgotten what the log kept there: was it flushed, or may it evict keys (maxmemory-policy)? It is told \
             again where messages go and how many there were; what waited in entries that are gone is lost, see `essaim ledger`"
        );
    }
    Ok(())
}

fn told(answer: Value) -> Option<Told> {
    let [registry, partitions, messages] = <[Value; 3]>::try_from(parse::items(answer)?).ok()?;
    Some(Told {
        registry: parse::number(&registry)? == 1,
        partitions: parse::number(&partitions)?,
        messages: parse::number(&messages)?,
    })
}
