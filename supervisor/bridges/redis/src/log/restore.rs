//! Records that a server has lost, and how nodes restore them.
//!
//! A running server can lose any key: by FLUSHALL, by eviction, by hand. Each node checks with every heartbeat, and when a command
//! fails for it, whether the server still has the records that the node knows. A node that misses some starts a restore, which
//! lasts as long as a live node needs at most to be heard: every node writes the records that it knows, the highest values are
//! kept, and nothing is appended, granted or changed. Then all nodes go on.

use std::sync::Arc;

use essaim_protocol::log::{LogError, Partition, Position, Tally};
use redis::Value;

use super::known_log::{DeadLetterCounts, KnownCounts};
use super::registry::{StoredRegistry, refresh, register_once};
use super::scripts::call;
use super::scripts::restore::{CHECK, RECOUNT, RESTORE};
use super::{RedisLog, measure, parse};

/// The records of the server, compared with those that this node knows.
struct ServerLog {
    /// Its memory is used up: it takes no appends.
    is_full: bool,
    /// Whether its registry is that of an older log (`other`), or a younger one or none (`behind`).
    standing: String,
    version: u64,
    /// The end of the restore, in microseconds since 1970.
    restoring_until: u64,
    /// Partitions for which it has lower counts.
    gone: Vec<(Partition, KnownCounts)>,
}

/// Whether a server takes appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendRoom {
    None,
    Some,
}

/// The number of records that were restored.
struct RestoredCounts {
    registry: bool,
    partitions: u64,
    messages: u64,
}

/// Checks whether the server has lost records that this node knows, restores them, and returns whether it has room.
pub async fn check(log: &RedisLog) -> Result<AppendRoom, LogError> {
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
    let has_to_restore = log.known.has_to_restore(found.restoring_until);
    if behind || !found.gone.is_empty() || has_to_restore {
        restore_log(log, &known, &found).await?;
    }
    if behind || found.version != known.version {
        refresh(log).await?;
    }
    for (capability, own) in log.known.unseen() {
        if register_once(log, &capability, own.partitions, &own.subscriptions).await?.is_zero() {
            refresh(log).await?;
        }
    }
    Ok(if found.is_full { AppendRoom::None } else { AppendRoom::Some })
}

/// Has the server count on from behind messages that a database knows to have been appended: where it has counted fewer it has lost
/// that count.
pub async fn raise(log: &RedisLog, partition: &Partition, appended: u64) -> Result<(), LogError> {
    log.known.appended(partition, appended);
    match measure::appended(log, partition).await? < appended {
        true => check(log).await.map(drop),
        false => Ok(()),
    }
}

/// Starts a restore of these counts; of none if the name is empty.
pub async fn recount(log: &RedisLog, counts: &str) -> Result<(), LogError> {
    if !counts.is_empty() {
        let mut recount = call(&RECOUNT, &[log.keys.registry(), counts.into()]);
        log.link.run(&RECOUNT, recount.arg(log.grace.as_micros() as u64)).await?;
    }
    Ok(())
}

async fn find(log: &RedisLog, known: &StoredRegistry) -> Result<ServerLog, LogError> {
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
    let unexpected = || parse::unexpected("a look at what it has");
    let mut answer = parse::items(answer).ok_or_else(unexpected)?;
    let letters = answer.split_off(answer.len().saturating_sub(3 * capabilities.len()));
    check_dead_letters(log, &letters, &capabilities).ok_or_else(unexpected)?;
    read(log, answer, partitions).ok_or_else(unexpected)
}

/// Reports dead letters that the server has lost: no node has copies of them.
fn check_dead_letters(log: &RedisLog, answer: &[Value], capabilities: &[Arc<str>]) -> Option<()> {
    for (there, capability) in answer.chunks_exact(3).zip(capabilities) {
        let [count, emptied, retired] = [0, 1, 2].map(|i| parse::number(&there[i]));
        let letters = DeadLetterCounts { count: count?, emptied: emptied?, retired: retired? };
        let lost = log.known.letters(capability, letters);
        if lost > 0 {
            let url = log.link.url();
            tracing::error!(url, %capability, lost, "Redis has forgotten dead letters: was it flushed, or may it evict keys?");
        }
    }
    Some(())
}

fn read(log: &RedisLog, answer: Vec<Value>, partitions: Vec<(Partition, KnownCounts)>) -> Option<ServerLog> {
    let (full, rest) = answer.split_first()?;
    let (standing, rest) = rest.split_first()?;
    let (version, rest) = rest.split_first()?;
    let (restoring_until, rest) = rest.split_first()?;
    let mut gone = Vec::new();
    for (there, (partition, counted)) in rest.chunks_exact(7).zip(partitions) {
        let there: Vec<u64> = there.iter().map(parse::number).collect::<Option<_>>()?;
        let tally = Tally { handled: there[1], duplicates: there[2], dead: there[3], expired: there[4] };
        // Appends of other nodes are certain only once replicas have them, which only their senders learn.
        let appended = if log.replicas.is_some() { 0 } else { there[0] };
        match there[6] {
            0 => log.known.counted(&partition, appended, tally, there[5]),
            _ => gone.push((partition, counted)),
        }
    }
    let (version, restoring_until, is_full) =
        (parse::number(version)?, parse::number(restoring_until)?, parse::number(full)? == 1);
    Some(ServerLog { is_full, standing: parse::text(standing)?.into(), version, restoring_until, gone })
}

/// Writes all records that this node knows: the server may lose more of them meanwhile.
async fn restore_log(log: &RedisLog, known: &StoredRegistry, found: &ServerLog) -> Result<(), LogError> {
    let partitions = log.known.partitions();
    let mut keys = vec![log.keys.registry(), log.cluster.key().into()];
    partitions.iter().for_each(|(p, _)| keys.extend([log.keys.stream(p), log.keys.counts(p)]));
    let mut waiting = Vec::with_capacity(partitions.len());
    for (partition, _) in &partitions {
        let is_gone = found.gone.iter().any(|(gone, _)| gone == partition);
        waiting.push(if is_gone { measure::waiting(log, partition).await? } else { 0 });
    }
    let restoring_until = |run: &str| {
        let mut restore_log = call(&RESTORE, &keys);
        restore_log
            .arg(run)
            .arg(log.grace.as_micros() as u64)
            .arg(&known.identity)
            .arg(known.rank)
            .arg(known.fields.len());
        for (field, value) in &known.fields {
            restore_log.arg(field).arg(value);
        }
        for ((partition, counted), waiting) in partitions.iter().zip(&waiting) {
            let KnownCounts { appended, parked, tally, last, born } = *counted;
            restore_log.arg(&*partition.capability).arg(appended).arg(born).arg(waiting).arg(parked);
            restore_log.arg(tally.handled).arg(tally.duplicates).arg(tally.dead).arg(tally.expired);
            restore_log.arg(if last == Position::default() { String::new() } else { parse::shown(last) });
        }
        restore_log
    };
    let answer = log.link.run_knowing(&RESTORE, restoring_until).await?;
    let restored = restored(answer).ok_or_else(|| parse::unexpected("what it was told"))?;
    if restored.registry || restored.partitions > 0 {
        let (url, RestoredCounts { registry, partitions, messages }) = (log.link.url(), restored);
        tracing::error!(
            url,
            registry,
            partitions,
            messages,
            "Redis has forgotten what the log kept there: was it flushed, restored from an older copy, or may it evict keys \
             (maxmemory-policy)? It is told again where messages go and how many there were; what waited in entries that are gone \
             is lost, see `essaim ledger`"
        );
    }
    Ok(())
}

fn restored(answer: Value) -> Option<RestoredCounts> {
    let [registry, partitions, messages] = <[Value; 3]>::try_from(parse::items(answer)?).ok()?;
    Some(RestoredCounts {
        registry: parse::number(&registry)? == 1,
        partitions: parse::number(&partitions)?,
        messages: parse::number(&messages)?,
    })
}
