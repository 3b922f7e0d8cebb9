//! Framing: how this node's frames are made, numbered and signed, one way for links, broadcasts and pings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use essaim_base::codec::EncodeError;
use essaim_protocol::frame::{self, FrameHeader, VERSION};
use essaim_protocol::keys::ClusterKeys;
use essaim_protocol::wire::Identity;

/// What all frames of this node have in common.
pub struct Framing {
    me: Arc<Identity>,
    pub keys: Arc<ClusterKeys>,
    /// The number of the last signed frame.
    last_number: AtomicU64,
}

impl Framing {
    pub fn new(me: Arc<Identity>, keys: Arc<ClusterKeys>) -> Self {
        Self { me, keys, last_number: AtomicU64::new(0) }
    }

    /// A frame for a channel, with the bytes sent there before it and the bytes granted to its owner.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn frame(
        &self,
        channel: &str,
        (sent_bytes, granted_bytes): (u64, u64),
        messages: &[Vec<u8>],
    ) -> Result<Bytes, EncodeError> {
        let number = if self.keys.is_on() { self.last_number.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        let header = FrameHeader {
            version: VERSION,
            from: &self.me.node,
            epoch: self.me.epoch,
            inbox: &self.me.inbox,
            sent_bytes,
            granted_bytes,
            message_count: messages.len() as u32,
            number,
        };
        frame::encode_for(channel, &self.keys, &header, messages)
    }
}
