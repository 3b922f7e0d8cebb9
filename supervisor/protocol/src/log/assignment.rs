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
    lacks: &[(u32, String)],
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
    let mut room = BTreeMap::new();
    for (&host, numbers) in &owned {
        let target = targets.get(host).copied().unwrap_or(0);
        for (index, &number) in numbers.iter().enumerate() {
            let wanted = index >= target && (!differ || target == 0);
            assignments[number] = Some(Assignment { host: host.to_string(), wanted });
        }
        room.insert(host, target.saturating_sub(numbers.len()));
    }
    for (number, message) in lacks {
        let handling = |name: &str| hosts[name].handles.contains(message);
        // What a host handles that may have none is handled by one that surpasses it.
        let able = targets.keys().copied().filter(|name| handling(name)).min_by_key(|name| owned[name].len());
        let Some((able, assignment)) = able.zip(assignments.get_mut(*number as usize)) else { continue };
        match assignment {
            Some(assignment) => assignment.wanted |= !handling(&assignment.host),
            None => {
                *assignment = Some(Assignment { host: able.to_string(), wanted: false });
                room.entry(able).and_modify(|room| *room = room.saturating_sub(1));
            }
        }
    }
    for assignment in assignments.iter_mut().filter(|assignment| assignment.is_none()) {
        let mut eligible = room.iter_mut().filter(|(host, _)| targets.contains_key(*host));
        let first = eligible.next();
        let lacking = first.into_iter().chain(eligible).min_by_key(|(_, room)| Reverse(**room));
        let Some((&host, room)) = lacking else { break };
        *room = room.saturating_sub(1);
        *assignment = Some(Assignment { host: host.to_string(), wanted: false });
    }
    assignments
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
fn targets<'a>(
    mut eligible: Vec<&'a str>,
    owned: &BTreeMap<&str, Vec<usize>>,
    partitions: usize,
) -> BTreeMap<&'a str, usize> {
    let Some(each) = partitions.checked_div(eligible.len()) else { return BTreeMap::new() };
    let left = partitions % eligible.len();
    eligible.sort_by_key(|host| (Reverse(owned.get(host).map_or(0, Vec::len)), *host));
    eligible.into_iter().enumerate().map(|(rank, host)| (host, each + usize::from(rank < left))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts and the messages that they handle, one letter each; a name with a `!` leaves.
    fn hosts(all: &[(&str, &str)]) -> BTreeMap<String, LiveHost> {
        let live_host = |&(name, handles): &(&str, &str)| {
            let handles = handles.chars().map(String::from).collect();
            (name.trim_end_matches('!').to_string(), LiveHost { handles, leaving: name.ends_with('!') })
        };
        all.iter().map(live_host).collect()
    }

    /// Owners of one letter each, `-` for none; a result in capitals is wanted.
    fn shared(all: &[(&str, &str)], owners: &str) -> String {
        shared_lacking(all, owners, &[])
    }

    fn shared_lacking(all: &[(&str, &str)], owners: &str, lacks: &[(u32, &str)]) -> String {
        let lacks: Vec<_> = lacks.iter().map(|(number, name)| (*number, name.to_string())).collect();
        let names: Vec<String> = owners.chars().map(String::from).collect();
        let owners: Vec<_> = names.iter().map(|n| (n != "-").then_some(n.as_str())).collect();
        let text = |assignment: Option<Assignment>| match assignment {
            Some(Assignment { host, wanted: true }) => host.to_uppercase(),
            Some(Assignment { host, wanted: false }) => host,
            None => "-".into(),
        };
        assign(&hosts(all), &owners, &lacks).into_iter().map(text).collect()
    }

    #[test]
    fn one_host_gets_all_and_without_a_host_nobody_has_any() {
        assert_eq!(shared(&[("a", "x")], "----"), "aaaa");
        assert_eq!(shared(&[], "--"), "--");
        assert_eq!(shared(&[("a!", "x")], "--"), "--");
        assert_eq!(shared(&[("a", "x")], ""), "");
    }

    #[test]
    fn shares_differ_by_at_most_one() {
        for partitions in 0..20 {
            for count in 1..6 {
                let names: Vec<String> = (0..count).map(|n| char::from(b'a' + n).to_string()).collect();
                let all: Vec<_> = names.iter().map(|n| (n.as_str(), "x")).collect();
                let result = shared(&all, &"-".repeat(partitions));
                let each: Vec<_> = names.iter().map(|n| result.matches(n.as_str()).count()).collect();
                assert_eq!(each.iter().sum::<usize>(), partitions);
                assert!(each.iter().max().unwrap() - each.iter().min().unwrap() <= 1, "{result}");
            }
        }
    }

    #[test]
    fn a_newcomer_wants_its_half_and_nothing_else_moves() {
        let both = [("a", "x"), ("b", "x")];
        assert_eq!(shared(&both, "aaaaa"), "aaaAA");
        assert_eq!(shared(&both, "aaaa-"), "aaaAb", "what is given up goes at once, and the same are still wanted");
        assert_eq!(shared(&both, "aaabb"), "aaabb");
        assert_eq!(shared(&[("a", "x"), ("b", "x"), ("c", "x")], "aaabb"), "aaAbb");
    }

    #[test]
    fn what_a_lost_host_had_is_shared_by_the_others() {
        assert_eq!(shared(&[("a", "x"), ("b", "x")], "abcabc"), "abaabb");
        assert_eq!(shared(&[("b", "x")], "aab"), "bbb");
    }

    #[test]
    fn what_a_host_that_leaves_had_is_free_at_once() {
        assert_eq!(shared(&[("a!", "x"), ("b", "x")], "aabb"), "bbbb");
        assert_eq!(shared(&[("a!", "x"), ("b", "x"), ("c", "x")], "aabc"), "bcbc");
        assert_eq!(shared(&[("a!", "x")], "aa"), "--", "it wants none even if nobody else is there");
    }

    #[test]
    fn a_host_that_cannot_handle_what_another_can_gets_none() {
        assert_eq!(shared(&[("a", "xy"), ("b", "x")], "----"), "aaaa");
        assert_eq!(shared(&[("a", "xy"), ("b", "x")], "bb--"), "BBaa");
        assert_eq!(shared(&[("a!", "xy"), ("b", "x")], "----"), "bbbb", "who leaves is no measure");
    }

    #[test]
    fn if_none_handles_all_those_share_that_nobody_surpasses() {
        let crossing = [("a", "xy"), ("b", "yz"), ("c", "x"), ("d", "w")];
        assert_eq!(shared(&crossing, "---"), "abd", "the largest sets are not the only ones that are needed");
        assert_eq!(shared(&crossing, "aaa"), "aaa", "while they differ nothing moves by itself");
        assert_eq!(shared(&crossing, "cca"), "CCa");
    }

    #[test]
    fn a_partition_goes_to_a_host_that_handles_what_waits_in_it() {
        let crossing = [("a", "xy"), ("b", "yz")];
        assert_eq!(shared_lacking(&crossing, "aabb", &[(1, "z")]), "aAbb");
        assert_eq!(shared_lacking(&crossing, "a-bb", &[(1, "z")]), "abbb", "however many it has");
        assert_eq!(shared_lacking(&crossing, "abbb", &[]), "abbb", "and stays there");
        assert_eq!(shared_lacking(&crossing, "abbb", &[(1, "x")]), "aBbb", "until it is needed elsewhere");
        assert_eq!(shared_lacking(&crossing, "aabb", &[(1, "w"), (0, "y")]), "aabb", "nobody does, or its owner");
        assert_eq!(shared_lacking(&[("a", "xy"), ("b!", "yz")], "aa", &[(1, "z")]), "aa", "who leaves takes nothing");
        assert_eq!(shared_lacking(&crossing, "aabb", &[(9, "z")]), "aabb");
    }

    /// Hosts of all sets come, go and give up; at each moment those that are there have everything.
    #[test]
    fn no_partition_is_without_an_owner_while_a_host_is_there_and_asking_again_changes_nothing() {
        let sets = ["x", "xy", "yz", "xyz", "z"];
        for seed in 0..2_000_u32 {
            let mut dice = seed.wrapping_mul(2_654_435_761);
            let mut below = |bound: u32| {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (dice >> 16) % bound
            };
            let names = ["a", "b", "c", "d"];
            let count = 1 + below(4) as usize;
            let all: Vec<_> = names[..count].iter().map(|name| (*name, sets[below(5) as usize])).collect();
            let owners: String = (0..below(9)).map(|_| ["a", "b", "c", "d", "-"][below(5) as usize]).collect();
            let lacks = [(below(9), ["x", "y", "z"][below(3) as usize])];
            let mut now = owners.clone();
            for _ in 0..20 {
                let next = shared_lacking(&all, &now, &lacks);
                assert!(!next.contains('-'), "{all:?} {owners} {lacks:?}");
                // Each gives up what is wanted, one after the other.
                match next.find(char::is_uppercase) {
                    Some(at) => {
                        now = next.to_lowercase();
                        now.replace_range(at..=at, "-");
                    }
                    None => {
                        now = next;
                        break;
                    }
                }
            }
            assert_eq!(shared_lacking(&all, &now, &lacks), now, "{all:?} {owners} {lacks:?}: it comes to rest");
        }
    }

    #[test]
    fn giving_up_what_is_wanted_ends_in_even_shares() {
        let all = [("a", "x"), ("b", "x"), ("c", "x")];
        let mut owners = "aaaaaaab".to_string();
        let mut moves = 0;
        while let Some(at) = shared(&all, &owners).find(char::is_uppercase) {
            owners.replace_range(at..=at, "-");
            owners = shared(&all, &owners).to_lowercase();
            moves += 1;
        }
        assert_eq!((owners.matches('a').count(), moves), (3, 4), "{owners}");
        assert_eq!(owners.matches('b').count() - owners.matches('c').count(), 1, "{owners}");
    }
}
