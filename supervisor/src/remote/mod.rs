//! Other nodes. (Being built.)

use std::sync::Arc;

use bytes::Bytes;
use essaim_contract::{AskError, NotDelivered};
use serde_bytes::ByteBuf;

use crate::call::Call;
use crate::host::Host;

/// An ask on its way to another node.
pub(crate) struct Outgoing {
    pub capability: &'static str,
    pub name: String,
    pub body: Bytes,
    pub key: Option<String>,
    pub idempotent: bool,
    pub call: Call,
    /// Why this node did not take it, if it hosts the capability.
    pub refused: Option<NotDelivered>,
}

/// The other nodes, as seen from this one.
pub(crate) struct Remote {}

impl Remote {
    /// Whether an ask for a capability that is hosted here should be handled here.
    pub fn prefers_local(&self, _capability: &str, _host: &Arc<Host>) -> bool {
        true
    }

    /// Asks the best live node, and another while it surely did not run.
    pub async fn ask(&self, outgoing: Outgoing) -> Result<Vec<u8>, AskError<ByteBuf>> {
        let no_host = || NotDelivered::NoHost { capability: outgoing.capability.to_string() };
        Err(AskError::NotDelivered(outgoing.refused.clone().unwrap_or_else(no_host)))
    }

    /// Tells every node.
    pub fn broadcast(&self, _name: &str, _body: Vec<u8>, _call: &Call) {}
}
