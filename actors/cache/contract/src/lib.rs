//! What the capability `cache` answers: values remembered for a while, by namespace and key.
//!
//! Nothing is promised to be found: a value is in the memory of the node that took it, goes when its time is over, when
//! room is needed or when that node ends, and is not found by asking another node. What must not be lost belongs in a
//! database.
//!
//! # Layout
//!
//! - [`Get`], [`Put`], [`Invalidate`]: the messages.
//! - [`Blob`]: a value; [`CacheError`]: why one is refused.

mod blob;
pub use blob::Blob;

use std::borrow::Cow;
use std::fmt;

use essaim_contract::{Ask, Capability, Message, ask_schemas};
use serde::{Deserialize, Serialize};

/// The capability.
#[derive(Debug, Clone, Copy)]
pub struct Cache;

impl Capability for Cache {
    const NAME: &'static str = "cache";
}

/// The value of a key, if it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Get {
    /// Keeps the keys of one caller apart from another's.
    pub namespace: String,
    /// The key.
    pub key: String,
}

/// Remembers a value. Other nodes forget what they had for the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Put {
    /// Keeps the keys of one caller apart from another's.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Blob,
    /// For how long, in milliseconds; at most, and if absent, as long as the node's `near.ttl_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// Forgets a key in every node: in the one that answers at once, in the others as soon as they hear of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Invalidate {
    /// Keeps the keys of one caller apart from another's.
    pub namespace: String,
    /// The key.
    pub key: String,
}

/// Why the capability says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CacheError {
    /// Namespace and key together are longer than `cache.max_key_bytes`.
    KeyTooLarge {
        /// Their size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The value is larger than `cache.max_value_bytes`.
    ValueTooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTooLarge { bytes, limit } => {
                write!(f, "namespace and key have {bytes} bytes, more than cache.max_key_bytes ({limit})")
            }
            Self::ValueTooLarge { bytes, limit } => {
                write!(f, "the value has {bytes} bytes, more than cache.max_value_bytes ({limit})")
            }
        }
    }
}

impl std::error::Error for CacheError {}

impl Message for Get {
    type To = Cache;
    const NAME: &'static str = "get";
    const VERSION: u16 = 1;
    ask_schemas!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(place(&self.namespace, &self.key))
    }
}

impl Ask for Get {
    type Reply = Option<Blob>;
    type Error = CacheError;
    const IDEMPOTENT: bool = true;
}

impl Message for Put {
    type To = Cache;
    const NAME: &'static str = "put";
    const VERSION: u16 = 1;
    ask_schemas!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(place(&self.namespace, &self.key))
    }
}

impl Ask for Put {
    type Reply = ();
    type Error = CacheError;
    const IDEMPOTENT: bool = true;
}

impl Message for Invalidate {
    type To = Cache;
    const NAME: &'static str = "invalidate";
    const VERSION: u16 = 1;
    ask_schemas!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(place(&self.namespace, &self.key))
    }
}

impl Ask for Invalidate {
    type Reply = ();
    type Error = CacheError;
    const IDEMPOTENT: bool = true;
}

/// A key has affinity, so that of several nodes that host the capability the same one is asked for it.
fn place<'a>(namespace: &'a str, key: &'a str) -> Cow<'a, str> {
    Cow::Owned(format!("{namespace}/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use essaim_contract::wire_name;

    #[test]
    fn wire_names_are_what_other_nodes_know() {
        let names = [wire_name::<Get>(), wire_name::<Put>(), wire_name::<Invalidate>()];
        assert_eq!(names, ["cache.get.v1", "cache.put.v1", "cache.invalidate.v1"]);
    }

    #[test]
    fn a_key_is_asked_for_where_it_was_put() {
        let (namespace, key) = (String::from("n"), String::from("k"));
        let get = Get { namespace: namespace.clone(), key: key.clone() };
        let put = Put { namespace, key, value: Blob(vec![]), ttl_ms: None };
        assert_eq!(get.key(), put.key());
    }
}
