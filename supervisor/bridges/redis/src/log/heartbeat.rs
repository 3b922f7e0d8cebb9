//! Who works on which partition.
//!
//! The server keeps who is there and who owns what. What follows from it is decided here, by the rule that all logs
//! share, and written if nothing has changed since. So a host at rest costs one script.

use std::collections::BTreeMap;

use essaim_protocol::log::assignment::{Assignment, LiveHost, assign};
use essaim_protocol::log::{HostHeartbeat, LogError, OwnedPartition};
use redis::Value;

use super::scripts::call;
use super::scripts::owners::{GRANT, HEARTBEAT};
use super::{RedisLog, parse, registering, telling};

/// Of hosts that decide at the same moment one wins, and the others decide anew; so many are not expected at a time.
const TRIES: usize = 32;

/// What the server knows of a capability's hosts and partitions.
struct State {
    version: String,
    /// Epoch and host of each partition; the host is empty if there is none.
    owners: Vec<(u64, String)>,
    /// The live hosts.
    hosts: BTreeMap<String, LiveHost>,
    /// Nodes tell what the server has forgotten: until they have, nothing is granted.
    is_telling: bool,
    /// Records of owners and hosts that it had forgotten, where nobody else has found that first.
    forgotten: u64,
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
    let mut said = &all[..];
    for _ in 0..TRIES {
        let mut state = note(log, heartbeat, said).await?;
        said = &[];
        if state.owners.is_empty() {
            // It was registered before: either it was retired, or the server has forgotten it.
            telling::check(log).await?;
            if registering::partitions(log, &heartbeat.capability).await? > 0 {
                said = &all[..];
                continue;
            }
        }
        if state.forgotten > 0 {
            let (capability, records, url) = (&heartbeat.capability, state.forgotten, log.link.url());
            tracing::error!(
                url,
                %capability,
                records,
                "Redis has forgotten who works on which partition: was it flushed, or may it evict keys (maxmemory-policy)? \
                 Its hosts tell it again"
            );
        }
        let owners: Vec<_> = state.owners.iter().map(|(_, host)| (!host.is_empty()).then_some(&**host)).collect();
        let mut assignments = assign(&state.hosts, &owners, &heartbeat.lacks);
        if state.is_telling {
            // Everybody keeps what he has.
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
    Err(LogError("the hosts of the capability change too fast to share its partitions; trying again".into()))
}

async fn note(log: &RedisLog, heartbeat: &HostHeartbeat, said: &[String]) -> Result<State, LogError> {
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
        script.arg(&handles).arg(run).arg(log.grace.as_micros() as u64).arg(said);
        script
    };
    let answer = log.link.run_knowing(&HEARTBEAT, call).await?;
    State::read(answer).ok_or_else(|| parse::strange("a host"))
}

/// The new epochs, if nothing has changed since the decision.
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
    let epochs = parse::items(log.link.run(&GRANT, &grant).await?).ok_or_else(|| parse::strange("a grant"))?;
    if epochs.is_empty() {
        return Ok(None);
    }
    let epochs: Option<Vec<_>> = epochs.iter().map(parse::number).collect();
    epochs.filter(|e| e.len() == moves.len()).map(Some).ok_or_else(|| parse::strange("a grant"))
}

impl State {
    fn read(answer: Value) -> Option<Self> {
        let [version, partitions, owners, handles, left, forgotten] =
            <[Value; 6]>::try_from(parse::items(answer)?).ok()?;
        let partitions = usize::try_from(parse::number(&partitions)?).ok()?;
        let mut state = Self {
            version: parse::text(&version)?.into(),
            owners: vec![(0, String::new()); partitions],
            hosts: BTreeMap::new(),
            is_telling: parse::number(&left)? > 0,
            forgotten: parse::number(&forgotten)?,
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
