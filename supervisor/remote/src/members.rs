//! Membership: which nodes are alive and what they host, as this node hears it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use essaim_base::lock::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use essaim_contract::NotDelivered;
use essaim_protocol::frame::{FrameHeader, Heartbeat, NodeState};
use tokio::time::Instant;

use super::absent::{Absence, AbsentNode, AbsentNodes};
use super::ask_graph::{DeclaredAsks, NodeAsks, declared_asks, refused_nodes};
use super::link::PeerLink;
use super::route::{self, RouteQuery};

/// The nodes that this node hears, itself included only under parity.
pub struct Members {
    own: OwnNode,
    nodes: RwLock<HeardNodes>,
}

/// This node, as the others judge it.
pub(crate) struct OwnNode {
    pub name: String,
    pub epoch: u64,
    pub asks: DeclaredAsks,
    /// Bound of the refused nodes that are remembered.
    pub max_refused_nodes: usize,
}

#[derive(Default)]
struct HeardNodes {
    peers: BTreeMap<String, Arc<Peer>>,
    /// Nodes that would close a cycle in the ask graph. They are remembered as long as they are heard, and become peers once
    /// those nodes have left that came before them.
    refused: BTreeMap<String, Arc<Peer>>,
    /// Nodes that are no members any more, those that are refused among them.
    absent: AbsentNodes,
}

/// Another node.
pub struct Peer {
    pub name: Arc<str>,
    pub epoch: u64,
    pub(crate) link: Arc<PeerLink>,
    asks: DeclaredAsks,
    heard: Mutex<LastHeard>,
    /// Asks of this node that it has not answered.
    pub(crate) outstanding: AtomicU32,
}

/// The last heartbeat of a peer, and what follows from it and its age.
struct LastHeard {
    at: Instant,
    heartbeat: Arc<Heartbeat>,
    silent: bool,
    /// Whether it has acknowledged this node's drain.
    saw_drain: bool,
}

/// The effect of a heartbeat on the membership.
pub(crate) enum MembershipChange {
    /// None: the node is a member already.
    None,
    /// A node came, or came back under a higher epoch.
    New {
        /// The epoch under which it was known before.
        over_epoch: Option<u64>,
        /// Whether it was refused: the ask graph would have a cycle with it.
        refused: bool,
    },
    /// None: a node of a higher epoch is known, or the node is still refused.
    Ignored,
}

impl Members {
    /// No members yet.
    pub(crate) fn of(own: OwnNode) -> Self {
        Self { own, nodes: RwLock::default() }
    }

    /// Records a heartbeat. `link` makes the link to a new node.
    pub(crate) fn record_heartbeat(
        &self,
        from: &FrameHeader<'_>,
        heartbeat: Heartbeat,
        now: Instant,
        link: impl FnOnce() -> Arc<PeerLink>,
    ) -> MembershipChange {
        let known = self.known(from.from);
        match &known {
            Some(peer) if peer.epoch > from.epoch => return MembershipChange::Ignored,
            Some(peer) if peer.epoch == from.epoch => {
                peer.record_heartbeat(heartbeat, now);
                let is_member = self.get(from.from).is_some();
                return if is_member { MembershipChange::None } else { MembershipChange::Ignored };
            }
            _ => {}
        }
        let peer = Peer {
            name: from.from.into(),
            epoch: from.epoch,
            link: link(),
            asks: declared_asks(&heartbeat.capabilities),
            heard: Mutex::new(LastHeard { at: now, heartbeat: Arc::new(heartbeat), silent: false, saw_drain: false }),
            outstanding: AtomicU32::new(0),
        };
        let mut nodes = self.write();
        nodes.refused.remove(from.from);
        nodes.peers.insert(from.from.into(), Arc::new(peer));
        self.judge(&mut nodes, now);
        let refused = !nodes.peers.contains_key(from.from);
        if !refused {
            nodes.absent.forget(from.from);
        }
        MembershipChange::New { over_epoch: known.map(|p| p.epoch), refused }
    }

    /// Separates the nodes that are refused from the others.
    fn judge(&self, nodes: &mut HeardNodes, now: Instant) {
        let (peers, before) = (std::mem::take(&mut nodes.peers), std::mem::take(&mut nodes.refused));
        let others = peers.values().chain(before.values()).filter(|peer| *peer.name != *self.own.name);
        let cycles = refused_nodes(others.map(|peer| peer.node_asks()).chain([self.own.node_asks()]));
        for (name, peer) in peers.iter().chain(&before) {
            let entry = (name.clone(), peer.clone());
            match cycles.get(name.as_str()) {
                Some(cycle) => {
                    nodes.refused.extend([entry]);
                    if !before.contains_key(name) {
                        nodes.absent.remember(peer, Absence::Refused(cycle.clone()), now);
                        let (epoch, cycle) = (peer.epoch, cycle.join(" -> "));
                        tracing::error!(
                            node = name,
                            epoch,
                            cycle,
                            "a node was refused: with it the ask graph has a cycle"
                        );
                    }
                }
                None => {
                    nodes.peers.extend([entry]);
                    if before.contains_key(name) {
                        nodes.absent.forget(name);
                        tracing::info!(
                            node = name,
                            "a node that was refused is a member now: those before it are gone"
                        );
                    }
                }
            }
        }
        while nodes.refused.len() > self.own.max_refused_nodes {
            let longest_silent =
                nodes.refused.iter().min_by_key(|(_, peer)| peer.heard_at()).map(|(name, _)| name.clone());
            longest_silent.and_then(|name| nodes.refused.remove(&name));
        }
        debug_assert!(nodes.peers.keys().all(|name| !nodes.refused.contains_key(name)), "a node is a peer or refused");
    }

    /// Number of nodes that were heard, including refused ones.
    pub(crate) fn heard(&self) -> usize {
        let nodes = self.read();
        nodes.peers.len() + nodes.refused.len()
    }

    /// Number of refused nodes.
    pub(crate) fn refused(&self) -> usize {
        self.read().refused.len()
    }

    /// The cycle that this node closes with the nodes that came before it and were heard within `silent`, if it does.
    pub(crate) fn refusal(&self, now: Instant, silent: Duration) -> Option<Vec<String>> {
        let all = self.all_heard();
        let heard = |peer: &&Arc<Peer>| now.saturating_duration_since(peer.heard_at()) <= silent;
        let others = all.iter().filter(heard).filter(|peer| *peer.name != *self.own.name);
        refused_nodes(others.map(|peer| peer.node_asks()).chain([self.own.node_asks()])).remove(&*self.own.name)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Peer>> {
        self.read().peers.get(name).cloned()
    }

    /// The node of this name, refused or not.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<Peer>> {
        let nodes = self.read();
        nodes.peers.get(name).or_else(|| nodes.refused.get(name)).cloned()
    }

    /// Whether the node of this name hosts a capability, up or not.
    pub fn hosts(&self, name: &str, capability: &str) -> bool {
        self.get(name).is_some_and(|peer| peer.heartbeat().capabilities.contains_key(capability))
    }

    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.read().peers.values().cloned().collect()
    }

    /// Nodes that were heard and are no members, by their names.
    pub fn absent(&self, now: Instant) -> BTreeMap<String, AbsentNode> {
        self.read().absent.all(now)
    }

    /// All nodes that are heard, including refused ones.
    pub(crate) fn all_heard(&self) -> Vec<Arc<Peer>> {
        let nodes = self.read();
        nodes.peers.values().chain(nodes.refused.values()).cloned().collect()
    }

    /// The best member for an ask.
    pub(crate) fn choose(&self, query: &RouteQuery<'_>) -> Result<Arc<Peer>, NotDelivered> {
        route::choose(self.read().peers.values(), query)
    }

    /// Whether this node, with this load, should handle an ask itself although others could.
    pub(crate) fn local_wins(&self, query: &RouteQuery<'_>, me: &str, load: u32) -> bool {
        route::local_wins(self.read().peers.values(), query, me, load)
    }

    /// Takes a node of this epoch out of the members, and returns it if it was known.
    pub(crate) fn remove(&self, name: &str, epoch: u64, absence: Absence, now: Instant) -> Option<Arc<Peer>> {
        let mut nodes = self.write();
        let HeardNodes { peers, refused, .. } = &mut *nodes;
        let gone = [peers, refused].into_iter().find_map(|all| {
            all.get(name).filter(|peer| peer.epoch == epoch)?;
            all.remove(name)
        })?;
        nodes.absent.remember(&gone, absence, now);
        self.judge(&mut nodes, now);
        Some(gone)
    }

    /// Marks the nodes not heard for `silent`, and returns those not heard for `lease`.
    pub(crate) fn mark_silent(&self, now: Instant, silent: Duration, lease: Duration) -> Vec<Arc<Peer>> {
        let mut lost = Vec::new();
        for peer in self.all_heard() {
            let mut heard = peer.heard.lock();
            let quiet = now.saturating_duration_since(heard.at);
            let silent_now = quiet > silent;
            if silent_now && !heard.silent {
                tracing::debug!(node = %peer.name, quiet_ms = quiet.as_millis() as u64, "silent: it gets no new asks");
            }
            heard.silent = silent_now;
            if quiet > lease {
                lost.push(peer.clone());
            }
        }
        lost
    }

    /// Whether a member takes asks for a capability.
    pub fn reach(&self, capability: &str) -> bool {
        let takes_asks = |p: &Arc<Peer>| {
            let heartbeat = p.heartbeat();
            let running = heartbeat.capabilities.get(capability).is_some_and(|h| h.running);
            running && heartbeat.state == NodeState::Ready && !p.is_silent()
        };
        self.read().peers.values().any(takes_asks)
    }

    fn read(&self) -> RwLockReadGuard<'_, HeardNodes> {
        self.nodes.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, HeardNodes> {
        self.nodes.write()
    }
}

impl OwnNode {
    fn node_asks(&self) -> NodeAsks<'_> {
        NodeAsks { name: &self.name, epoch: self.epoch, asks: &self.asks }
    }
}

impl Peer {
    fn node_asks(&self) -> NodeAsks<'_> {
        NodeAsks { name: &self.name, epoch: self.epoch, asks: &self.asks }
    }

    /// When its last heartbeat came.
    pub fn heard_at(&self) -> Instant {
        self.heard.lock().at
    }

    fn record_heartbeat(&self, heartbeat: Heartbeat, now: Instant) {
        let mut heard = self.heard.lock();
        heard.at = now;
        heard.silent = false;
        heard.heartbeat = Arc::new(heartbeat);
        self.link.record_receivers(1);
    }

    /// Its last heartbeat.
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        self.heard.lock().heartbeat.clone()
    }

    /// Whether it gets no new asks: it has not been heard for a while, or its inbox had no subscriber. The second is certain
    /// and known at once, so it must not cost a retry for each ask until the first is.
    pub fn is_silent(&self) -> bool {
        self.link.has_no_subscriber() || self.heard.lock().silent
    }

    /// Records that it has acknowledged this node's drain.
    pub(crate) fn record_drain_ack(&self) {
        self.heard.lock().saw_drain = true;
    }

    pub(crate) fn saw_drain(&self) -> bool {
        self.heard.lock().saw_drain
    }

    /// Its load, if it takes such an ask now: what it reported, plus the asks of this node that it has not answered.
    pub(crate) fn load_for(&self, query: &RouteQuery<'_>) -> Option<u32> {
        if self.link.has_no_subscriber() {
            return None;
        }
        let heard = self.heard.lock();
        let host = heard.heartbeat.capabilities.get(query.capability)?;
        let able = host.running
            && heard.heartbeat.state == NodeState::Ready
            && !heard.silent
            && host.messages.iter().any(|m| m == query.message);
        able.then(|| host.load.saturating_add(self.outstanding.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
pub mod tests;
