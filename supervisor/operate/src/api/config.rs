//! The configuration in force.

use std::collections::BTreeMap;

use essaim_config::ShownValue;
use serde::{Deserialize, Serialize};

use super::{ApiRequest, AwayNode};

/// The configuration of all nodes, each value with its source and no secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShowConfig {}

impl ApiRequest for ShowConfig {
    const PATH: &'static str = "/config";
    // It tells where servers are.
    const IS_PERSONAL: bool = true;
    type Answer = ShownConfig;

    fn reads(&self) -> Option<String> {
        Some("the configuration".into())
    }
}

/// The configuration of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownConfig {
    /// The values in force in each node, in the order of their keys.
    pub nodes: BTreeMap<String, Vec<ShownValue>>,
    /// Nodes that did not answer.
    pub away: Vec<AwayNode>,
}
