//! The hosts of one capability, and which of its partitions each works on. Kept in memory: when the process ends, so do
//! the hosts. What has to outlive them, the epochs, is stored before anybody is told.

use std::collections::BTreeMap;

use tokio::time::Instant;

use essaim_protocol::log::assignment::{LiveHost, assign};
use essaim_protocol::log::{HostHeartbeat, OwnedPartition};

/// The owners of one capability's partitions.
#[derive(Default)]
pub(super) struct Owners {
    hosts: BTreeMap<String, LiveHost>,
    /// Until when each host counts as there.
    leases: BTreeMap<String, Instant>,
    owners: Vec<Option<(String, u64)>>,
    /// Partitions that got their owner by a group that is not stored yet.
    granted: Vec<usize>,
}

impl Owners {
    /// Takes note of a host, and shares the partitions that have no owner; what the host has now. `epoch` makes one for a
    /// new owner.
    pub fn heartbeat(
        &mut self,
        heartbeat: &HostHeartbeat,
        partitions: u32,
        now: Instant,
        mut epoch: impl FnMut(u32) -> u64,
    ) -> Vec<OwnedPartition> {
        let host = &heartbeat.host;
        self.owners.resize(partitions as usize, None);
        for &number in heartbeat.given_up.iter().chain(heartbeat.stale_epochs.iter().map(|(number, _)| number)) {
            if let Some(owner) = self.owners.get_mut(number as usize) {
                owner.take_if(|(owner, _)| owner == host);
            }
        }
        if heartbeat.leaving {
            self.leases.remove(host);
        } else {
            // Whoever says that it is there keeps what nobody else has taken meanwhile, even if it says so late.
            self.hosts.insert(host.clone(), LiveHost { handles: heartbeat.handles.clone(), leaving: false });
            self.leases.insert(host.clone(), now + heartbeat.lease);
        }
        self.forget_the_silent(now);
        self.grant(&heartbeat.lacks, &mut epoch)
            .into_iter()
            .zip(&self.owners)
            .zip(0..)
            .filter_map(|((wanted, owner), number)| match owner {
                Some((owner, epoch)) if owner == host => Some(OwnedPartition { number, epoch: *epoch, wanted }),
                _ => None,
            })
            .collect()
    }

    /// Whether a partition is this host's.
    pub fn has(&self, host: &str, number: u32) -> bool {
        matches!(self.owners.get(number as usize), Some(Some((owner, _))) if owner == host)
    }

    fn forget_the_silent(&mut self, now: Instant) {
        self.leases.retain(|_, until| *until > now);
        self.hosts.retain(|host, _| self.leases.contains_key(host));
        for owner in &mut self.owners {
            owner.take_if(|(host, _)| !self.hosts.contains_key(host));
        }
    }

    /// Gives partitions without an owner to hosts that lack some; which ones are wanted by another host than theirs.
    fn grant(&mut self, lacks: &[(u32, String)], epoch: &mut impl FnMut(u32) -> u64) -> Vec<bool> {
        let owners: Vec<_> = self.owners.iter().map(|o| o.as_ref().map(|(host, _)| host.as_str())).collect();
        let assignments = assign(&self.hosts, &owners, lacks);
        let mut wanted = Vec::with_capacity(assignments.len());
        for (number, assignment) in assignments.into_iter().enumerate() {
            wanted.push(assignment.as_ref().is_some_and(|assignment| assignment.wanted));
            if let (None, Some(assignment)) = (&self.owners[number], assignment) {
                self.owners[number] = Some((assignment.host, epoch(number as u32)));
                self.granted.push(number);
            }
        }
        wanted
    }

    /// A host that is there.
    pub fn live_host(&self, now: Instant) -> Option<&str> {
        self.leases.iter().find(|(_, until)| **until > now).map(|(host, _)| host.as_str())
    }

    /// What was granted is stored.
    pub fn settle(&mut self) {
        self.granted.clear();
    }

    /// What was granted may not be stored, and nobody was told.
    pub fn take_back(&mut self) {
        for number in self.granted.drain(..) {
            self.owners[number] = None;
        }
    }

    /// The host and the epoch of each partition's owner.
    pub fn list(&self) -> Vec<Option<(String, u64)>> {
        self.owners.clone()
    }
}
