//! The configuration in force, in all nodes: an ask of the runtime's own.

use std::sync::Arc;

use essaim_config::ShownValue;
use essaim_core::node::bus::Bus;
use serde::{Deserialize, Serialize};

use crate::api::{AwayNode, ShowConfig, ShownConfig};
use crate::node_ask::NodeAsk;
use crate::requests::{Operator, OperatorRequest, Refusal};

/// What a node is asked.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question(());

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.config.v1";
    type Answer = Vec<ShownValue>;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<Vec<ShownValue>, String> {
        Ok(bus.config.values.clone())
    }
}

impl OperatorRequest for ShowConfig {
    async fn answer(self, operator: &Operator) -> Result<ShownConfig, Refusal> {
        let mut shown = ShownConfig::default();
        for (node, values) in operator.ask_nodes(|_| Question(())).await {
            match values {
                Ok(values) => drop(shown.nodes.insert(node, values)),
                Err(why) => shown.away.push(AwayNode::new(node, why)),
            }
        }
        Ok(shown)
    }
}
