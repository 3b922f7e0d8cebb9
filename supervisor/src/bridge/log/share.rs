//! Which host should work on which partition: the rule of [`Log::tend`](super::Log::tend), without clock or storage.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What the rule knows of a live host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sharer {
    /// The wire names of the durable messages that it handles.
    pub handles: BTreeSet<String>,
    /// It wants no partition any more, and those that it had are free.
    pub leaving: bool,
}

/// Who has a partition from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub host: String,
    /// Another host should have it; it goes there when this one gives it up.
    pub wanted: bool,
}

/// Shares partitions among the live hosts, by their names; `None` where no host wants any.
///
/// A partition stays with a live owner. One without is given at once to the host that lacks most, so shares differ by at
/// most one, and only what a host has beyond its share is marked as wanted: nothing moves that need not. Those with the
/// most partitions get what cannot be divided, and each keeps its lowest numbers, so that asking again while partitions
/// are given up one by one marks no others.
pub(crate) fn share(hosts: &BTreeMap<String, Sharer>, owners: &[Option<&str>]) -> Vec<Option<Share>> {
    let mut owned: BTreeMap<&str, Vec<usize>> = staying(hosts).map(|(name, _)| (name, Vec::new())).collect();
    for (number, owner) in owners.iter().enumerate() {
        if let Some(numbers) = owner.and_then(|owner| owned.get_mut(owner)) {
            numbers.push(number);
        }
    }
    let targets = targets(eligible(hosts), &owned, owners.len());
    let mut shares = vec![None; owners.len()];
    let mut room = BTreeMap::new();
    for (&host, numbers) in &owned {
        let target = targets.get(host).copied().unwrap_or(0);
        for (index, &number) in numbers.iter().enumerate() {
            shares[number] = Some(Share { host: host.to_string(), wanted: index >= target });
        }
        room.insert(host, target.saturating_sub(numbers.len()));
    }
    for share in shares.iter_mut().filter(|share| share.is_none()) {
        let lacking = room.iter_mut().filter(|(_, room)| **room > 0).min_by_key(|(_, room)| Reverse(**room));
        let Some((&host, room)) = lacking else { break };
        *room -= 1;
        *share = Some(Share { host: host.to_string(), wanted: false });
    }
    shares
}

/// The hosts that may have partitions: those that handle every message that any of them handles, or as many as possible.
fn eligible(hosts: &BTreeMap<String, Sharer>) -> Vec<&str> {
    // Whoever handles all handles the most; nobody handles more.
    let most = staying(hosts).map(|(_, sharer)| sharer.handles.len()).max().unwrap_or(0);
    staying(hosts).filter(|(_, sharer)| sharer.handles.len() >= most).map(|(name, _)| name).collect()
}

fn staying(hosts: &BTreeMap<String, Sharer>) -> impl Iterator<Item = (&str, &Sharer)> {
    hosts.iter().filter(|(_, sharer)| !sharer.leaving).map(|(name, sharer)| (name.as_str(), sharer))
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
    fn hosts(all: &[(&str, &str)]) -> BTreeMap<String, Sharer> {
        let sharer = |&(name, handles): &(&str, &str)| {
            let handles = handles.chars().map(String::from).collect();
            (name.trim_end_matches('!').to_string(), Sharer { handles, leaving: name.ends_with('!') })
        };
        all.iter().map(sharer).collect()
    }

    /// Owners of one letter each, `-` for none; a result in capitals is wanted.
    fn shared(all: &[(&str, &str)], owners: &str) -> String {
        let names: Vec<String> = owners.chars().map(String::from).collect();
        let owners: Vec<_> = names.iter().map(|n| (n != "-").then_some(n.as_str())).collect();
        let text = |share: Option<Share>| match share {
            Some(Share { host, wanted: true }) => host.to_uppercase(),
            Some(Share { host, wanted: false }) => host,
            None => "-".into(),
        };
        share(&hosts(all), &owners).into_iter().map(text).collect()
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
    fn if_none_handles_all_those_that_handle_most_share() {
        assert_eq!(shared(&[("a", "xy"), ("b", "yz"), ("c", "x")], "----"), "abab");
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
