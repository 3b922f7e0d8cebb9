//! Who made a frame, as far as its tag tells.

use essaim_base::codec;
use serde::Deserialize;

use super::frame::FrameHeader;
use super::keys::{self, ClusterKeys, Distrust};

/// Who made a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    /// A node that knows a secret of the cluster.
    Node,
    /// Anybody: it has no tag, and needs none here.
    Anybody,
}

/// Whether a frame that came on a channel is believed, and why.
pub fn origin(channel: &str, keys: &ClusterKeys, frame: &[u8]) -> Result<Origin, Distrust> {
    if !keys.is_on() {
        return Ok(Origin::Anybody);
    }
    let checked = match keys::split_tag(frame) {
        Some((content, tag)) => keys.check_frame(channel, content, tag),
        None => Err(Distrust::UnknownSecret),
    };
    match checked {
        Ok(()) => Ok(Origin::Node),
        Err(Distrust::UnknownSecret) if keys.accepts_unsigned() => Ok(Origin::Anybody),
        // A message may end as a tag would. Only tagged frames have a number.
        Err(Distrust::UnknownSecret) if !has_number(frame) => Err(Distrust::Untagged),
        Err(why) => Err(why),
    }
}

fn has_number(frame: &[u8]) -> bool {
    let mut reader = codec::bounded(rmp_serde::Deserializer::from_read_ref(frame));
    FrameHeader::deserialize(&mut reader).is_ok_and(|header| header.number != 0)
}
