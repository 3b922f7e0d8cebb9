//! Which stored messages are believed: those that a node of the cluster has signed, where it has a secret. What is not becomes a
//! dead letter that nobody replays until it is believed, wherever it was found.

use std::collections::BTreeSet;
use std::sync::Arc;

use essaim_base::lock::Mutex;
use essaim_config::{BridgeConfig, Unsigned};
use essaim_protocol::keys::{ClusterKeys, Distrust, DistrustCounts, Distrusted};
use essaim_protocol::record::{NotOpened, Record};

/// The secrets of the cluster that the configuration names.
pub fn keys_of(bridge: &BridgeConfig) -> ClusterKeys {
    ClusterKeys::new(&bridge.secret, &bridge.old_secrets, bridge.unsigned == Unsigned::Accept)
}

/// What tells messages that a node has stored from others, and how many others there were.
#[derive(Default)]
pub struct RecordTrust {
    pub keys: Arc<ClusterKeys>,
    refused: DistrustCounts,
    /// What was told of: each place and reason once. Bounded by the capabilities hosted here, times a few.
    logged: Mutex<BTreeSet<(String, Distrust)>>,
}

impl RecordTrust {
    pub fn of(bridge: &BridgeConfig) -> Self {
        Self { keys: Arc::new(keys_of(bridge)), ..Self::default() }
    }

    /// The message in stored bytes of a capability.
    ///
    /// # Errors
    /// Why there is none. It is counted, and the first of its kind told of, if no node has stored it.
    pub fn open(&self, bytes: &[u8], capability: &str) -> Result<Record, NotOpened> {
        let opened = Record::open(bytes, &self.keys);
        if let Err(NotOpened::Distrusted(why)) = opened {
            self.refuse(why, capability);
        }
        opened
    }

    /// Counts a stored message that is not believed, and tells of the first of its kind.
    pub fn refuse(&self, why: Distrust, capability: &str) {
        self.refused.count(why);
        if self.logged.lock().insert((capability.into(), why)) {
            tracing::error!(
                capability,
                %why,
                "a stored message was refused; it and more like it are dead letters: see `essaim dead list --reason unreadable` and \
                 docs/security.md"
            );
        }
    }

    /// Stored messages that were refused since the start.
    pub fn refused(&self) -> Distrusted {
        self.refused.read()
    }
}
