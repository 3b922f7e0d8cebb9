//! The configuration in force, in all nodes: an ask of the runtime's own.

use std::sync::Arc;

use essaim_base::codec;
use essaim_config::ShownValue;
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};
use essaim_core::node::bus::Bus;
use essaim_protocol::frame::RawAnswer;
use futures_util::future::{LocalBoxFuture, join_all, ready};

use crate::api::{AwayNode, ShowConfig, ShownConfig};
use crate::own_ask::ask_own;
use crate::records::LIMIT;
use crate::requests::{Operator, OperatorRequest, Refusal};

/// The wire name of the ask for a node's configuration.
pub(crate) const NAME: &str = "essaim.config.v1";

/// This node's, for another that asks.
pub(crate) fn answer(bus: &Arc<Bus>) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
    let encoded = codec::encode(&bus.config.values).map_err(|e| {
        let detail = e.to_string();
        AskError::Failed(Failure { kind: FailureKind::Error, detail })
    });
    Ok(Box::pin(ready(encoded)))
}

impl OperatorRequest for ShowConfig {
    async fn answer(self, operator: &Operator) -> Result<ShownConfig, Refusal> {
        let mut shown = ShownConfig::default();
        shown.nodes.insert(operator.node.clone(), operator.config.values.clone());
        let Some(remote) = &operator.remote else { return Ok(shown) };
        let members = remote.members().all();
        let asked = members.iter().map(async |peer| {
            let answer = ask_own::<_, Vec<ShownValue>>(&operator.env, (remote, peer), (NAME, &()), LIMIT).await;
            (peer.name.to_string(), answer)
        });
        for (node, answer) in join_all(asked).await {
            match answer {
                Ok(values) => drop(shown.nodes.insert(node, values)),
                Err(why) => shown.away.push(AwayNode { node, why }),
            }
        }
        Ok(shown)
    }
}
