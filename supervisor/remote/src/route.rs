//! Routing: the node that gets an ask.

use std::sync::Arc;

use essaim_base::rendezvous::weight;
use essaim_contract::NotDelivered;
use essaim_protocol::frame::{Heartbeat, NodeState};

use super::members::Peer;

/// The properties of an ask that decide where it can go.
pub struct RouteQuery<'a> {
    pub capability: &'a str,
    pub message: &'a str,
    pub key: Option<&'a str>,
    /// Nodes that did not take it in an earlier attempt.
    pub excluded: &'a [Arc<str>],
}

/// The best node for an ask: with a key the key's own (rendezvous hashing over the nodes in sight), without one the least
/// loaded.
pub fn choose<'a>(
    peers: impl Iterator<Item = &'a Arc<Peer>> + Clone,
    query: &RouteQuery<'_>,
) -> Result<Arc<Peer>, NotDelivered> {
    match best(peers.clone(), query) {
        Some((_, peer)) => Ok(peer.clone()),
        None => Err(why_not(peers, query)),
    }
}

/// The best node that takes such an ask, and its load.
fn best<'a>(peers: impl Iterator<Item = &'a Arc<Peer>>, query: &RouteQuery<'_>) -> Option<(u32, &'a Arc<Peer>)> {
    let able = peers.filter(|p| !query.excluded.contains(&p.name)).filter_map(|p| Some((p.load_for(query)?, p)));
    match query.key {
        Some(key) => able.max_by_key(|(_, peer)| weight(key, &*peer.name)),
        None => able.min_by_key(|(load, _)| *load),
    }
}

/// Whether this node should handle an ask itself although others could: with a key if the key is its own, without one
/// if no other is less loaded.
pub fn local_wins<'a>(peers: impl Iterator<Item = &'a Arc<Peer>>, query: &RouteQuery<'_>, me: &str, load: u32) -> bool {
    best(peers, query).is_none_or(|(its_load, peer)| match query.key {
        Some(key) => weight(key, me) >= weight(key, &*peer.name),
        None => load <= its_load,
    })
}

/// Why no host can take the ask, from the host that comes nearest to it.
fn why_not<'a>(peers: impl Iterator<Item = &'a Arc<Peer>>, query: &RouteQuery<'_>) -> NotDelivered {
    let capability = query.capability.to_string();
    let heartbeats = peers.map(|peer| (peer.heartbeat(), peer));
    let hosting = heartbeats.filter(|(heartbeat, _)| heartbeat.capabilities.contains_key(query.capability));
    let nearness = |(heartbeat, _): &(Arc<Heartbeat>, _)| {
        (heartbeat.state == NodeState::Ready, heartbeat.capabilities[query.capability].running)
    };
    let Some((heartbeat, peer)) = hosting.max_by_key(nearness) else { return NotDelivered::NoHost { capability } };
    let (host, node) = (&heartbeat.capabilities[query.capability], peer.name.to_string());
    if heartbeat.state == NodeState::Draining {
        return NotDelivered::Draining { node };
    }
    if !host.running {
        return NotDelivered::Starting { capability, reason: format!("it is not up in node `{node}`") };
    }
    if !host.messages.iter().any(|m| m == query.message) {
        return NotDelivered::Unsupported { message: query.message.to_string() };
    }
    NotDelivered::Unreachable { node }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::time::Instant;

    use super::super::members::Members;
    use super::super::members::tests::{header, heartbeat, link, no_members};
    use super::*;

    fn members(names: &[&str]) -> Members {
        let members = no_members();
        for name in names {
            members.record_heartbeat(&header(name, 1), heartbeat("x", &[]), Instant::now(), link);
        }
        members
    }

    fn query<'a>(key: Option<&'a str>, excluded: &'a [Arc<str>]) -> RouteQuery<'a> {
        RouteQuery { capability: "x", message: "x.do.v1", key, excluded }
    }

    fn chosen(members: &Members, key: Option<&str>, excluded: &[Arc<str>]) -> Result<String, NotDelivered> {
        choose(members.all().iter(), &query(key, excluded)).map(|p| p.name.to_string())
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
    async fn the_error_says_why_no_host_can_take_the_ask() {
        let no_host = chosen(&members(&[]), None, &[]);
        assert_eq!(no_host, Err(NotDelivered::NoHost { capability: "x".into() }));
        let members = members(&[]);
        let mut other = heartbeat("x", &[]);
        other.capabilities.get_mut("x").unwrap().messages = vec!["x.do.v2".into()];
        members.record_heartbeat(&header("a", 1), other, Instant::now(), link);
        assert_eq!(chosen(&members, None, &[]), Err(NotDelivered::Unsupported { message: "x.do.v1".into() }));
        let mut leaving = heartbeat("x", &[]);
        leaving.state = NodeState::Draining;
        members.record_heartbeat(&header("a", 1), leaving, Instant::now(), link);
        assert_eq!(chosen(&members, None, &[]), Err(NotDelivered::Draining { node: "a".into() }));
    }

    #[tokio::test(start_paused = true)]
    async fn this_node_keeps_an_ask_only_while_no_other_is_less_loaded() {
        let members = members(&["a"]);
        assert!(local_wins(members.all().iter(), &query(None, &[]), "me", 0));
        assert!(!local_wins(members.all().iter(), &query(None, &[]), "me", 1));
        assert!(local_wins([].iter(), &query(None, &[]), "me", 9), "there is no other node");
    }
}
