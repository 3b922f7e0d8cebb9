//! The runtime's own asks: a node's status and the requests to a capability's host. They have the same routing, deadlines and
//! frames as any ask, but no permit of an actor.

use std::sync::Arc;

use essaim_base::call::Call;
use essaim_contract::NotDelivered;
use essaim_core::node::bus::Bus;
use essaim_core::node::operators::{Operators, SystemAsks};
use essaim_protocol::frame::RawAnswer;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use crate::admin::AdminListeners;
use crate::records::NodeQuestion;
use crate::requests::Operator;
use crate::status::{NodeStatus, others};
use crate::{config, gathering, host, last_records, logs, operation, records, running, stored};

/// What a node is handed over, so that operators, probes and other nodes are answered.
pub fn operators() -> Operators {
    Operators { asks: Arc::new(OwnAsks), listeners: Arc::new(AdminListeners::default()) }
}

struct OwnAsks;

impl SystemAsks for OwnAsks {
    fn names_of(&self, capability: &str) -> Vec<String> {
        vec![operation::name_of(capability)]
    }

    fn takes(&self, name: &str) -> bool {
        name == others::NAME
            || name == records::Question::NAME
            || name == logs::Question::NAME
            || name == running::NAME
            || name == stored::NAME
            || name == config::NAME
            || name == last_records::NAME
            || operation::capability_of(name).is_some()
    }

    fn answer(
        &self,
        bus: Arc<Bus>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        if name == running::NAME {
            return running::answer(&bus, body);
        }
        if name == config::NAME {
            return config::answer(&bus);
        }
        if name == stored::NAME {
            return stored::answer(&bus, body);
        }
        if name == last_records::NAME {
            return last_records::answer(bus, body);
        }
        let most_bytes = bus.settings.wire.max_message_bytes / 2;
        if name == records::Question::NAME {
            return records::answer::<records::Question>(&bus.recorder, body, most_bytes);
        }
        if name == logs::Question::NAME {
            return records::answer::<logs::Question>(&bus.recorder, body, most_bytes);
        }
        let Some(capability) = operation::capability_of(name) else { return Ok(others::answer(bus)) };
        let Some(host) = bus.host(capability) else {
            return Err(NotDelivered::NoHost { capability: capability.to_string() });
        };
        host::answer(&Operator::of(&bus), host, body, call)
    }

    fn begin(&self, bus: &Arc<Bus>) {
        gathering::begin(bus);
    }

    fn leave<'a>(&'a self, bus: &'a Bus) -> LocalBoxFuture<'a, ()> {
        Box::pin(last_records::send(bus))
    }

    fn status(&self, bus: Arc<Bus>) -> LocalBoxFuture<'static, Value> {
        Box::pin(async move { serde_json::to_value(NodeStatus::of_bus(&bus).await).unwrap_or_default() })
    }
}
