//! What contracts say of messages, for those who do not have their types.

use essaim_contract::{Capability, Message, Schemas};

use crate::local::from_json::{self, EncodedMessage};

/// What a contract says of a message type.
#[derive(Clone, Copy)]
pub struct DeclaredMessage {
    /// The capability of its name: of an event, the one that publishes it.
    pub capability: &'static str,
    pub key_field: Option<&'static str>,
    pub personal_key: bool,
    pub secrets: &'static [&'static str],
    pub internal: bool,
    /// Whether an ask may be repeated.
    pub idempotent: bool,
    /// For how long an event is retained.
    pub retained_hours: u32,
    /// Reads JSON as this message.
    pub encode: fn(&str) -> Result<EncodedMessage, String>,
    /// Shows an encoded message as JSON; `None` if it is none of this type.
    pub show: fn(&[u8]) -> Option<serde_json::Value>,
    /// Its forms, made when they are asked for.
    pub schemas: fn() -> Schemas,
}

impl DeclaredMessage {
    pub fn of<M: Message>() -> Self {
        Self {
            capability: <M::To as Capability>::NAME,
            key_field: M::KEY_FIELD,
            personal_key: M::PERSONAL_KEY,
            secrets: M::SECRETS,
            internal: M::INTERNAL,
            idempotent: false,
            retained_hours: 0,
            encode: from_json::encode::<M>,
            show: from_json::show::<M>,
            schemas: M::json_schemas,
        }
    }
}
