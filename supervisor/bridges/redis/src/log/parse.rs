//! Parsing of the answers of Redis, which are not trusted.

use bytes::Bytes;
use redis::Value;

use essaim_protocol::log::{Entry, LogError, Position};

/// The server in errors.
pub const SERVER: &str = "Redis";

/// The error for an answer of a form that is not expected.
pub fn unexpected(asked: &'static str) -> LogError {
    LogError::UnexpectedAnswer { server: SERVER, asked }
}

pub fn items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}

/// The pairs of a hash, in the form of RESP3 or of a script.
pub fn pairs(value: Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Map(pairs) => Some(pairs),
        Value::Array(flat) if flat.len().is_multiple_of(2) => {
            let mut flat = flat.into_iter();
            Some(std::iter::from_fn(|| Some((flat.next()?, flat.next()?))).collect())
        }
        _ => None,
    }
}

pub fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

pub fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
}

pub fn position(text: &str) -> Option<Position> {
    let (time, sequence) = text.split_once('-')?;
    Some(Position(time.parse().ok()?, sequence.parse().ok()?))
}

pub fn shown(position: Position) -> String {
    format!("{}-{}", position.0, position.1)
}

/// The most bytes that are kept of a foreign entry.
const FOREIGN_BYTES: usize = 64 << 10;

/// An entry of a stream. One that is not in our form is foreign.
pub fn entry(value: Value) -> Option<Entry> {
    let [id, fields] = <[Value; 2]>::try_from(items(value)?).ok()?;
    let (position, fields) = (position(text(&id)?)?, pairs(fields)?);
    let ours = own(position, &fields);
    Some(ours.unwrap_or_else(|| Entry { foreign: true, position, first: 0, count: 1, batch: as_found(&fields) }))
}

/// An entry with our fields in their order; further fields may follow.
fn own(position: Position, fields: &[(Value, Value)]) -> Option<Entry> {
    let [(c, count), (f, first), (b, batch), ..] = fields else { return None };
    let (first, count, Value::BulkString(batch)) = (digits(first)?, digits(count)?, batch) else { return None };
    let named = [c, f, b].map(text) == [Some("c"), Some("f"), Some("b")];
    let counted = Entry::counted(first, count).filter(|_| named)?;
    let batch = Bytes::copy_from_slice(batch);
    Some(Entry { foreign: false, position, first, count: counted, batch })
}

/// A number in our form: digits alone.
fn digits(value: &Value) -> Option<u64> {
    text(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// The fields of an entry, one on each line.
fn as_found(fields: &[(Value, Value)]) -> Bytes {
    let mut found = Vec::new();
    for (name, value) in fields {
        for (part, end) in [(name, b'='), (value, b'\n')] {
            if let Value::BulkString(bytes) = part {
                let room = FOREIGN_BYTES.saturating_sub(found.len());
                found.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            found.push(end);
        }
    }
    found.into()
}

/// The record of an owner: its epoch and its host, which is empty if there is none.
pub fn owner(record: &str) -> Option<(u64, &str)> {
    let (epoch, host) = record.split_once(' ')?;
    Some((epoch.parse().ok()?, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Entry {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
        entry(Value::Array(vec![text("7-1"), Value::Map(fields)])).expect("it has a position")
    }

    #[test]
    fn an_entry_is_ours_if_it_is_as_we_write_them() {
        let ours = read(&[("c", "2"), ("f", "40"), ("b", "xyz"), ("later", "1")]);
        assert_eq!(
            (ours.foreign, ours.position, ours.first, ours.count, &ours.batch[..]),
            (false, Position(7, 1), 40, 2, &b"xyz"[..])
        );
    }

    #[test]
    fn any_other_entry_is_foreign_and_shows_what_it_holds() {
        for fields in [
            &[("junk", "x")][..],
            &[("c", "1"), ("f", "0")],
            &[("c", "-1"), ("f", "0"), ("b", "xyz")],
            &[("c", "0"), ("f", "0"), ("b", "xyz")],
            &[("c", "nan"), ("f", "0"), ("b", "xyz")],
            &[("c", "9007199254740992"), ("f", "0"), ("b", "xyz")],
            &[("c", "1e21"), ("f", "0"), ("b", "xyz")],
            &[("c", "1"), ("f", "x"), ("b", "xyz")],
            &[("c", "+1"), ("f", "0"), ("b", "xyz")],
            &[("c", "1"), ("f", "+5"), ("b", "xyz")],
            &[("c", "1"), ("f", "18446744073709551615"), ("b", "xyz")],
            &[("f", "0"), ("c", "1"), ("b", "xyz")],
        ] {
            let entry = read(fields);
            assert_eq!((entry.foreign, entry.count, entry.position), (true, 1, Position(7, 1)), "{fields:?}");
        }
        assert_eq!(&read(&[("junk", "x"), ("more", "y")]).batch[..], b"junk=x\nmore=y\n");
        assert!(read(&[("junk", &"x".repeat(1 << 20))]).batch.len() <= FOREIGN_BYTES + 2);
    }
}
