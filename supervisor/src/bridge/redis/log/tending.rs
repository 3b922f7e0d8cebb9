//! Who works on which partition.
//!
//! The server keeps who is there and who owns what. What follows from it is decided here, by the rule that all logs
//! share, and written if nothing has changed since. So a host at rest costs one script.

use std::collections::BTreeMap;

use redis::Value;

use super::scripts::{GRANT, TEND, call};
use super::{RedisLog, parse};
use crate::bridge::log::share::{Sharer, share};
use crate::bridge::log::{LogError, Owned, Tending};

/// Of hosts that decide at the same moment one wins, and the others decide anew; so many are not expected at a time.
const TRIES: usize = 32;

/// What the server knows of a capability's hosts and partitions.
struct State {
    version: String,
    /// Epoch and host of each partition; the host is empty if there is none.
    owners: Vec<(u64, String)>,
    /// The live hosts.
    hosts: BTreeMap<String, Sharer>,
}

pub async fn tend(log: &RedisLog, tending: &Tending) -> Result<Vec<Owned>, LogError> {
    log.link.inform().await?;
    let given = tending.given_up.iter().map(u32::to_string);
    let outrun = tending.outrun.iter().map(|(number, seen)| format!("{number} {seen}"));
    let all: Vec<String> = given.chain(outrun).collect();
    let mut given_up = &all[..];
    for _ in 0..TRIES {
        let mut state = note(log, tending, given_up).await?;
        given_up = &[];
        let owners: Vec<_> = state.owners.iter().map(|(_, host)| (!host.is_empty()).then_some(&**host)).collect();
        let shares = share(&state.hosts, &owners, &tending.lacks);
        let moves = shares.iter().zip(&owners).enumerate().filter_map(|(number, (share, owner))| {
            let host = &*share.as_ref()?.host;
            (Some(host) != *owner).then(|| (number, host.to_string()))
        });
        let moves: Vec<_> = moves.collect();
        if !moves.is_empty() {
            let Some(epochs) = grant(log, tending, &state.version, &moves).await? else { continue };
            for ((number, host), epoch) in moves.into_iter().zip(epochs) {
                state.owners[number] = (epoch, host);
            }
        }
        let own = shares.iter().zip(&state.owners).enumerate().filter_map(|(number, (share, (epoch, _)))| {
            let share = share.as_ref().filter(|share| share.host == tending.host)?;
            Some(Owned { number: number as u32, epoch: *epoch, wanted: share.wanted })
        });
        return Ok(own.collect());
    }
    Err(LogError("the hosts of the capability change too fast to share its partitions; trying again".into()))
}

async fn note(log: &RedisLog, tending: &Tending, given_up: &[String]) -> Result<State, LogError> {
    let (keys, capability) = (&log.keys, &*tending.capability);
    let keys = [
        keys.registry(),
        keys.owners(capability),
        keys.hosts(capability),
        keys.handles(capability),
        keys.state(capability),
    ];
    let mut handles = if tending.leaving { "leaving" } else { "staying" }.to_string();
    tending.handles.iter().for_each(|name| handles.extend(["\n", name]));
    let call = |run: &str| {
        let mut tend = call(&TEND, &keys);
        tend.arg(capability).arg(&tending.host).arg(tending.lease.as_micros() as u64);
        tend.arg(&handles).arg(run).arg(given_up);
        tend
    };
    let answer = log.link.run_knowing(&TEND, call).await?;
    State::read(answer).ok_or_else(|| parse::strange("a host"))
}

/// The new epochs, if nothing has changed since the decision.
async fn grant(
    log: &RedisLog,
    tending: &Tending,
    version: &str,
    moves: &[(usize, String)],
) -> Result<Option<Vec<u64>>, LogError> {
    let keys = [log.keys.owners(&tending.capability), log.keys.state(&tending.capability)];
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
        let [version, partitions, owners, handles] = <[Value; 4]>::try_from(parse::items(answer)?).ok()?;
        let partitions = usize::try_from(parse::number(&partitions)?).ok()?;
        let mut state = Self {
            version: parse::text(&version)?.into(),
            owners: vec![(0, String::new()); partitions],
            hosts: BTreeMap::new(),
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
            let sharer = Sharer { handles: lines.map(Into::into).collect(), leaving };
            state.hosts.insert(parse::text(&host)?.into(), sharer);
        }
        Some(state)
    }
}
