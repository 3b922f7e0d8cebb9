//! JSON that an operator writes becomes a message: a node that hosts a handler of it knows its type.

use std::sync::Arc;

use essaim_config::similar;
use essaim_core::local::declared::DeclaredMessage;
use essaim_core::node::bus::Bus;
use essaim_durable::UntypedMessage;
use essaim_trace::shown_key;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::api::{CheckMessage, CheckedMessage, MOST_PAYLOAD_BYTES, MessageKind};
use crate::contracts::{HandledMessage, Question as WhichMessages};
use crate::node_ask::{NodeAsk, ask_node};
use crate::requests::{Operator, OperatorRequest, Refusal};

/// Room for what goes to another node with the JSON, in bytes.
const BESIDE_JSON: usize = 1_024;

/// What a node is asked: whether JSON is a message that it handles.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    name: String,
    json: String,
}

/// What a node says of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoded {
    Message {
        body: ByteBuf,
        key: Option<String>,
        retained_hours: u32,
    },
    /// It is none, for this reason.
    Misfit(String),
}

impl NodeAsk for Question {
    const NAME: &'static str = "essaim.encode.v1";
    type Answer = Encoded;

    async fn answer(&self, bus: &Arc<Bus>) -> Result<Encoded, String> {
        let mut entries = bus.hosts().iter().flat_map(|host| host.entries());
        let handler = entries.find(|entry| **entry.name() == *self.name);
        let declared = handler.and_then(|handler| handler.info().declared);
        let DeclaredMessage { encode, retained_hours, .. } =
            declared.ok_or("it does not handle the message any more")?;
        Ok(match encode(&self.json) {
            Ok(message) => Encoded::Message { body: ByteBuf::from(message.body), key: message.key, retained_hours },
            Err(why) => Encoded::Misfit(why),
        })
    }
}

/// A message that may be sent.
pub(crate) struct Sendable {
    pub message: UntypedMessage,
    pub kind: MessageKind,
    pub idempotent: bool,
    pub retained_hours: u32,
    pub handled_by: Vec<String>,
}

impl Sendable {
    /// The key as it may be shown.
    pub fn shown_key(&self) -> Option<String> {
        let key = self.message.key.as_deref()?;
        Some(shown_key(key, self.message.personal_key).to_string())
    }
}

impl OperatorRequest for CheckMessage {
    async fn answer(self, operator: &Operator) -> Result<CheckedMessage, Refusal> {
        let sendable = operator.sendable(self.name, self.json, self.capability.as_deref()).await?;
        let (key, bytes) = (sendable.shown_key(), sendable.message.body.len() as u64);
        let known = operator.requester.as_ref().filter(|requester| requester.principal.is_some());
        let on_behalf_of = known.map(|requester| requester.asker.who.clone());
        Ok(CheckedMessage { kind: sendable.kind, key, bytes, handled_by: sendable.handled_by, on_behalf_of })
    }
}

impl Operator {
    /// Makes a message of JSON.
    pub(crate) async fn sendable(
        &self,
        name: String,
        json: String,
        capability: Option<&str>,
    ) -> Result<Sendable, Refusal> {
        let most = MOST_PAYLOAD_BYTES.min((self.most_bytes as usize).saturating_sub(BESIDE_JSON));
        if json.len() > most {
            let why = format!(
                "{} bytes of JSON are too many: at most {most}, and less than wire.max_message_bytes",
                json.len()
            );
            return Err(Refusal::Wrong(why));
        }
        // Bounded by the nodes.
        let (mut handled, mut away) = (Vec::new(), Vec::new());
        let which = WhichMessages { capability: None, name: Some(name.clone()) };
        for (node, answer) in self.ask_nodes(|_| which.clone()).await {
            match answer {
                Ok(messages) => handled.extend(messages.into_iter().map(|message| (node.clone(), message))),
                Err(why) => away.push(format!("`{node}` does not answer: {why}")),
            }
        }
        let Some((_, declared)) = handled.first() else { return Err(self.unknown(&name, &away).await) };
        is_open_to_operators(declared, capability).map_err(Refusal::Wrong)?;
        let mut handled_by: Vec<String> = handled.iter().map(|(_, message)| message.handled_by.clone()).collect();
        handled_by.sort();
        handled_by.dedup();
        let question = Question { name, json };
        for (node, _) in &handled {
            match ask_node(&self.bus, node, &question).await {
                Ok(Encoded::Message { body, key, retained_hours }) => {
                    let message = UntypedMessage {
                        name: question.name,
                        capability: declared.capability.as_str().into(),
                        key,
                        personal_key: declared.personal_key,
                        body: body.into_vec(),
                    };
                    let (kind, idempotent) = (declared.kind, declared.idempotent);
                    return Ok(Sendable { message, kind, idempotent, retained_hours, handled_by });
                }
                Ok(Encoded::Misfit(why)) => {
                    return Err(Refusal::Wrong(format!("this is no `{}`: {why}", question.name)));
                }
                Err(why) => away.push(format!("`{node}` does not answer: {why}")),
            }
        }
        let name = question.name;
        Err(Refusal::Away(format!("nobody can tell whether this is a `{name}`: {}", away.join(", "))))
    }

    /// Why there is no message of this name, and which one was probably meant.
    async fn unknown(&self, name: &str, away: &[String]) -> Refusal {
        let capability = name.split('.').next().unwrap_or_default();
        if is_the_runtimes(name) {
            return Refusal::Wrong(format!("`{name}` is the runtime's own: operators have requests for what it does"));
        }
        let answers = self.ask_nodes(|_| WhichMessages::default()).await;
        let messages: Vec<_> = answers.into_iter().filter_map(|(_, answer)| answer.ok()).flatten().collect();
        let is_hosted = messages.iter().any(|message| message.handled_by == capability);
        let is_known = self.capabilities().await.is_ok_and(|known| known.contains(capability));
        if !is_hosted && (is_known || !away.is_empty()) {
            let hint = if away.is_empty() { String::new() } else { format!(" ({})", away.join(", ")) };
            return Refusal::Away(format!(
                "no node that answers hosts `{capability}`, so nobody can tell whether this is one of its messages{hint}"
            ));
        }
        let hint = match similar(name, messages.iter().map(|message| message.name.as_str())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`essaim messages` lists what there is".into(),
        };
        Refusal::Wrong(format!("no capability takes a message `{name}`: {hint}"))
    }
}

/// Whether operators may send a message, as one of a capability's.
///
/// # Errors
/// Why not.
fn is_open_to_operators(message: &HandledMessage, capability: Option<&str>) -> Result<(), String> {
    let HandledMessage { name, capability: of, kind, internal, .. } = message;
    if *internal {
        return Err(format!("`{name}` is sent by `{of}` alone, about what nobody else knows"));
    }
    if *kind == MessageKind::Broadcast {
        return Err(format!(
            "`{name}` is a broadcast: nobody answers it and nothing keeps it, so operators do not send it"
        ));
    }
    match capability {
        Some(wanted) if wanted != of => {
            let what =
                if *kind == MessageKind::Event { "an event, which its publisher alone tells" } else { "a message" };
            Err(format!("`{name}` is {what}: it is of `{of}`, not of `{wanted}`"))
        }
        _ => Ok(()),
    }
}

fn is_the_runtimes(name: &str) -> bool {
    name.split('.').any(|part| part.starts_with("essaim")) || name.ends_with(".tick")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn message(kind: MessageKind, internal: bool) -> HandledMessage {
        HandledMessage {
            name: "catalog.a.v1".into(),
            capability: "catalog".into(),
            handled_by: "orders".into(),
            kind,
            idempotent: false,
            key_field: None,
            personal_key: false,
            secrets: Vec::new(),
            internal,
            schemas: Default::default(),
            outcomes: BTreeMap::new(),
        }
    }

    #[test]
    fn operators_send_what_is_not_internal_as_the_one_whose_it_is() {
        let refused = |kind, internal, of: Option<&str>| is_open_to_operators(&message(kind, internal), of).err();
        for kind in [MessageKind::Ask, MessageKind::Command, MessageKind::Event] {
            assert_eq!(refused(kind, false, None), None);
            assert_eq!(refused(kind, false, Some("catalog")), None);
            assert!(refused(kind, true, None).is_some_and(|why| why.contains("sent by `catalog` alone")));
        }
        assert!(
            refused(MessageKind::Event, false, Some("orders")).is_some_and(|why| why.contains("its publisher alone"))
        );
        assert!(refused(MessageKind::Broadcast, false, None).is_some_and(|why| why.contains("a broadcast")));
    }

    #[test]
    fn names_of_the_runtime_are_known() {
        for name in ["essaim.status.v1", "orders.essaim-durable.v1", "orders.tick", "essaim.near-invalidate.v1"] {
            assert!(is_the_runtimes(name), "{name}");
        }
        assert!(!is_the_runtimes("orders.place.v1"));
    }
}
