//! Who is alive and hosts what, as this node hears it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use essaim_contract::NotDelivered;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::ask_graph::{Declaration, Declared, closing, declared};
use super::frame::{FrameHeader, Heartbeat, HostReport, NodeState};
use super::lane::Lane;
use super::route::{self, Wanted};

/// The nodes this node hears, itself included only under parity.
pub(crate) struct Members {
    own: Own,
    nodes: RwLock<Nodes>,
}

/// This node, as the others judge it.
pub(crate) struct Own {
    pub name: String,
    pub epoch: u64,
    pub asks: Declared,
    /// Refused nodes that are remembered, at most.
    pub refused_nodes: usize,
}

#[derive(Default)]
struct Nodes {
    peers: BTreeMap<String, Arc<Peer>>,
    /// Nodes with which the asks of all would go in a circle. They are remembered as long as they are heard: should those
    /// leave who were there before them, they are peers.
    refused: BTreeMap<String, Arc<Peer>>,
}

/// Another node.
pub(crate) struct Peer {
    pub name: Arc<str>,
    pub epoch: u64,
    pub lane: Arc<Lane>,
    asks: Declared,
    heard: Mutex<Heard>,
    /// Asks of this node that are with it.
    pub outstanding: AtomicU32,
}

struct Heard {
    at: Instant,
    beat: Arc<Heartbeat>,
    silent: bool,
    saw_drain: bool,
}

/// What a heartbeat changed.
pub(crate) enum Change {
    /// Nothing worth a line.
    None,
    /// A node came, or came back under a higher epoch.
    New {
        /// Under which epoch it was known before.
        over_epoch: Option<u64>,
        /// The ask graph would have a cycle with it.
        refused: bool,
    },
    /// It is older than the node that is known, or is still refused.
    Ignored,
}

/// A node as `/status` shows it.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct MemberStatus {
    /// Its name.
    pub node: String,
    /// Its epoch.
    pub epoch: u64,
    /// The version of its binary.
    pub version: String,
    /// `ready` or `draining`.
    pub state: NodeState,
    /// Milliseconds since it was last heard.
    pub heard_ms_ago: u64,
    /// What it hosts, as its heartbeats tell.
    pub capabilities: BTreeMap<String, MemberCapability>,
    /// What it reports of itself when it is asked: the same as its own `/status`, without its members.
    pub report: Option<Value>,
    /// Why there is no report.
    pub problem: Option<String>,
}

/// A capability of another node as `/status` shows it.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct MemberCapability {
    /// Whether it takes asks.
    pub running: bool,
    /// Messages admitted and not done.
    pub load: u32,
    /// Messages that may be admitted.
    pub limit: u32,
    /// Instances.
    pub instances: u32,
    /// Instances that are up.
    pub up: u32,
    /// Restarts of instances.
    pub restarts: u64,
}

impl Members {
    /// Nobody yet, as this node hears them.
    pub fn of(own: Own) -> Self {
        Self { own, nodes: RwLock::default() }
    }

    /// Takes note of a heartbeat. The lane is made for a node that is new.
    pub fn beat(
        &self,
        from: &FrameHeader<'_>,
        beat: Heartbeat,
        now: Instant,
        lane: impl FnOnce() -> Arc<Lane>,
    ) -> Change {
        let known = self.known(from.from);
        match &known {
            Some(peer) if peer.epoch > from.epoch => return Change::Ignored,
            Some(peer) if peer.epoch == from.epoch => {
                peer.note(beat, now);
                return if self.get(from.from).is_some() { Change::None } else { Change::Ignored };
            }
            _ => {}
        }
        let peer = Peer {
            name: from.from.into(),
            epoch: from.epoch,
            lane: lane(),
            asks: declared(&beat),
            heard: Mutex::new(Heard { at: now, beat: Arc::new(beat), silent: false, saw_drain: false }),
            outstanding: AtomicU32::new(0),
        };
        let mut nodes = self.write();
        nodes.refused.remove(from.from);
        nodes.peers.insert(from.from.into(), Arc::new(peer));
        self.judge(&mut nodes);
        Change::New { over_epoch: known.map(|p| p.epoch), refused: !nodes.peers.contains_key(from.from) }
    }

    /// Parts those that are refused from the others.
    fn judge(&self, nodes: &mut Nodes) {
        let (peers, before) = (std::mem::take(&mut nodes.peers), std::mem::take(&mut nodes.refused));
        let others = peers.values().chain(before.values()).filter(|peer| *peer.name != *self.own.name);
        let closing = closing(others.map(|peer| peer.declaration()).chain([self.own.declaration()]));
        for (name, peer) in peers.iter().chain(&before) {
            let entry = (name.clone(), peer.clone());
            match closing.get(name.as_str()) {
                Some(cycle) => {
                    nodes.refused.extend([entry]);
                    if !before.contains_key(name) {
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
                        tracing::info!(
                            node = name,
                            "a node that was refused is a member now: those before it are gone"
                        );
                    }
                }
            }
        }
        while nodes.refused.len() > self.own.refused_nodes {
            let longest = nodes.refused.iter().min_by_key(|(_, peer)| peer.heard_at()).map(|(name, _)| name.clone());
            longest.and_then(|name| nodes.refused.remove(&name));
        }
    }

    /// How many nodes were heard, those that were refused included.
    pub fn heard(&self) -> usize {
        let nodes = self.read();
        nodes.peers.len() + nodes.refused.len()
    }

    /// The cycle that this node closes with those before it that were heard within `silent`, if it does.
    pub fn refusal(&self, now: Instant, silent: Duration) -> Option<Vec<String>> {
        let everyone = self.everyone();
        let heard = |peer: &&Arc<Peer>| now.saturating_duration_since(peer.heard_at()) <= silent;
        let others = everyone.iter().filter(heard).filter(|peer| *peer.name != *self.own.name);
        closing(others.map(|peer| peer.declaration()).chain([self.own.declaration()])).remove(&*self.own.name)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Peer>> {
        self.read().peers.get(name).cloned()
    }

    /// A node of this name, be it refused or not.
    pub fn known(&self, name: &str) -> Option<Arc<Peer>> {
        let nodes = self.read();
        nodes.peers.get(name).or_else(|| nodes.refused.get(name)).cloned()
    }

    /// Whether a node of this name hosts a capability, be it up or not.
    pub fn hosts(&self, name: &str, capability: &str) -> bool {
        self.get(name).is_some_and(|peer| peer.beat().capabilities.contains_key(capability))
    }

    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.read().peers.values().cloned().collect()
    }

    /// All that are heard, those that were refused included.
    pub fn everyone(&self) -> Vec<Arc<Peer>> {
        let nodes = self.read();
        nodes.peers.values().chain(nodes.refused.values()).cloned().collect()
    }

    /// The best of them for an ask.
    pub fn choose(&self, wanted: &Wanted<'_>) -> Result<Arc<Peer>, NotDelivered> {
        route::choose(self.read().peers.values(), wanted)
    }

    /// Whether this node should handle an ask itself although others could.
    pub fn local_wins(&self, wanted: &Wanted<'_>, me: &str, load: u32) -> bool {
        route::local_wins(self.read().peers.values(), wanted, me, load)
    }

    /// Forgets a node of this epoch, if it was known.
    pub fn remove(&self, name: &str, epoch: u64) -> Option<Arc<Peer>> {
        let mut nodes = self.write();
        let Nodes { peers, refused } = &mut *nodes;
        let gone = [peers, refused].into_iter().find_map(|all| {
            all.get(name).filter(|peer| peer.epoch == epoch)?;
            all.remove(name)
        })?;
        self.judge(&mut nodes);
        Some(gone)
    }

    /// Marks those not heard for `silent`, and gives those not heard for `lease`.
    pub fn overdue(&self, now: Instant, silent: Duration, lease: Duration) -> Vec<Arc<Peer>> {
        let mut lost = Vec::new();
        for peer in self.everyone() {
            let mut heard = peer.heard.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Whether one of them takes asks for a capability.
    pub fn reach(&self, capability: &str) -> bool {
        let takes_asks = |p: &Arc<Peer>| {
            let beat = p.beat();
            let running = beat.capabilities.get(capability).is_some_and(|h| h.running);
            running && beat.state == NodeState::Ready && !p.is_silent()
        };
        self.read().peers.values().any(takes_asks)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Nodes> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Nodes> {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn declaration(&self) -> Declaration<'_> {
        Declaration { name: &self.name, epoch: self.epoch, asks: &self.asks }
    }
}

impl Peer {
    fn declaration(&self) -> Declaration<'_> {
        Declaration { name: &self.name, epoch: self.epoch, asks: &self.asks }
    }

    fn heard_at(&self) -> Instant {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).at
    }

    fn note(&self, beat: Heartbeat, now: Instant) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.at = now;
        heard.silent = false;
        heard.beat = Arc::new(beat);
        self.lane.received_by(1);
    }

    pub fn beat(&self) -> Arc<Heartbeat> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).beat.clone()
    }

    /// Whether it gets no new asks: it has not been heard for a while, or nobody listened at its inbox. The second is
    /// certain and known at once, so it must not cost a retry for each ask until the first is.
    pub fn is_silent(&self) -> bool {
        self.lane.is_unheard() || self.heard.lock().unwrap_or_else(PoisonError::into_inner).silent
    }

    /// It has said that it saw this node's drain.
    pub fn set_saw_drain(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).saw_drain = true;
    }

    pub fn saw_drain(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).saw_drain
    }

    /// Its load, if it takes such an ask now.
    pub fn offer(&self, wanted: &Wanted<'_>) -> Option<u32> {
        if self.lane.is_unheard() {
            return None;
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let host = heard.beat.capabilities.get(wanted.capability)?;
        let able = host.running
            && heard.beat.state == NodeState::Ready
            && !heard.silent
            && host.messages.iter().any(|m| m == wanted.message);
        // Asks of this node that are with it, plus what it said it had.
        able.then(|| host.load.saturating_add(self.outstanding.load(Ordering::Relaxed)))
    }

    /// The node as its heartbeats show it.
    pub fn status(&self, now: Instant) -> MemberStatus {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let capabilities = heard.beat.capabilities.iter().map(|(name, h)| {
            let HostReport { running, load, limit, instances, up, restarts, .. } = *h;
            (name.clone(), MemberCapability { running, load, limit, instances, up, restarts })
        });
        MemberStatus {
            node: self.name.to_string(),
            epoch: self.epoch,
            version: heard.beat.version.clone(),
            state: heard.beat.state,
            heard_ms_ago: now.saturating_duration_since(heard.at).as_millis() as u64,
            capabilities: capabilities.collect(),
            report: None,
            problem: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
