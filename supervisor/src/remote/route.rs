//! Which node gets an ask.

use std::sync::Arc;

use essaim_contract::NotDelivered;

use super::frame::{Beat, HostBeat, NodeState};
use super::members::Peer;
use crate::host::rendezvous;

/// What an ask looks for.
pub(crate) struct Wanted<'a> {
    pub capability: &'a str,
    pub message: &'a str,
    pub key: Option<&'a str>,
    /// Nodes that did not take it.
    pub excluded: &'a [Arc<str>],
}

/// A node that hosts what is wanted, as it was heard last.
struct Offer {
    peer: Arc<Peer>,
    beat: Arc<Beat>,
    silent: bool,
}

impl Offer {
    fn of(peer: Arc<Peer>, capability: &str) -> Option<Self> {
        let (beat, silent) = peer.heard();
        beat.capabilities.contains_key(capability).then_some(Self { peer, beat, silent })
    }

    /// What it says about the capability.
    fn host(&self, capability: &str) -> &HostBeat {
        &self.beat.capabilities[capability]
    }

    fn is_able(&self, wanted: &Wanted<'_>) -> bool {
        let host = self.host(wanted.capability);
        host.running
            && self.beat.state == NodeState::Ready
            && !self.silent
            && host.messages.iter().any(|m| m == wanted.message)
            && !wanted.excluded.contains(&self.peer.name)
    }

    fn load(&self, wanted: &Wanted<'_>) -> u32 {
        self.peer.load(self.host(wanted.capability))
    }
}

/// The best node: with a key the key's own (rendezvous hashing over the nodes in sight), without one the least loaded.
pub(crate) fn choose(peers: Vec<Arc<Peer>>, wanted: &Wanted<'_>) -> Result<Arc<Peer>, NotDelivered> {
    best(peers, wanted).map(|offer| offer.peer)
}

fn best(peers: Vec<Arc<Peer>>, wanted: &Wanted<'_>) -> Result<Offer, NotDelivered> {
    let mut offers: Vec<_> = peers.into_iter().filter_map(|p| Offer::of(p, wanted.capability)).collect();
    let able = offers.iter().enumerate().filter(|(_, offer)| offer.is_able(wanted));
    let best = match wanted.key {
        Some(key) => able.max_by_key(|(_, offer)| rendezvous(key, &*offer.peer.name)),
        None => able.min_by_key(|(_, offer)| offer.load(wanted)),
    };
    match best.map(|(index, _)| index) {
        Some(index) => Ok(offers.swap_remove(index)),
        None => Err(why_not(&offers, wanted)),
    }
}

/// Whether this node should handle an ask itself although others could: with a key if the key is its own, without one
/// if nobody is less loaded.
pub(crate) fn local_wins(peers: Vec<Arc<Peer>>, wanted: &Wanted<'_>, me: &str, load: u32) -> bool {
    match best(peers, wanted) {
        Err(_) => true,
        Ok(offer) => match wanted.key {
            Some(key) => rendezvous(key, me) >= rendezvous(key, &*offer.peer.name),
            None => load <= offer.load(wanted),
        },
    }
}

/// Why none of the hosts can have it, from the one that is nearest to being able.
fn why_not(offers: &[Offer], wanted: &Wanted<'_>) -> NotDelivered {
    let capability = wanted.capability.to_string();
    let nearness = |o: &&Offer| (o.beat.state == NodeState::Ready, o.host(wanted.capability).running);
    let Some(offer) = offers.iter().max_by_key(nearness) else { return NotDelivered::NoHost { capability } };
    let (host, node) = (offer.host(wanted.capability), offer.peer.name.to_string());
    if offer.beat.state == NodeState::Draining {
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
    use super::super::members::tests::{alone, beat, header, lane};
    use super::*;

    fn members(names: &[&str]) -> Members {
        let members = Members::default();
        for name in names {
            members.beat(&header(name, 1), beat("x", &[]), Instant::now(), lane, alone);
        }
        members
    }

    fn wanted<'a>(key: Option<&'a str>, excluded: &'a [Arc<str>]) -> Wanted<'a> {
        Wanted { capability: "x", message: "x.do.v1", key, excluded }
    }

    fn chosen(members: &Members, key: Option<&str>, excluded: &[Arc<str>]) -> Result<String, NotDelivered> {
        choose(members.all(), &wanted(key, excluded)).map(|p| p.name.to_string())
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
        members.beat(&header("a", 1), other, Instant::now(), lane, alone);
        assert_eq!(chosen(&members, None, &[]), Err(NotDelivered::Unsupported { message: "x.do.v1".into() }));
        let mut leaving = beat("x", &[]);
        leaving.state = NodeState::Draining;
        members.beat(&header("a", 1), leaving, Instant::now(), lane, alone);
        assert_eq!(chosen(&members, None, &[]), Err(NotDelivered::Draining { node: "a".into() }));
    }

    #[tokio::test(start_paused = true)]
    async fn this_node_keeps_an_ask_only_while_nobody_is_less_loaded() {
        let members = members(&["a"]);
        assert!(local_wins(members.all(), &wanted(None, &[]), "me", 0));
        assert!(!local_wins(members.all(), &wanted(None, &[]), "me", 1));
        assert!(local_wins(Vec::new(), &wanted(None, &[]), "me", 9), "there is nobody else");
    }
}
