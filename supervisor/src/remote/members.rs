//! Who is alive and hosts what, as this node hears it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use essaim_contract::NotDelivered;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::frame::{Beat, Header, HostBeat, NodeState};
use super::lane::Lane;
use super::route::{self, Wanted};
use crate::roster::cycle_in;

/// The nodes this node hears, itself included only under parity.
#[derive(Default)]
pub(crate) struct Members {
    peers: RwLock<BTreeMap<String, Arc<Peer>>>,
    /// Nodes that were refused for the cycle that the asks would have with them, by name, until they are not heard for a
    /// lease; each is logged once.
    refused: Mutex<BTreeMap<String, Refused>>,
}

/// A node that was refused.
struct Refused {
    epoch: u64,
    cycle: Vec<String>,
    /// The cycle needs what this node asks.
    with_own: bool,
    at: Instant,
}

/// Another node.
pub(crate) struct Peer {
    pub name: Arc<str>,
    pub epoch: u64,
    pub lane: Arc<Lane>,
    heard: Mutex<Heard>,
    /// Asks of this node that are with it.
    pub outstanding: AtomicU32,
}

struct Heard {
    at: Instant,
    beat: Arc<Beat>,
    silent: bool,
    saw_drain: bool,
}

/// What a heartbeat changed.
pub(crate) enum Change {
    /// Nothing worth a line.
    None,
    /// A node came, or came back under a higher epoch.
    Joined {
        /// Under which epoch it was known before.
        over_epoch: Option<u64>,
        /// Nodes that came later than it and cannot stay with it: the ask graph would have a cycle.
        evicted: Vec<Arc<Peer>>,
    },
    /// It is older than the node that is known, or was refused.
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
    /// Takes note of a heartbeat. The lane is made for a node that is new.
    pub fn beat(
        &self,
        from: &Header<'_>,
        beat: Beat,
        now: Instant,
        lane: impl FnOnce() -> Arc<Lane>,
        own: impl Fn() -> Beat,
    ) -> Change {
        let known = self.get(from.from);
        match &known {
            Some(peer) if peer.epoch > from.epoch => return Change::Ignored,
            Some(peer) if peer.epoch == from.epoch => {
                peer.note(beat, now);
                return Change::None;
            }
            _ => {}
        }
        let mut evicted = Vec::new();
        while let Some(cycle) = self.cycle_with(from.from, &beat, Some(&own()), &evicted) {
            // Of those who cannot be together the one that came last goes, and epochs are times.
            match self.youngest_in_cycle(from, &beat, &evicted) {
                Some(younger) => {
                    self.refuse(&younger.name, younger.epoch, cycle, false, now);
                    evicted.push(younger);
                }
                None => {
                    let with_own = self.cycle_with(from.from, &beat, None, &[]).is_none();
                    self.refuse(from.from, from.epoch, cycle, with_own, now);
                    return Change::Ignored;
                }
            }
        }
        evicted.iter().for_each(|peer| drop(self.remove(&peer.name, peer.epoch)));
        let over_epoch = known.map(|p| p.epoch);
        let peer = Peer {
            name: from.from.into(),
            epoch: from.epoch,
            lane: lane(),
            heard: Mutex::new(Heard { at: now, beat: Arc::new(beat), silent: false, saw_drain: false }),
            outstanding: AtomicU32::new(0),
        };
        self.write().insert(from.from.to_string(), Arc::new(peer));
        Change::Joined { over_epoch, evicted }
    }

    /// A cycle that the asks of all members but these would have with a node's and this node's.
    fn cycle_with(&self, name: &str, beat: &Beat, own: Option<&Beat>, without: &[Arc<Peer>]) -> Option<Vec<String>> {
        let stays = |p: &Arc<Peer>| &*p.name != name && !without.iter().any(|w| w.name == p.name);
        let others: Vec<_> = self.all().into_iter().filter(stays).map(|p| p.beat()).collect();
        ask_cycle(others.iter().map(|b| &**b).chain([beat]).chain(own))
    }

    /// The member that came last of those after it without which there is no cycle.
    fn youngest_in_cycle(&self, from: &Header<'_>, beat: &Beat, without: &[Arc<Peer>]) -> Option<Arc<Peer>> {
        let mut younger: Vec<_> =
            self.all().into_iter().filter(|p| p.epoch > from.epoch && &*p.name != from.from).collect();
        younger.retain(|p| !without.iter().any(|w| w.name == p.name));
        younger.sort_by_key(|p| p.epoch);
        let closes = |p: &Arc<Peer>| {
            let without: Vec<_> = without.iter().chain([p]).cloned().collect();
            self.cycle_with(from.from, beat, None, &without).is_none()
        };
        younger.into_iter().rev().find(closes)
    }

    /// Takes note of a node that cannot join.
    fn refuse(&self, name: &str, epoch: u64, cycle: Vec<String>, with_own: bool, at: Instant) {
        let shown = cycle.join(" -> ");
        let refused = Refused { epoch, cycle, with_own, at };
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if all.insert(name.to_string(), refused).is_none() {
            tracing::error!(node = name, cycle = shown, "a node was refused: with it the ask graph has a cycle");
        }
    }

    /// How many nodes were heard, those that were refused included.
    pub fn heard(&self) -> usize {
        self.read().len() + self.refused.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The cycle that a node of this epoch would close with those who were there before it.
    pub fn refusal(&self, epoch: u64) -> Option<Vec<String>> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.values().find(|r| r.with_own && r.epoch < epoch).map(|r| r.cycle.clone())
    }

    /// A cycle in the asks of all members together with these capabilities.
    pub fn cycle_among(&self, own: &Beat) -> Option<Vec<String>> {
        let others: Vec<_> = self.all().iter().map(|p| p.beat()).collect();
        ask_cycle(others.iter().map(|b| &**b).chain([own]))
    }

    pub fn get(&self, name: &str) -> Option<Arc<Peer>> {
        self.read().get(name).cloned()
    }

    /// Whether a node of this name hosts a capability, be it up or not.
    pub fn hosts(&self, name: &str, capability: &str) -> bool {
        self.get(name).is_some_and(|peer| peer.beat().capabilities.contains_key(capability))
    }

    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.read().values().cloned().collect()
    }

    /// The best of them for an ask.
    pub fn choose(&self, wanted: &Wanted<'_>) -> Result<Arc<Peer>, NotDelivered> {
        route::choose(self.read().values(), wanted)
    }

    /// Whether this node should handle an ask itself although others could.
    pub fn local_wins(&self, wanted: &Wanted<'_>, me: &str, load: u32) -> bool {
        route::local_wins(self.read().values(), wanted, me, load)
    }

    /// Forgets a node of this epoch; whether it was known.
    pub fn remove(&self, name: &str, epoch: u64) -> Option<Arc<Peer>> {
        let mut peers = self.write();
        if peers.get(name).is_some_and(|p| p.epoch == epoch) { peers.remove(name) } else { None }
    }

    /// Marks those not heard for `silent`, and gives those not heard for `lease`.
    pub fn overdue(&self, now: Instant, silent: Duration, lease: Duration) -> Vec<Arc<Peer>> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, r| now.saturating_duration_since(r.at) <= lease);
        let mut lost = Vec::new();
        for peer in self.all() {
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
        self.read().values().any(takes_asks)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Peer>>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Arc<Peer>>> {
        self.peers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask_cycle<'a>(beats: impl Iterator<Item = &'a Beat>) -> Option<Vec<String>> {
    let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (capability, host) in beats.flat_map(|b| &b.capabilities) {
        graph.entry(capability).or_default().extend(host.asks.iter().map(String::as_str));
    }
    cycle_in(&graph)
}

impl Peer {
    fn note(&self, beat: Beat, now: Instant) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.at = now;
        heard.silent = false;
        heard.beat = Arc::new(beat);
        self.lane.received_by(1);
    }

    pub fn beat(&self) -> Arc<Beat> {
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
            let HostBeat { running, load, limit, instances, up, restarts, .. } = *h;
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
