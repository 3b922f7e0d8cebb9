//! Capabilities and the messages that reach them.

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Schemas;

/// One business ability, such as `orders`. A contract crate declares one, as an empty type.
pub trait Capability: Send + Sync + 'static {
    /// The name in the configuration, in wire names and in logs: lower case, `a-z`, `0-9` and `-`.
    const NAME: &'static str;
}

/// A message that one capability answers for.
///
/// The name and version are literals that travel on the wire. Adding an optional field keeps the version; any other
/// change is a new version, declared as a new type beside the old one until no node sends the old one any more.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The capability that handles the message; of an event, the one that publishes it.
    type To: Capability;
    /// The name within the capability, a literal such as `place`.
    const NAME: &'static str;
    /// The version of the message's form, from 1.
    const VERSION: u16;
    /// Whether the key tells who somebody is, such as an e-mail address: records of messages show a hash of it.
    const PERSONAL_KEY: bool = false;
    /// Fields of the encoded message, however deep, that records of messages and dead letters never show, such as `password`.
    const SECRETS: &'static [&'static str] = &[];
    /// The field that is its [key](Message::key), where the key is the value of one.
    const KEY_FIELD: Option<&'static str> = None;
    /// Whether only its own capability sends it, about what it alone knows: operators may not.
    const INTERNAL: bool = false;

    /// The message's key, such as an order's id, if messages about one thing belong together.
    ///
    /// For asks a key is affinity, not exclusion: messages with one key prefer one node and one instance, and
    /// correctness rests on the database. For commands and events a key orders and excludes: those with one key are
    /// applied one at a time, in the order in which they were stored, across nodes.
    fn key(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// The forms of the message and of what answers it, for operators and tools; none where its contract does not tell them.
    /// [`message_schema!`](crate::message_schema) and [`ask_schemas!`](crate::ask_schemas) write it.
    fn json_schemas() -> Schemas {
        Schemas::default()
    }
}

/// A message that is answered: at most once an attempt, always within its deadline.
pub trait Ask: Message {
    /// The answer.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// The business errors with which the actor may say no. [`Never`] where it never does.
    type Error: Serialize + DeserializeOwned + fmt::Display + fmt::Debug + Send + 'static;
    /// Whether doing it twice is the same as doing it once. Only then is an attempt with an unknown outcome repeated.
    const IDEMPOTENT: bool = false;
}

/// A message for every node, now, with best effort: nobody answers, and a node that is away misses it.
pub trait Broadcast: Message + Clone {}

/// The name of a message on the wire, such as `orders.place.v1`.
pub fn wire_name<M: Message>() -> String {
    format!("{}.{}.v{}", <M::To as Capability>::NAME, M::NAME, M::VERSION)
}

/// The error of an ask that its capability never rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shop;
    impl Capability for Shop {
        const NAME: &'static str = "shop";
    }

    #[derive(Serialize, Deserialize)]
    struct Open;
    impl Message for Open {
        type To = Shop;
        const NAME: &'static str = "open";
        const VERSION: u16 = 2;
    }

    #[test]
    fn a_wire_name_is_capability_name_and_version() {
        assert_eq!(wire_name::<Open>(), "shop.open.v2");
    }
}
