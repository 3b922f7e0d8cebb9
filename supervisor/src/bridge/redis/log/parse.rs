//! What Redis answers, read without trust.

use bytes::Bytes;
use redis::Value;

use crate::bridge::log::{Entry, LogError, Position};

/// The server answered with something that makes no sense here.
pub fn strange(what: &str) -> LogError {
    LogError(format!(
        "Redis answered {what} with something else than was asked for; is bridge.namespace used otherwise?"
    ))
}

pub fn items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}

/// The pairs of a hash, as RESP3 gives them and as a script does.
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

/// An entry of a stream; `None` if nobody of ours wrote it.
pub fn entry(value: Value) -> Option<Entry> {
    let [id, fields] = <[Value; 2]>::try_from(items(value)?).ok()?;
    let (mut count, mut first, mut batch) = (None, None, None);
    for (name, value) in pairs(fields)? {
        match text(&name)? {
            "c" => count = number(&value).and_then(|c| u32::try_from(c).ok()),
            "f" => first = number(&value),
            "b" => batch = bytes(value),
            _ => {}
        }
    }
    Some(Entry { position: position(text(&id)?)?, first: first?, count: count?, batch: batch? })
}

/// A record of an owner: its epoch and its host, which is empty if there is none.
pub fn owner(record: &str) -> Option<(u64, &str)> {
    let (epoch, host) = record.split_once(' ')?;
    Some((epoch.parse().ok()?, host))
}
