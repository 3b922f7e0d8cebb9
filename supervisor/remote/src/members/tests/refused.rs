//! Nodes that would close a cycle in the ask graph.

use std::collections::BTreeSet;

use super::*;

const SILENT: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(5);

/// A node as the others hear it.
struct Node {
    name: String,
    epoch: u64,
    heartbeat: Heartbeat,
}

fn node(name: &str, epoch: u64, capability: &str, asks: &[&str]) -> Node {
    Node { name: name.into(), epoch, heartbeat: heartbeat(capability, asks) }
}

impl Node {
    fn hears<'a>(&self, order: impl IntoIterator<Item = &'a Node>, now: Instant) -> Members {
        let members = members_of(&self.name, self.epoch, &self.heartbeat);
        for other in order {
            other.heard_by(&members, now);
        }
        members
    }

    fn heard_by(&self, members: &Members, now: Instant) -> MembershipChange {
        members.record_heartbeat(&header(&self.name, self.epoch), self.heartbeat.clone(), now, link)
    }
}

/// The others that are refused, and the node itself if it finds that it is.
fn refused(members: &Members, now: Instant) -> BTreeSet<String> {
    let own = members.refusal(now, SILENT).map(|_| members.own.name.clone());
    members.read().refused.keys().cloned().chain(own).collect()
}

/// All orders of these.
fn orders<'a>(nodes: &[&'a Node]) -> Vec<Vec<&'a Node>> {
    if nodes.is_empty() {
        return vec![Vec::new()];
    }
    let beginning_with = |first: usize| {
        let mut rest = nodes.to_vec();
        let first = rest.remove(first);
        orders(&rest).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    (0..nodes.len()).flat_map(beginning_with).collect()
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_hears_the_crash_looping_node_before_the_first_host_stays() {
    let now = Instant::now();
    let (first, looping) = (node("first", 1, "x", &["y"]), node("loop", 5, "y", &["x"]));
    let replica = node("replica", 6, "x", &["y"]);
    let members = replica.hears([&looping, &first], now);
    assert_eq!(members.refusal(now, SILENT), None, "it is the other one that closes the cycle");
    assert!(members.get("first").is_some() && members.get("loop").is_none());
}

#[tokio::test(start_paused = true)]
async fn no_bystander_is_refused_for_a_cycle_through_this_node() {
    let now = Instant::now();
    let (own, before) = (node("own", 5, "x", &["y"]), node("before", 3, "y", &["x"]));
    let bystander = node("bystander", 9, "z", &["x"]);
    for order in orders(&[&before, &bystander]) {
        let members = own.hears(order, now);
        assert_eq!(refused(&members, now), BTreeSet::from(["own".to_string()]));
    }
}

#[tokio::test(start_paused = true)]
async fn all_members_judge_alike_in_any_order_of_hearing() {
    let (names, now) = (["a", "b", "c", "d"], Instant::now());
    let mut seed = 7_u32;
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let (mut rounds_with_refused, mut rounds_without) = (0, 0);
    for _ in 0..300 {
        let nodes: Vec<_> = (0..4)
            .map(|index| {
                let capability = names[next(3) as usize];
                let asks: Vec<_> = names.iter().copied().filter(|to| *to != capability && next(3) == 0).collect();
                node(&format!("n{index}"), u64::from(next(6)) + 1, capability, &asks)
            })
            .collect();
        let mut judgements = BTreeSet::new();
        for (index, own) in nodes.iter().enumerate() {
            let others: Vec<_> = nodes.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, n)| n).collect();
            for order in orders(&others) {
                judgements.insert(refused(&own.hears(order, now), now));
            }
        }
        assert_eq!(judgements.len(), 1, "they are not of one mind: {judgements:?}");
        let refused = judgements.pop_first().unwrap();
        let first = nodes.iter().min_by_key(|n| (n.epoch, &n.name)).unwrap();
        assert!(!refused.contains(&first.name), "it came first");
        let asks_none = |n: &&Node| n.heartbeat.capabilities.values().all(|host| host.asks.is_empty());
        assert!(nodes.iter().filter(asks_none).all(|n| !refused.contains(&n.name)), "nothing goes on from it");
        if refused.is_empty() { rounds_without += 1 } else { rounds_with_refused += 1 }
    }
    assert!(rounds_with_refused > 50 && rounds_without > 50, "{rounds_with_refused} and {rounds_without}");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_a_member_once_the_nodes_are_gone_for_which_it_was_refused() {
    let now = Instant::now();
    let own = node("own", 1, "z", &[]);
    let members = own.hears([&node("b", 3, "y", &["x"]), &node("a", 2, "x", &["y"])], now);
    assert_eq!(refused(&members, now), BTreeSet::from(["b".to_string()]));
    assert!(matches!(node("b", 3, "y", &["x"]).heard_by(&members, now), MembershipChange::Ignored));
    assert!(members.remove("a", 2, Absence::Left, now).is_some());
    assert!(members.get("b").is_some() && refused(&members, now).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_fallen_silent_refuses_no_node_that_starts() {
    let now = Instant::now();
    let members = node("own", 5, "x", &["y"]).hears([&node("dead", 3, "y", &["x"])], now);
    assert!(members.refusal(now, SILENT).is_some());
    assert_eq!(members.refusal(now + 2 * SILENT, SILENT), None);
}

#[tokio::test(start_paused = true)]
async fn refused_nodes_are_remembered_up_to_a_bound_and_while_they_are_heard() {
    let start = Instant::now();
    let members = node("own", 1, "x", &["y"]).hears([], start);
    for epoch in 2..100 {
        node("b", epoch, "y", &["x"]).heard_by(&members, start);
    }
    assert_eq!(members.heard(), 1, "one of many lives is remembered");
    for (second, name) in ["c", "d", "e", "f"].into_iter().enumerate() {
        let now = start + Duration::from_millis(second as u64 + 1);
        assert!(matches!(
            node(name, 200, "y", &["x"]).heard_by(&members, now),
            MembershipChange::New { refused: true, .. }
        ));
    }
    assert_eq!(refused(&members, start), BTreeSet::from(["d", "e", "f"].map(String::from)));
    let lost = members.mark_silent(start + LEASE + SILENT, SILENT, LEASE);
    assert_eq!(lost.len(), 3, "they are forgotten as members are");
}
