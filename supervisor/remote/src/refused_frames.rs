//! Refused frames: how many of them, for which reason.

use std::sync::atomic::{AtomicU64, Ordering};

use essaim_protocol::keys::{Distrust, DistrustCounts, Distrusted};
use serde::{Deserialize, Serialize};

/// Frames that had no effect, since no node of the cluster can have made them, or since they came before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedFrames {
    /// No node of the cluster can have made them.
    #[serde(flatten)]
    pub distrusted: Distrusted,
    /// They were heard before, or may have been.
    pub repeated: u64,
}

#[derive(Default)]
pub(super) struct RefusedCounts {
    distrusted: DistrustCounts,
    repeated: AtomicU64,
}

impl RefusedCounts {
    pub fn count(&self, why: Distrust) {
        self.distrusted.count(why);
    }

    pub fn count_repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> RefusedFrames {
        RefusedFrames { distrusted: self.distrusted.read(), repeated: self.repeated.load(Ordering::Relaxed) }
    }
}
