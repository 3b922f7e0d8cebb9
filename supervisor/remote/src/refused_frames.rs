//! Refused frames: how many of them, for which reason.

use std::sync::atomic::{AtomicU64, Ordering};

use essaim_protocol::keys::Distrust;

/// Frames that had no effect, since no node of the cluster can have made them, or since they came before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RefusedFrames {
    /// They are not signed.
    pub untagged: u64,
    /// They are signed with a secret that this node does not have.
    pub unknown_secret: u64,
    /// Their signature is not theirs.
    pub forged: u64,
    /// They were heard before, or may have been.
    pub repeated: u64,
}

#[derive(Default)]
pub(super) struct RefusedCounts {
    untagged: AtomicU64,
    unknown_secret: AtomicU64,
    forged: AtomicU64,
    repeated: AtomicU64,
}

impl RefusedCounts {
    pub fn count(&self, why: Distrust) {
        let count = match why {
            Distrust::Untagged => &self.untagged,
            Distrust::UnknownSecret => &self.unknown_secret,
            Distrust::Forged => &self.forged,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> RefusedFrames {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RefusedFrames {
            untagged: read(&self.untagged),
            unknown_secret: read(&self.unknown_secret),
            forged: read(&self.forged),
            repeated: read(&self.repeated),
        }
    }
}
