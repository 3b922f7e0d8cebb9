//! A running node that operators and probes can ask.

use std::ops::Deref;

use essaim_base::Env;
use essaim_config::Config;
use essaim_core::node::roster::Roster;
use essaim_core::node::{NodeError, NodeParts, RunningNode};

use crate::NodeStatus;
use crate::gathering::store_last;
use crate::system::operators_over;
use crate::tls::AdminTls;

/// A running node.
pub struct Node(RunningNode);

impl Node {
    /// Starts a node that hosts these capabilities. Must be called inside a `LocalSet` (`essaim::run` does
    /// that), whose thread becomes the node's control thread.
    ///
    /// # Errors
    /// See [`NodeError`]. A capability that cannot start is no error: it is tried again.
    pub async fn start(roster: &Roster, hosts: &[&str], config: Config, env: Env) -> Result<Self, NodeError> {
        let operators = operators_over(AdminTls::of(&config.settings.node, &env)?);
        let parts = NodeParts { roster, hosts, config, env, beside: Vec::new(), operators };
        RunningNode::start(parts).await.map(Self)
    }

    /// Leaves: [`RunningNode::drain`]; and stores what was recorded until then, if message records are stored here.
    pub async fn drain(&self) {
        self.0.drain().await;
        store_last(self.bus()).await;
    }

    /// How this node is, and how it hears the others.
    pub async fn status(&self) -> NodeStatus {
        NodeStatus::of_bus(self.bus()).await
    }
}

impl Deref for Node {
    type Target = RunningNode;

    fn deref(&self) -> &RunningNode {
        &self.0
    }
}
