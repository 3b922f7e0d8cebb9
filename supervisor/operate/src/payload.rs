//! What is in a message, for people, and what they make of it.
//!
//! Secrets are hidden, each behind a number of its own. A payload that is written may leave them so: each is put back where its
//! number stands, wherever it was moved, and a number that stands for nothing is refused.

use std::collections::BTreeSet;

use essaim_base::codec;
use essaim_core::local::declared::DeclaredMessage;
use essaim_core::local::from_json::EncodedMessage;
use serde_json::Value;

use crate::api::{MOST_PAYLOAD_BYTES, Payload};

/// A body of more bytes is shown in part.
const MOST_BYTES: usize = 64 << 10;
/// So much of it.
const BEGINNING: usize = 1 << 10;

/// The body of a message as JSON if it can be, else in hexadecimal. Its type, where that is known, reads it as it is written:
/// ids, for example, are bytes in a message and text in JSON.
pub(crate) fn of(body: &[u8], declared: Option<&DeclaredMessage>) -> Payload {
    let secrets = declared.map_or(&[][..], |declared| declared.secrets);
    without_secrets(as_json(body, declared), body, secrets)
}

/// As [`of`], of a message whose type is not known here.
pub(crate) fn of_fields(body: &[u8], secrets: &[&str]) -> Payload {
    without_secrets(as_json(body, None), body, secrets)
}

fn without_secrets(json: Option<Value>, body: &[u8], secrets: &[&str]) -> Payload {
    match json {
        Some(mut value) if body.len() <= MOST_BYTES => {
            hide(&mut value, secrets, &mut Vec::new());
            Payload::Json(value)
        }
        _ if secrets.is_empty() => bytes(body),
        _ => Payload::Hidden { bytes: body.len() as u64 },
    }
}

fn as_json(body: &[u8], declared: Option<&DeclaredMessage>) -> Option<Value> {
    declared.and_then(|declared| (declared.show)(body)).or_else(|| codec::decode::<Value>(body).ok())
}

/// A payload that was written for a message, and what it changes.
#[derive(Debug)]
pub(crate) struct EditedPayload {
    pub message: EncodedMessage,
    /// The fields whose values are others.
    pub changes: Vec<String>,
}

/// Reads a payload that was written in the place of a message's own.
///
/// # Errors
/// What is wrong with it, and where, for who wrote it.
pub(crate) fn edited(
    text: &str,
    before: &[u8],
    key: Option<&str>,
    declared: &DeclaredMessage,
    most_bytes: u64,
) -> Result<EditedPayload, String> {
    if text.len() > MOST_PAYLOAD_BYTES {
        return Err(format!("it has {} bytes of JSON, and {MOST_PAYLOAD_BYTES} are read at most", text.len()));
    }
    let mut original = as_json(before, Some(declared)).unwrap_or_default();
    let mut hidden = Vec::new();
    hide(&mut original, declared.secrets, &mut hidden);
    let message = match hidden.is_empty() {
        true => (declared.encode)(text)?,
        false => (declared.encode)(&with_secrets(text, declared.secrets, &hidden)?)?,
    };
    let (bytes, own) = (message.body.len() as u64, message.key.as_deref());
    if bytes > most_bytes {
        return Err(format!("it makes a message of {bytes} bytes, more than wire.max_message_bytes ({most_bytes})"));
    }
    if own != key {
        let word = |key: Option<&str>| key.map_or("none".into(), |key| format!("`{key}`"));
        return Err(format!(
            "it changes the message's key from {} to {}: the letter keeps its place in the order of its key, so leave what \
             makes the key, or drop the letter and send another message",
            word(key),
            word(own)
        ));
    }
    let (mut after, mut changes) = (as_json(&message.body, Some(declared)).unwrap_or_default(), Vec::new());
    let mut hidden_after = Vec::new();
    hide(&mut after, declared.secrets, &mut hidden_after);
    compare("", &original, &after, &mut changes);
    if hidden.len() != hidden_after.len() || hidden_after.iter().any(|secret| !hidden.contains(secret)) {
        changes.push("a secret".into());
    }
    Ok(EditedPayload { message, changes })
}

/// What stands in the place of the secret of this number.
fn mark(number: usize) -> Value {
    format!("(hidden {})", number + 1).into()
}

/// Replaces fields of these names, however deep, by marks; `hidden` gets what they were.
fn hide(value: &mut Value, secrets: &[&str], hidden: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if !secrets.contains(&name.as_str()) {
                    hide(value, secrets, hidden);
                } else if !value.is_null() {
                    let mark = mark(hidden.len());
                    hidden.push(std::mem::replace(value, mark));
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, secrets, hidden)),
        _ => {}
    }
}

/// The text with the secrets in the places of their marks.
fn with_secrets(text: &str, secrets: &[&str], hidden: &[Value]) -> Result<String, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    put_back("", &mut value, secrets, hidden)?;
    Ok(value.to_string())
}

fn put_back(path: &str, value: &mut Value, secrets: &[&str], hidden: &[Value]) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = field(path, name);
                let marked = secrets.contains(&name.as_str()) && value.as_str().is_some_and(is_mark);
                if !marked {
                    put_back(&path, value, secrets, hidden)?;
                } else if let Some(number) = (0..hidden.len()).find(|number| *value == mark(*number)) {
                    *value = hidden[number].clone();
                } else {
                    return Err(format!(
                        "`{path}`: nothing is hidden behind {value}: leave the mark that was there, or write the value"
                    ));
                }
            }
            Ok(())
        }
        Value::Array(values) => {
            (0..).zip(values).try_for_each(|(at, value)| put_back(&format!("{path}[{at}]"), value, secrets, hidden))
        }
        _ => Ok(()),
    }
}

fn is_mark(text: &str) -> bool {
    text.starts_with("(hidden")
}

/// Changed fields that are named at most.
const MOST_CHANGES: usize = 50;

/// Names the fields in which two payloads differ.
fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<String>) {
    if before == after || changes.len() == MOST_CHANGES {
        return;
    }
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let (before, after) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
                compare(&field(path, name), before, after, changes);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            (0..).zip(a.iter().zip(b)).for_each(|(at, (a, b))| compare(&format!("{path}[{at}]"), a, b, changes));
        }
        _ => changes.push(if path.is_empty() { "all of it".into() } else { path.into() }),
    }
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
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
    use std::borrow::Cow;

    use essaim_contract::{Capability, Message};
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    struct Desk;
    impl Capability for Desk {
        const NAME: &'static str = "desk";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Welcome {
        to: String,
        doors: Vec<Door>,
        note: Option<String>,
        id: u64,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Door {
        floor: u8,
        code: Option<String>,
    }
    impl Message for Welcome {
        type To = Desk;
        const NAME: &'static str = "welcome";
        const VERSION: u16 = 1;
        const SECRETS: &'static [&'static str] = &["code"];
        fn key(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(&self.to))
        }
    }

    fn welcome() -> Welcome {
        let door = |floor, code: &str| Door { floor, code: Some(code.into()) };
        Welcome { to: "ann".into(), doors: vec![door(1, "11"), door(2, "22")], note: None, id: u64::MAX }
    }

    fn edit(text: &str) -> Result<EditedPayload, String> {
        let body = codec::encode(&welcome()).unwrap();
        edited(text, &body, Some("ann"), &DeclaredMessage::of::<Welcome>(), 200)
    }

    fn shown() -> Value {
        let body = codec::encode(&welcome()).unwrap();
        let Payload::Json(value) = of(&body, Some(&DeclaredMessage::of::<Welcome>())) else { panic!("it is JSON") };
        value
    }

    #[test]
    fn secrets_are_hidden_each_behind_a_number_of_its_own() {
        let doors = json!([{ "floor": 1, "code": "(hidden 1)" }, { "floor": 2, "code": "(hidden 2)" }]);
        assert_eq!(shown(), json!({ "to": "ann", "doors": doors, "note": null, "id": u64::MAX }));
    }

    #[test]
    fn what_is_left_as_it_was_is_as_it_was_whatever_is_hidden() {
        let same = edit(&shown().to_string()).unwrap();
        assert_eq!((same.message.body, same.changes), (codec::encode(&welcome()).unwrap(), Vec::<String>::new()));
        let mut moved = shown();
        moved["doors"].as_array_mut().unwrap().reverse();
        moved["note"] = "x".into();
        let moved = edit(&moved.to_string()).unwrap();
        let read: Welcome = codec::decode(&moved.message.body).unwrap();
        let codes: Vec<_> = read.doors.iter().map(|door| (door.floor, door.code.as_deref())).collect();
        assert_eq!(codes, [(2, Some("22")), (1, Some("11"))], "each keeps its own");
        assert_eq!(moved.changes, ["doors[0].floor", "doors[1].floor", "note"]);
        let mut written = shown();
        written["doors"][0]["code"] = "33".into();
        let written = edit(&written.to_string()).unwrap();
        assert_eq!(written.changes, ["a secret"]);
        assert_eq!(codec::decode::<Welcome>(&written.message.body).unwrap().doors[0].code.as_deref(), Some("33"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let with = |change: fn(&mut Value)| {
            let mut value = shown();
            change(&mut value);
            edit(&value.to_string()).unwrap_err()
        };
        let why = with(|value| value["doors"][0]["code"] = "(hidden 3)".into());
        assert!(why.contains("`doors[0].code`") && why.contains("nothing is hidden"), "{why}");
        let why = with(|value| value["doors"][0]["floor"] = "one".into());
        assert!(why.contains("`doors[0].floor`: invalid type"), "{why}");
        let why = with(|value| value["to"] = "bob".into());
        assert!(why.contains("from `ann` to `bob`"), "{why}");
        let why = with(|value| value["note"] = "x".repeat(200).into());
        assert!(why.contains("wire.max_message_bytes (200)"), "{why}");
        assert!(edit("{").unwrap_err().contains("it is no JSON"));
        let long = " ".repeat(MOST_PAYLOAD_BYTES + 1);
        assert!(edit(&long).unwrap_err().contains("are read at most"));
    }

    #[test]
    fn bytes_that_are_no_json_are_shown_in_hexadecimal_unless_they_may_hold_a_secret() {
        assert_eq!(of(&[0xc1, 0x00], None), Payload::Hex("c100".into()));
        let bytes = codec::encode(&serde_bytes::ByteBuf::from(vec![1, 2])).unwrap();
        assert_eq!(of(&bytes, None), Payload::Hex("c4020102".into()));
        assert_eq!(of(&bytes, Some(&DeclaredMessage::of::<Welcome>())), Payload::Hidden { bytes: 4 });
    }

    #[test]
    fn a_long_body_is_shown_in_part() {
        let Payload::Beginning { hex, bytes } = of(&vec![7; MOST_BYTES + 1], None) else { panic!("it is too long") };
        assert_eq!((hex.len(), bytes), (BEGINNING * 2, MOST_BYTES as u64 + 1));
    }
}
