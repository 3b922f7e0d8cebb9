//! The runtime's own asks: a node's status and the requests to a capability's host. They have the same routing, deadlines and
//! frames as any ask, but no permit of an actor.

use std::sync::Arc;

use essaim_audit::AuditQuestion;
use essaim_base::call::Call;
use essaim_contract::NotDelivered;
use essaim_core::node::bus::Bus;
use essaim_core::node::operators::{Operators, SystemAsks};
use essaim_gather::StoredQuestion;
use essaim_protocol::frame::RawAnswer;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use crate::admin::AdminListeners;
use crate::last_records::{self, LastPage};
use crate::node_ask::{self, NodeAsk};
use crate::requests::Operator;
use crate::status::{NodeStatus, others};
use crate::subject::RecordsOf;
use crate::tls::AdminTls;
use crate::{checking, config, contracts, gathering, host, logs, operation, records, running};

/// What a node is handed over, so that operators, probes and other nodes are answered.
pub fn operators() -> Operators {
    operators_over(None)
}

/// The same, with TLS at the admin listener where there is a certificate.
pub(crate) fn operators_over(tls: Option<AdminTls>) -> Operators {
    Operators { asks: Arc::new(OwnAsks), listeners: Arc::new(AdminListeners::with(tls)) }
}

type Answer = fn(Arc<Bus>, &[u8]) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered>;

/// What a node is asked itself, by its wire name.
const NODE_ASKS: &[(&str, Answer)] = &[
    by_name::<others::Question>(),
    by_name::<records::Question>(),
    by_name::<StoredQuestion>(),
    by_name::<LastPage>(),
    by_name::<logs::Question>(),
    by_name::<running::Question>(),
    by_name::<config::Question>(),
    by_name::<contracts::Question>(),
    by_name::<checking::Question>(),
    by_name::<AuditQuestion>(),
    by_name::<RecordsOf>(),
];

const fn by_name<Q: NodeAsk>() -> (&'static str, Answer) {
    (Q::NAME, node_ask::answer::<Q>)
}

fn node_ask(name: &str) -> Option<Answer> {
    NODE_ASKS.iter().find(|(known, _)| *known == name).map(|(_, answer)| *answer)
}

struct OwnAsks;

impl SystemAsks for OwnAsks {
    fn names_of(&self, capability: &str) -> Vec<String> {
        vec![operation::name_of(capability)]
    }

    fn takes(&self, name: &str) -> bool {
        node_ask(name).is_some() || operation::capability_of(name).is_some()
    }

    fn answer(
        &self,
        bus: Arc<Bus>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        if let Some(answer) = node_ask(name) {
            return answer(bus, body);
        }
        let capability = operation::capability_of(name).unwrap_or_default();
        let Some(host) = bus.host(capability) else {
            return Err(NotDelivered::NoHost { capability: capability.to_string() });
        };
        host::answer(&Operator::of(&bus), host, body, call)
    }

    fn begin(&self, bus: &Arc<Bus>) {
        gathering::begin(bus);
    }

    fn leave<'a>(&'a self, bus: &'a Arc<Bus>) -> LocalBoxFuture<'a, ()> {
        Box::pin(last_records::send(bus))
    }

    fn status(&self, bus: Arc<Bus>) -> LocalBoxFuture<'static, Value> {
        Box::pin(async move { serde_json::to_value(NodeStatus::of_bus(&bus).await).unwrap_or_default() })
    }
}
