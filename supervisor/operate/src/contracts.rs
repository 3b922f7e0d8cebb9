//! The messages that capabilities take, in all nodes: what their contracts declare, and how many ended how.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use essaim_contract::{JsonSchema, Schemas};
use essaim_core::local::handler::{Handler, HandlerKind};
use essaim_core::node::bus::Bus;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{AwayNode, DeclaredMessage, ListMessages, MessageCounts, MessageKind, Messages};
use crate::node_ask::NodeAsk;
use crate::requests::{Operator, OperatorRequest, Refusal};

/// What a node is asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    /// Only the messages that this capability handles or declares.
    pub capability: Option<String>,
    /// Only the message of this wire name.
    pub name: Option<String>,
}

/// A message that a capability of the node handles.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HandledMessage {
    pub name: String,
    pub capability: String,
    pub handled_by: String,
    pub kind: MessageKind,
    #[serde(default)]
    pub idempotent: bool,
    #[serde(default)]
    pub key_field: Option<String>,
    #[serde(default)]
    pub personal_key: bool,
    #[serde(default)]
    pub secrets: Vec<String>,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub schemas: Schemas,
    #[serde(default)]
    pub outcomes: BTreeMap<String, u64>,
}

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.messages.v1";
    type Answer = Vec<HandledMessage>;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<Vec<HandledMessage>, String> {
        let all = bus.hosts().iter().flat_map(|host| host.entries().iter().map(|entry| (&host.name, entry)));
        let handled = all.filter_map(|(host, entry)| HandledMessage::of(host, &**entry));
        Ok(handled.filter(|message| self.wants(message)).collect())
    }
}

impl Question {
    fn wants(&self, message: &HandledMessage) -> bool {
        let is =
            |wanted: &Option<String>, names: &[&str]| wanted.as_deref().is_none_or(|wanted| names.contains(&wanted));
        is(&self.capability, &[&message.capability, &message.handled_by]) && is(&self.name, &[&message.name])
    }
}

impl HandledMessage {
    /// The message of a handler; `None` of one that has no contract.
    fn of(handled_by: &str, handler: &dyn Handler) -> Option<Self> {
        let (info, kind) = (handler.info(), kind_of(handler.kind())?);
        let declared = info.declared?;
        Some(Self {
            name: info.name.to_string(),
            capability: declared.capability.into(),
            handled_by: handled_by.into(),
            kind,
            idempotent: declared.idempotent,
            key_field: declared.key_field.map(Into::into),
            personal_key: declared.personal_key,
            secrets: declared.secrets.iter().map(ToString::to_string).collect(),
            internal: declared.internal,
            schemas: (declared.schemas)(),
            outcomes: MessageCounts::of(std::iter::once(&info.measures)).outcomes,
        })
    }

    fn declared(self, node: &str) -> DeclaredMessage {
        let Schemas { message, reply, error } = self.schemas;
        DeclaredMessage {
            name: self.name,
            capability: self.capability,
            kind: self.kind,
            idempotent: self.idempotent,
            key_field: self.key_field,
            personal_key: self.personal_key,
            secrets: self.secrets,
            internal: self.internal,
            schema: read(message),
            reply: read(reply),
            error: read(error),
            handled_by: BTreeSet::from([self.handled_by]),
            nodes: BTreeSet::from([node.to_string()]),
            outcomes: self.outcomes,
        }
    }
}

fn kind_of(kind: HandlerKind) -> Option<MessageKind> {
    match kind {
        HandlerKind::Ask => Some(MessageKind::Ask),
        HandlerKind::Broadcast => Some(MessageKind::Broadcast),
        HandlerKind::Durable(None) => Some(MessageKind::Command),
        HandlerKind::Durable(Some(_)) => Some(MessageKind::Event),
        HandlerKind::Tick => None,
    }
}

fn read(schema: Option<JsonSchema>) -> Option<Value> {
    serde_json::from_str(schema?.as_str()).ok()
}

impl DeclaredMessage {
    /// Takes another node's declaration of the same message into this one, if it is the same.
    fn join(&mut self, other: &Self) -> bool {
        let mut same = other.clone();
        (same.handled_by, same.nodes) = (self.handled_by.clone(), self.nodes.clone());
        same.outcomes = self.outcomes.clone();
        if same != *self {
            return false;
        }
        self.handled_by.extend(other.handled_by.iter().cloned());
        self.nodes.extend(other.nodes.iter().cloned());
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        true
    }
}

/// What nodes declare, each form of a message once, by kind and name.
fn joined(declared: impl Iterator<Item = DeclaredMessage>) -> Vec<DeclaredMessage> {
    // Bounded by the messages of the capabilities of all nodes.
    let mut messages: Vec<DeclaredMessage> = Vec::new();
    for one in declared {
        if !messages.iter_mut().any(|known| known.name == one.name && known.join(&one)) {
            messages.push(one);
        }
    }
    messages
        .sort_by(|a, b| (&a.capability, a.kind, &a.name, &a.nodes).cmp(&(&b.capability, b.kind, &b.name, &b.nodes)));
    messages
}

impl OperatorRequest for ListMessages {
    async fn answer(self, operator: &Operator) -> Result<Messages, Refusal> {
        let question = Question { capability: self.capability, name: None };
        let (mut declared, mut away) = (Vec::new(), Vec::new());
        for (node, answer) in operator.ask_nodes(|_| question.clone()).await {
            match answer {
                Ok(handled) => declared.extend(handled.into_iter().map(|message| message.declared(&node))),
                Err(why) => away.push(AwayNode::new(node, why)),
            }
        }
        Ok(Messages { messages: joined(declared.into_iter()), away })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handled(name: &str, handled_by: &str, schema: &str) -> HandledMessage {
        let schema: JsonSchema = serde_json::from_value(schema.into()).unwrap();
        HandledMessage {
            name: name.into(),
            capability: "catalog".into(),
            handled_by: handled_by.into(),
            kind: MessageKind::Event,
            idempotent: false,
            key_field: None,
            personal_key: false,
            secrets: Vec::new(),
            internal: false,
            schemas: Schemas { message: Some(schema), ..Schemas::default() },
            outcomes: BTreeMap::from([("ok".into(), 2)]),
        }
    }

    #[test]
    fn a_message_is_there_once_for_each_form_that_nodes_declare() {
        let old = r#"{"type":"object"}"#;
        let new = r#"{"type":"object","required":["a"]}"#;
        let declared = [
            handled("catalog.b.v1", "orders", new).declared("shop-2"),
            handled("catalog.b.v1", "orders", old).declared("shop-1"),
            handled("catalog.b.v1", "bills", old).declared("office"),
            handled("catalog.a.v1", "orders", old).declared("shop-1"),
        ];
        let messages = joined(declared.into_iter());
        let seen: Vec<_> = messages
            .iter()
            .map(|m| (m.name.as_str(), m.nodes.iter().cloned().collect::<Vec<_>>().join(" "), m.outcomes["ok"]))
            .collect();
        let expected = [
            ("catalog.a.v1", "shop-1".into(), 2),
            ("catalog.b.v1", "office shop-1".into(), 4),
            ("catalog.b.v1", "shop-2".into(), 2),
        ];
        assert_eq!(seen, expected);
        assert_eq!(messages[1].handled_by, BTreeSet::from(["bills".to_string(), "orders".into()]));
    }

    #[test]
    fn one_capability_is_asked_for_what_it_handles_and_what_it_publishes() {
        let message = handled("catalog.b.v1", "orders", "{}");
        let wants = |capability: &str| Question { capability: Some(capability.into()), name: None }.wants(&message);
        assert_eq!(["catalog", "orders", "users"].map(wants), [true, true, false]);
    }
}
