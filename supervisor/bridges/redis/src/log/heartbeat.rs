//! Heartbeats of hosts, and the owners of partitions.
//!
//! The server stores the live hosts and the owners. The assignment is decided here, by the rule that all logs share, and written
//! unless something has changed since. So a heartbeat without changes costs one script.

use std::collections::BTreeMap;

use essaim_protocol::log::assignment::{Assignment, LiveHost, assign};
use essaim_protocol::log::{HostHeartbeat, LogError, OwnedPartition};
use redis::Value;

use super::scripts::call;
use super::scripts::owners::{GRANT, HEARTBEAT};
use super::{RedisLog, parse, registry, restore};

/// Of hosts that decide at the same time one wins, and the others decide again: more than this many are not expected.
const TRIES: usize = 32;

/// The server's records of a capability's hosts and partitions.
struct CapabilityState {
    version: String,
    /// Epoch and host of each partition; the host is empty if there is none.
    owners: Vec<(u64, String)>,
    /// The live hosts.
    hosts: BTreeMap<String, LiveHost>,
    /// Whether a restore is going on: nothing is granted until it has ended.
    is_restoring: bool,
    /// The number of records of owners and hosts that it had lost, if this call has found that first.
    lost_records: u64,
}

pub async fn heartbeat(log: &RedisLog, heartbeat: &HostHeartbeat) -> Result<Vec<OwnedPartition>, LogError> {
    let given = heartbeat.given_up.iter().map(|number| format!("given {number}"));
    let stale_epochs = heartbeat.stale_epochs.iter().map(|(number, seen)| format!("outrun {number} {seen}"));
    let is_kept = |number: &u32| {
        !heartbeat.given_up.contains(number) && heartbeat.stale_epochs.iter().all(|(gone, _)| gone != number)
    };
    let (owned, is_outdated) = log.known.owned(&heartbeat.capability, &heartbeat.host);
    let owned = owned.into_iter().filter(|(number, _)| is_kept(number)).map(|(number, epoch)| match is_outdated {
        true => format!("given {number}"),
        false => format!("owned {number} {epoch}"),
    });
    let all: Vec<String> = given.chain(stale_epochs).chain(owned).collect();
    let mut reported = &all[..];
    for _ in 0..TRIES {
        let mut state = send_heartbeat(log, heartbeat, reported).await?;
        reported = &[];
        if state.owners.is_empty() {
            // It was registered before: either it was retired, or the server has lost it.
            restore::check(log).await?;
            if registry::partitions(log, &heartbeat.capability).await? > 0 {
                reported = &all[..];
                continue;
            }
        }
        if state.lost_records > 0 {
            let (capability, records, url) = (&heartbeat.capability, state.lost_records, log.link.url());
            tracing::error!(
                url,
                %capability,
                records,
                "Redis has forgotten who works on which partition: was it flushed, or may it evict keys (maxmemory-policy)? \
                 Its hosts tell it again"
            );
        }
        let owners: Vec<_> = state.owners.iter().map(|(_, host)| (!host.is_empty()).then_some(&**host)).collect();
        let mut assignments = assign(&state.hosts, &owners, &heartbeat.unhandled);
        if state.is_restoring {
            // Every host keeps its partitions.
            let kept = |host: &Option<&str>| host.map(|host| Assignment { host: host.to_string(), wanted: false });
            assignments = owners.iter().map(kept).collect();
        }
        let moves = assignments.iter().zip(&owners).enumerate().filter_map(|(number, (assignment, owner))| {
            let host = &*assignment.as_ref()?.host;
            (Some(host) != *owner).then(|| (number, host.to_string()))
        });
        let moves: Vec<_> = moves.collect();
        if !moves.is_empty() {
            let Some(epochs) = grant(log, heartbeat, &state.version, &moves).await? else { continue };
            for ((number, host), epoch) in moves.into_iter().zip(epochs) {
                state.owners[number] = (epoch, host);
            }
        }
        let own = assignments.iter().zip(&state.owners).enumerate().filter_map(|(number, (assignment, (epoch, _)))| {
            let assignment = assignment.as_ref().filter(|assignment| assignment.host == heartbeat.host)?;
            Some(OwnedPartition { number: number as u32, epoch: *epoch, wanted: assignment.wanted })
        });
        let own: Vec<_> = own.collect();
        log.known.owns(&heartbeat.capability, &heartbeat.host, &own);
        return Ok(own);
    }
    Err(LogError::Contended("the hosts of the capability change too fast to share its partitions; trying again"))
}

async fn send_heartbeat(
    log: &RedisLog,
    heartbeat: &HostHeartbeat,
    reported: &[String],
) -> Result<CapabilityState, LogError> {
    let (keys, capability) = (&log.keys, &*heartbeat.capability);
    let keys = [
        keys.registry(),
        keys.owners(capability),
        keys.hosts(capability),
        keys.handles(capability),
        keys.state(capability),
    ];
    let mut handles = if heartbeat.leaving { "leaving" } else { "staying" }.to_string();
    heartbeat.handles.iter().for_each(|name| handles.extend(["\n", name]));
    let call = |run: &str| {
        let mut script = call(&HEARTBEAT, &keys);
        script.arg(capability).arg(&heartbeat.host).arg(heartbeat.lease.as_micros() as u64);
        script.arg(&handles).arg(run).arg(log.grace.as_micros() as u64).arg(reported);
        script
    };
    let answer = log.link.run_knowing(&HEARTBEAT, call).await?;
    CapabilityState::read(answer).ok_or_else(|| parse::unexpected("a host"))
}

/// Grants partitions, and returns their new epochs; `None` if something has changed since the decision.
async fn grant(
    log: &RedisLog,
    heartbeat: &HostHeartbeat,
    version: &str,
    moves: &[(usize, String)],
) -> Result<Option<Vec<u64>>, LogError> {
    let keys = [log.keys.owners(&heartbeat.capability), log.keys.state(&heartbeat.capability)];
    let mut grant = call(&GRANT, &keys);
    grant.arg(version);
    for (number, host) in moves {
        grant.arg(number).arg(host);
    }
    let epochs = parse::items(log.link.run(&GRANT, &grant).await?).ok_or_else(|| parse::unexpected("a grant"))?;
    if epochs.is_empty() {
        return Ok(None);
    }
    let epochs: Option<Vec<_>> = epochs.iter().map(parse::number).collect();
    epochs.filter(|e| e.len() == moves.len()).map(Some).ok_or_else(|| parse::unexpected("a grant"))
}

impl CapabilityState {
    fn read(answer: Value) -> Option<Self> {
        let [version, partitions, owners, handles, left, lost_records] =
            <[Value; 6]>::try_from(parse::items(answer)?).ok()?;
        let partitions = usize::try_from(parse::number(&partitions)?).ok()?;
        let mut state = Self {
            version: parse::text(&version)?.into(),
            owners: vec![(0, String::new()); partitions],
            hosts: BTreeMap::new(),
            is_restoring: parse::number(&left)? > 0,
            lost_records: parse::number(&lost_records)?,
        };
        for (number, record) in parse::pairs(owners)? {
            let (epoch, host) = parse::owner(parse::text(&record)?)?;
            if let Some(owner) = state.owners.get_mut(usize::try_from(parse::number(&number)?).ok()?) {
                *owner = (epoch, host.into());
            }
        }
        for (host, handles) in parse::pairs(handles)? {
            let mut lines = parse::text(&handles)?.lines();
            let leaving = lines.next() == Some("leaving");
            let live_host = LiveHost { handles: lines.map(Into::into).collect(), leaving };
            state.hosts.insert(parse::text(&host)?.into(), live_host);
        }
        Some(state)
    }
}
