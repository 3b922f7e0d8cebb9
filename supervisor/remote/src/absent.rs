//! Nodes that were here and are no members now: operators are told which capabilities went with them, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::members::Peer;

/// The most that are remembered.
const MOST: usize = 64;
/// For so long each is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A node that was heard and is no member.
#[derive(Debug, Clone)]
pub struct AbsentNode {
    /// The capabilities that it hosted.
    pub hosted: Vec<String>,
    /// Since when it is no member.
    pub since: Instant,
    pub absence: Absence,
}

/// Why a node is no member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// It has said that it leaves.
    Left,
    /// It was not heard for a lease.
    Lost,
    /// The others refuse it: with it the ask graph has this cycle.
    Refused(Vec<String>),
}

/// The absent nodes by their names. Bounded by [`MOST`]: the longest absent is forgotten.
#[derive(Debug, Default)]
pub(super) struct AbsentNodes(BTreeMap<String, AbsentNode>);

impl AbsentNodes {
    /// Remembers a node that is no member from now on. One that was refused stays so when it ends.
    pub fn remember(&mut self, peer: &Peer, absence: Absence, now: Instant) {
        let was_refused = |known: &AbsentNode| matches!(known.absence, Absence::Refused(_));
        if absence == Absence::Left && self.0.get(&*peer.name).is_some_and(was_refused) {
            return;
        }
        let hosted = peer.heartbeat().capabilities.keys().cloned().collect();
        self.0.insert(peer.name.to_string(), AbsentNode { hosted, since: now, absence });
        if self.0.len() > MOST {
            let longest = self.0.iter().min_by_key(|(_, node)| node.since).map(|(name, _)| name.clone());
            longest.and_then(|name| self.0.remove(&name));
        }
    }

    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Those that are still worth telling of.
    pub fn all(&self, now: Instant) -> BTreeMap<String, AbsentNode> {
        let is_recent = |node: &AbsentNode| now.saturating_duration_since(node.since) <= REMEMBERED;
        self.0.iter().filter(|(_, node)| is_recent(node)).map(|(name, node)| (name.clone(), node.clone())).collect()
    }
}
