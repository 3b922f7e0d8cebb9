//! What is in a message, for people.

use essaim_base::codec;
use serde_json::Value;

use crate::api::Payload;

/// A body of more bytes is shown in part.
const MOST_BYTES: usize = 64 << 10;
/// So much of it.
const BEGINNING: usize = 1 << 10;

/// The body of a message as JSON if it can be, else in hexadecimal.
pub(crate) fn of(body: &[u8]) -> Payload {
    match codec::decode::<Value>(body) {
        Ok(value) if body.len() <= MOST_BYTES => Payload::Json(value),
        _ => bytes(body),
    }
}

/// Bytes in hexadecimal.
pub(crate) fn bytes(bytes: &[u8]) -> Payload {
    if bytes.len() > MOST_BYTES {
        return Payload::Beginning { hex: hex(&bytes[..BEGINNING]), bytes: bytes.len() as u64 };
    }
    Payload::Hex(hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Order {
        lines: Vec<u8>,
        note: Option<String>,
    }

    #[test]
    fn a_body_is_shown_as_json_where_it_can_be() {
        let body = codec::encode(&Order { lines: vec![1, 2], note: None }).unwrap();
        assert_eq!(of(&body), Payload::Json(json!({ "lines": [1, 2], "note": null })));
    }

    #[test]
    fn bytes_that_are_no_json_are_shown_in_hexadecimal() {
        assert_eq!(of(&[0xc1, 0x00]), Payload::Hex("c100".into()));
        let bytes = codec::encode(&serde_bytes::ByteBuf::from(vec![1, 2])).unwrap();
        assert_eq!(of(&bytes), Payload::Hex("c4020102".into()));
    }

    #[test]
    fn a_long_body_is_shown_in_part() {
        let Payload::Beginning { hex, bytes } = of(&vec![7; MOST_BYTES + 1]) else { panic!("it is too long") };
        assert_eq!((hex.len(), bytes), (BEGINNING * 2, MOST_BYTES as u64 + 1));
    }
}
