//! The hosts of one capability, and the owners of its partitions. In memory: when the process ends, so do the hosts. The epochs
//! have to outlive them, and are stored before any host is answered.

use std::collections::BTreeMap;

use tokio::time::Instant;

use essaim_protocol::log::assignment::{LiveHost, assign};
use essaim_protocol::log::{HostHeartbeat, OwnedPartition};

/// The owners of one capability's partitions.
#[derive(Default)]
pub(super) struct Owners {
    hosts: BTreeMap<String, LiveHost>,
    /// The end of each host's lease.
    leases: BTreeMap<String, Instant>,
    owners: Vec<Option<(String, u64)>>,
    /// Partitions that got their owner in a group that is not stored yet.
    granted: Vec<usize>,
}

impl Owners {
    /// Records a heartbeat, assigns the partitions without an owner, and returns those of the host. `epoch` makes the epoch of a
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
            // A host keeps the partitions that no other host has taken meanwhile, even if its heartbeat is late.
            self.hosts.insert(host.clone(), LiveHost { handles: heartbeat.handles.clone(), leaving: false });
            self.leases.insert(host.clone(), now + heartbeat.lease);
        }
        self.forget_the_silent(now);
        self.grant(&heartbeat.unhandled, &mut epoch)
            .into_iter()
            .zip(&self.owners)
            .zip(0..)
            .filter_map(|((wanted, owner), number)| match owner {
                Some((owner, epoch)) if owner == host => Some(OwnedPartition { number, epoch: *epoch, wanted }),
                _ => None,
            })
            .collect()
    }

    /// Whether this host owns a partition.
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

    /// Assigns partitions without an owner, and returns for each partition whether another host should have it.
    fn grant(&mut self, unhandled: &[(u32, String)], epoch: &mut impl FnMut(u32) -> u64) -> Vec<bool> {
        let owners: Vec<_> = self.owners.iter().map(|o| o.as_ref().map(|(host, _)| host.as_str())).collect();
        let assignments = assign(&self.hosts, &owners, unhandled);
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

    /// A host whose lease has not ended.
    pub fn live_host(&self, now: Instant) -> Option<&str> {
        self.leases.iter().find(|(_, until)| **until > now).map(|(host, _)| host.as_str())
    }

    /// Called once the grants are stored.
    pub fn confirm_grants(&mut self) {
        self.granted.clear();
    }

    /// Reverts grants that may not be stored; no host was answered.
    pub fn revert_grants(&mut self) {
        for number in self.granted.drain(..) {
            self.owners[number] = None;
        }
    }

    /// Host and epoch of each partition's owner.
    pub fn list(&self) -> Vec<Option<(String, u64)>> {
        self.owners.clone()
    }
}
