//! A message of an operator's is sent: by this node, as any caller outside actors would, within the same bounds.

use std::time::Duration;

use essaim_base::codec;
use essaim_base::text::cut;
use essaim_base::trace::TraceContext;
use essaim_contract::{AskError, MessageId, SendError};
use essaim_core::api::client::Client;
use essaim_protocol::frame::RawAnswer;
use essaim_trace::TraceId;

use crate::api::{MOST_TIMEOUT_MS, MessageKind, SendMessage, SentMessage, SentOutcome};
use crate::checking::Sendable;
use crate::payload;
use crate::requests::{Operator, OperatorRequest, Refusal};

/// So much of a key stands in the audit, in characters.
const KEY_AUDITED: usize = 128;

impl OperatorRequest for SendMessage {
    async fn answer(self, operator: &Operator) -> Result<SentMessage, Refusal> {
        let limit = self.timeout_ms.unwrap_or(operator.bus.settings.ask.timeout_ms.min(MOST_TIMEOUT_MS));
        if !(1..=MOST_TIMEOUT_MS).contains(&limit) {
            return Err(Refusal::Wrong(format!("timeout_ms must be from 1 to {MOST_TIMEOUT_MS}")));
        }
        let sendable = operator.sendable(self.name, self.json, self.capability.as_deref()).await?;
        let act = act(&sendable);
        // Who sends a message by hand wants to see what it did.
        let trace = TraceContext { kept: true, ..operator.recorder.root() };
        let mut client = Client::new(operator.bus.clone()).in_trace(trace).within(Duration::from_millis(limit));
        if let Some(principal) = operator.principal() {
            client = client.on_behalf_of(principal);
        }
        let send = async {
            let began = operator.env.now();
            let sent = send(&client, sendable).await;
            let took_ms = operator.env.now().saturating_duration_since(began).as_millis() as u64;
            Ok(SentMessage { trace: TraceId(trace.trace_id).to_string(), took_ms, ..sent })
        };
        operator.audited(act, send).await
    }
}

/// What the audit says of it: never what is in it.
fn act(sendable: &Sendable) -> String {
    let (kind, name) = (sendable.kind.as_str(), &sendable.message.name);
    match sendable.shown_key() {
        Some(key) => format!("sends the {kind} {name} with the key {}", cut(&key, KEY_AUDITED)),
        None => format!("sends the {kind} {name}"),
    }
}

async fn send(client: &Client, sendable: Sendable) -> SentMessage {
    let Sendable { message, kind, idempotent, retained_hours, .. } = sendable;
    match kind {
        MessageKind::Ask => answered(client.ask_untyped(message, idempotent).await),
        MessageKind::Event => stored(client.publish_untyped(message, retained_hours).await),
        MessageKind::Command | MessageKind::Broadcast => stored(client.send_untyped(message).await),
    }
}

fn answered(answer: RawAnswer) -> SentMessage {
    match answer {
        Ok(reply) => SentMessage { answer: Some(payload::of(&reply, None)), ..ended(SentOutcome::Ok, None) },
        Err(AskError::Rejected(rejection)) => {
            let words = codec::decode::<serde_json::Value>(&rejection).map(|value| value.to_string()).ok();
            SentMessage { answer: Some(payload::of(&rejection, None)), ..ended(SentOutcome::Rejected, words) }
        }
        Err(error) => {
            let outcome = match &error {
                AskError::Failed(_) => SentOutcome::Failed,
                AskError::NotDelivered(_) => SentOutcome::NotDelivered,
                AskError::Rejected(_) | AskError::Unknown(_) => SentOutcome::Unknown,
            };
            ended(outcome, Some(error.map_rejected(|_| String::new()).to_string()))
        }
    }
}

fn stored(sent: Result<MessageId, SendError>) -> SentMessage {
    match sent {
        Ok(id) => SentMessage { id: Some(id.to_string()), ..ended(SentOutcome::Stored, None) },
        Err(error) => {
            let (outcome, id) = match &error {
                SendError::Unknown { id } => (SentOutcome::Unknown, Some(id.to_string())),
                SendError::NotStored { .. } | SendError::Invalid { .. } | SendError::Full { .. } => {
                    (SentOutcome::NotStored, None)
                }
            };
            SentMessage { id, ..ended(outcome, Some(error.to_string())) }
        }
    }
}

fn ended(outcome: SentOutcome, error: Option<String>) -> SentMessage {
    SentMessage { outcome, answer: None, error, id: None, trace: String::new(), took_ms: 0 }
}

#[cfg(test)]
mod tests {
    use essaim_contract::{Failure, FailureKind, NotDelivered, Unknown};
    use essaim_durable::UntypedMessage;
    use serde_bytes::ByteBuf;
    use serde_json::json;

    use super::*;
    use crate::api::Payload;

    #[test]
    fn each_error_keeps_its_word() {
        let rejection = codec::encode(&json!({ "invalid": { "field": "lines" } })).unwrap();
        let rejected = answered(Err(AskError::Rejected(ByteBuf::from(rejection))));
        assert_eq!(rejected.outcome, SentOutcome::Rejected);
        assert_eq!(rejected.answer, Some(Payload::Json(json!({ "invalid": { "field": "lines" } }))));
        let failed = AskError::Failed(Failure { kind: FailureKind::Database, detail: "why".into() });
        let no_host = AskError::NotDelivered(NotDelivered::NoHost { capability: "orders".into() });
        let unknown = AskError::Unknown(Unknown::NoAnswer { node: "shop".into() });
        for (error, outcome) in
            [(failed, SentOutcome::Failed), (no_host, SentOutcome::NotDelivered), (unknown, SentOutcome::Unknown)]
        {
            let told = answered(Err(error));
            assert!(told.outcome == outcome && told.error.is_some_and(|why| !why.is_empty()));
        }
        let id = MessageId::planned("x", 1).unwrap();
        let unknown = stored(Err(SendError::Unknown { id: id.clone() }));
        assert_eq!((unknown.outcome, unknown.id), (SentOutcome::Unknown, Some(id.to_string())));
        let full = SendError::Full { capability: "orders".into(), bound: "8".into() };
        assert_eq!(stored(Err(full)).outcome, SentOutcome::NotStored);
    }

    #[test]
    fn the_audit_names_message_and_key_and_nothing_that_is_in_it() {
        let message = |key: Option<&str>, personal_key| UntypedMessage {
            name: "auth.login.v1".into(),
            capability: "auth".into(),
            key: key.map(Into::into),
            personal_key,
            body: b"hunter22".to_vec(),
        };
        let told = |message| {
            let (kind, handled_by) = (MessageKind::Ask, Vec::new());
            act(&Sendable { message, kind, idempotent: false, retained_hours: 0, handled_by })
        };
        assert_eq!(told(message(None, false)), "sends the ask auth.login.v1");
        assert_eq!(told(message(Some("7"), false)), "sends the ask auth.login.v1 with the key 7");
        assert!(!told(message(Some("a@b.c"), true)).contains("a@b.c"));
        assert!(told(message(Some(&"k".repeat(500)), false)).len() < 200);
    }
}
