//! Which node gets an ask.

use std::sync::Arc;

use essaim_contract::NotDelivered;

use super::frame::{Heartbeat, NodeState};
use super::members::Peer;
use crate::keys::weight;

/// What an ask looks for.
pub(crate) struct Wanted<'a> {
    pub capability: &'a str,
    pub message: &'a str,
    pub key: Option<&'a str>,
    /// Nodes that did not take it.
    pub excluded: &'a [Arc<str>],
}

/// The best node: with a key the key's own (rendezvous hashing over the nodes in sight), without one the least loaded.
pub(crate) fn choose<'a>(
    peers: impl Iterator<Item = &'a Arc<Peer>> + Clone,
    wanted: &Wanted<'_>,
) -> Result<Arc<Peer>, NotDelivered> {
    match best(peers.clone(), wanted) {
        Some((_, peer)) => Ok(peer.clone()),
        None => Err(why_not(peers, wanted)),
    }
}

/// The best node, and its load.
fn best<'a>(peers: impl Iterator<Item = &'a Arc<Peer>>, wanted: &Wanted<'_>) -> Option<(u32, &'a Arc<Peer>)> {
    let able = peers.filter(|p| !wanted.excluded.contains(&p.name)).filter_map(|p| Some((p.offer(wanted)?, p)));
    match wanted.key {
        Some(key) => able.max_by_key(|(_, peer)| weight(key, &*peer.name)),
        None => able.min_by_key(|(load, _)| *load),
    }
}

/// Whether this node should handle an ask itself although others could: with a key if the key is its own, without one
/// if nobody is less loaded.
pub(crate) fn local_wins<'a>(
    peers: impl Iterator<Item = &'a Arc<Peer>>,
    wanted: &Wanted<'_>,
    me: &str,
    load: u32,
) -> bool {
    best(peers, wanted).is_none_or(|(its_load, peer)| match wanted.key {
        Some(key) => weight(key, me) >= weight(key, &*peer.name),
        None => load <= its_load,
    })
}

/// Why none of the hosts can have it, from the one that is nearest to being able.
fn why_not<'a>(peers: impl Iterator<Item = &'a Arc<Peer>>, wanted: &Wanted<'_>) -> NotDelivered {
    let capability = wanted.capability.to_string();
    let hosting = peers.map(|p| (p.beat(), p)).filter(|(beat, _)| beat.capabilities.contains_key(wanted.capability));
    let nearness = |(beat, _): &(Arc<Heartbeat>, _)| {
        (beat.state == NodeState::Ready, beat.capabilities[wanted.capability].running)
    };
    let Some((beat, peer)) = hosting.max_by_key(nearness) else { return NotDelivered::NoHost { capability } };
    let (host, node) = (&beat.capabilities[wanted.capability], peer.name.to_string());
    if beat.state == NodeState::Draining {
        return NotDelivered::Draining { node };
    }
    if !host.running {
        return NotDelivered::Starting { capability, reason: format!("it is not up in node `{node}`") };
    }
    if !host.messages.iter().any(|m| m == wanted.message) {
        return NotDelivered::Unsupported { message: wanted.message.to_string() };
    }
    NotDelivered::Unreachable { node }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::time::Instant;

    use super::super::members::Members;
    use super::super::members::tests::{beat, header, lane, nobody};
    use super::*;

    fn members(names: &[&str]) -> Members {
        let members = nobody();
        for name in names {
            members.beat(&header(name, 1), beat("x", &[]), Instant::now(), lane);
        }
        members
    }

    fn wanted<'a>(key: Option<&'a str>, excluded: &'a [Arc<str>]) -> Wanted<'a> {
        Wanted { capability: "x", message: "x.do.v1", key, excluded }
    }

    fn chosen(members: &Members, key: Option<&str>, excluded: &[Arc<str>]) -> Result<String, NotDelivered> {
        choose(members.all().iter(), &wanted(key, excluded)).map(|p| p.name.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_loaded_node_is_chosen_and_an_excluded_one_is_not() {
        let members = members(&["a", "b"]);
        members.get("a").unwrap().outstanding.store(3, Ordering::Relaxed);
        assert_eq!(chosen(&members, None, &[]).unwrap(), "b");
        assert_eq!(chosen(&members, None, &["b".into()]).unwrap(), "a");
        let none = NotDelivered::Unreachable { node: "b".into() };
        assert_eq!(chosen(&members, None, &["a".into(), "b".into()]), Err(none));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_stays_with_its_node_when_another_comes() {
        let (few, more) = (members(&["a", "b", "c"]), members(&["a", "b", "c", "d"]));
        let mut moved = 0;
        for i in 0..200 {
            let key = format!("k{i}");
            let (before, after) = (chosen(&few, Some(&key), &[]).unwrap(), chosen(&more, Some(&key), &[]).unwrap());
            if before != after {
                assert_eq!(after, "d", "a key only moves to the node that came");
                moved += 1;
            }
        }
        assert!((20..90).contains(&moved), "about a quarter of 200 keys moves: {moved}");
    }

    #[tokio::test(start_paused = true)]
    async fn why_nobody_can_have_it_is_told() {
        let nobody = chosen(&members(&[]), None, &[]);
        assert_eq!(nobody, Err(NotDelivered::NoHost { capability: "x".into() }));
        let members = members(&[]);
        let mut other = beat("x", &[]);
        other.capabilities.get_mut("x").unwrap().messages = vec!["x.do.v2".into()];
        members.beat(&header("a", 1), other, Instant::now(), lane);
        assert_eq!(chosen(&members, None, &[]), Err(NotDelivered::Unsupported { message: "x.do.v1".into() }));
        let mut leaving = beat("x", &[]);
        leaving.state = NodeState::Draining;
        members.beat(&header("a", 1), leaving, Instant::now(), lane);
        assert_eq!(chosen(&members, None, &[]), Err(NotDelivered::Draining { node: "a".into() }));
    }

    #[tokio::test(start_paused = true)]
    async fn this_node_keeps_an_ask_only_while_nobody_is_less_loaded() {
        let members = members(&["a"]);
        assert!(local_wins(members.all().iter(), &wanted(None, &[]), "me", 0));
        assert!(!local_wins(members.all().iter(), &wanted(None, &[]), "me", 1));
        assert!(local_wins([].iter(), &wanted(None, &[]), "me", 9), "there is nobody else");
    }
}
