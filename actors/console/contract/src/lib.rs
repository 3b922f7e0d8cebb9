//! The contract of the console: what it tells itself, so that it is kept. Nobody asks it anything.

use std::borrow::Cow;

use essaim_contract::{Capability, Command, Message, message_schema};
use serde::{Deserialize, Serialize};

/// The operators' console.
pub struct Console;

impl Capability for Console {
    const NAME: &'static str = "console";
}

/// An operator has logged out: the session is not accepted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EndSession {
    /// The session's id.
    pub session: String,
    /// When it would have ended by itself, in milliseconds since 1970.
    pub until_ms: u64,
}

impl Message for EndSession {
    type To = Console;
    const NAME: &'static str = "end_session";
    const VERSION: u16 = 1;
    const KEY_FIELD: Option<&'static str> = Some("session");
    const INTERNAL: bool = true;
    message_schema!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.session))
    }
}

impl Command for EndSession {}
