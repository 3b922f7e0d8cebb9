//! The assignment of partitions to hosts: the rule of [`Log::heartbeat`](super::Log::heartbeat), without clock or storage.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A live host, as far as the rule needs to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveHost {
    /// The wire names of the durable messages that it handles.
    pub handles: BTreeSet<String>,
    /// Whether it wants no partition any more, and those that it had are free.
    pub leaving: bool,
}

/// The host of a partition from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub host: String,
    /// Whether another host should have it; it goes there when this one gives it up.
    pub wanted: bool,
}

/// Assigns each partition to a live host, evenly; `None` where no host wants any.
///
/// A partition stays with a live owner. One without an owner is assigned at once to the host that is furthest below its share, so
/// shares differ by at most one, and only partitions beyond a host's share are marked as wanted: none moves without need. The
/// remainder goes to the hosts with the most partitions, and each keeps its lowest numbers, so that assigning again while
/// partitions are given up one by one marks no others.
///
/// A partition with a waiting message that its owner does not handle goes to a host that handles it. Where the hosts handle
/// different messages no other partition is wanted: even shares would move partitions to and fro.
pub fn assign(
    hosts: &BTreeMap<String, LiveHost>,
    owners: &[Option<&str>],
    unhandled: &[(u32, String)],
) -> Vec<Option<Assignment>> {
    let mut owned: BTreeMap<&str, Vec<usize>> = staying(hosts).map(|(name, _)| (name, Vec::new())).collect();
    for (number, owner) in owners.iter().enumerate() {
        if let Some(numbers) = owner.and_then(|owner| owned.get_mut(owner)) {
            numbers.push(number);
        }
    }
    let eligible = eligible(hosts);
    let differ = eligible.windows(2).any(|pair| hosts[pair[0]].handles != hosts[pair[1]].handles);
    let targets = targets(eligible, &owned, owners.len());
    let mut assignments = vec![None; owners.len()];
    for (&host, numbers) in &owned {
        let target = targets.get(host).copied().unwrap_or(0);
        for (index, &number) in numbers.iter().enumerate() {
            let wanted = index >= target && (!differ || target == 0);
            assignments[number] = Some(Assignment { host: host.to_string(), wanted });
        }
    }
    let mut excess: BTreeMap<_, _> =
        targets.into_iter().map(|(host, target)| (host, owned[host].len() as isize - target as isize)).collect();
    for (number, message) in unhandled {
        let handling = |name: &str| hosts[name].handles.contains(message);
        // What a host handles that may have none is handled by one that surpasses it.
        let able = excess.iter_mut().filter(|(name, _)| handling(name)).min_by_key(|(_, excess)| **excess);
        let Some((able, assignment)) = able.zip(assignments.get_mut(*number as usize)) else { continue };
        match assignment {
            Some(assignment) => assignment.wanted |= !handling(&assignment.host),
            None => *assignment = Some(given(able)),
        }
    }
    for assignment in assignments.iter_mut().filter(|assignment| assignment.is_none()) {
        *assignment = excess.iter_mut().min_by_key(|(_, excess)| **excess).map(given);
    }
    assignments
}

/// Gives a free partition to a host, whose excess over its share it raises.
fn given((host, excess): (&&str, &mut isize)) -> Assignment {
    *excess += 1;
    Assignment { host: host.to_string(), wanted: false }
}

/// The hosts that may have partitions: those of which no other one handles all that they do, and more.
fn eligible(hosts: &BTreeMap<String, LiveHost>) -> Vec<&str> {
    let is_surpassed = |live_host: &LiveHost| {
        staying(hosts).any(|(_, other)| {
            other.handles.len() > live_host.handles.len() && other.handles.is_superset(&live_host.handles)
        })
    };
    staying(hosts).filter(|(_, live_host)| !is_surpassed(live_host)).map(|(name, _)| name).collect()
}

fn staying(hosts: &BTreeMap<String, LiveHost>) -> impl Iterator<Item = (&str, &LiveHost)> {
    hosts.iter().filter(|(_, live_host)| !live_host.leaving).map(|(name, live_host)| (name.as_str(), live_host))
}

/// How many partitions each eligible host should have.
///
/// Hosts that have more than the even share rank alike, however many more: the order of giving up does not change who keeps one of
/// the remainder.
fn targets<'a>(
    mut eligible: Vec<&'a str>,
    owned: &BTreeMap<&str, Vec<usize>>,
    partitions: usize,
) -> BTreeMap<&'a str, usize> {
    let Some(each) = partitions.checked_div(eligible.len()) else { return BTreeMap::new() };
    let left = partitions % eligible.len();
    eligible.sort_by_key(|host| (Reverse(owned[host].len().min(each + 1)), *host));
    eligible.into_iter().enumerate().map(|(rank, host)| (host, each + usize::from(rank < left))).collect()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
