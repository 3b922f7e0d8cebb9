//! The check that a fuzzer makes of each frame. Not part of the interface: `fuzz/` and the tests of the whole share it.

use crate::frame::{self, FrameHeader, FrameMessage};

/// Decodes bytes as a frame, and returns the number of messages before the first that cannot be decoded; `None` if the header
/// cannot be.
///
/// # Panics
/// If what was decoded differs after it has been encoded and decoded again.
pub fn frame(bytes: &[u8]) -> Option<usize> {
    let (header, messages) = read(bytes);
    let header = FrameHeader {
        message_count: messages.len().try_into().expect("each message has bytes in the frame"),
        ..header?
    };
    let written: Vec<Vec<u8>> = messages.iter().map(|m| frame::encode_message(m).expect("it can be written")).collect();
    let again = frame::encode(&header, &written).expect("it can be written");
    let (header_again, messages_again) = read(&again);
    assert_eq!(header_again, Some(header));
    assert_eq!(messages_again, messages);
    Some(messages.len())
}

/// The header, if it can be read, and the messages that can.
fn read(bytes: &[u8]) -> (Option<FrameHeader<'_>>, Vec<FrameMessage<'_>>) {
    let (mut header, mut messages) = (None, Vec::new());
    let read = frame::decode(bytes, |head, message| {
        header.get_or_insert_with(|| head.clone());
        messages.push(message);
    });
    (read.ok().or(header), messages)
}
