//! The near cache: what this node remembers of what others own.

use crate::config::NearConfig;

/// A cache in this process; see `docs`. (Being built.)
#[derive(Clone)]
pub struct Near {}

impl Near {
    pub(crate) fn new(_config: &NearConfig) -> Self {
        Self {}
    }

    /// Takes note of an invalidation from another node; false if the broadcast is not for the near cache.
    pub(crate) fn hear(&self, _name: &str, _body: &[u8]) -> bool {
        false
    }
}
