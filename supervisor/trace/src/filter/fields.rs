//! The fields of message records.

use super::{Field, Filterable};
use crate::record::MessageRecord;
use crate::text::Text;

impl Filterable for MessageRecord {
    const CALLED: &'static str = "records";
    const FIELDS: &'static [&'static str] = &[
        "trace",
        "span",
        "parent",
        "id",
        "name",
        "kind",
        "half",
        "node",
        "capability",
        "sender",
        "peer",
        "key",
        "outcome",
        "error",
        "at",
        "waited",
        "ran",
        "database",
        "took",
        "attempt",
        "bytes",
        "instance",
        "attr.NAME",
    ];

    fn field(name: &str) -> Option<Field<Self>> {
        Some(match name {
            "trace" => Field::Text(|r| Some(r.trace_id.to_string())),
            "span" => Field::Text(|r| id(r.span_id)),
            "parent" => Field::Text(|r| id(r.parent_id)),
            "id" => Field::Text(|r| own(&r.message_id)),
            "name" => Field::Text(|r| Some(r.name.to_string())),
            "kind" => Field::Text(|r| Some(r.kind.as_str().into())),
            "half" => Field::Text(|r| Some(r.half.as_str().into())),
            "node" => Field::Text(|r| Some(r.node.to_string())),
            "capability" => Field::Text(|r| Some(r.capability.to_string())),
            "sender" => Field::Text(|r| own(&r.sender)),
            "peer" => Field::Text(|r| own(&r.peer)),
            "key" => Field::Text(|r| own(&r.key)),
            "outcome" => Field::Text(|r| Some(r.outcome.as_str().into())),
            "error" => Field::Text(|r| own(&r.error)),
            "at" => Field::At,
            "waited" => Field::Duration(|r| r.waited_us),
            "ran" => Field::Duration(|r| r.ran_us),
            "database" => Field::Duration(|r| r.database_us),
            "took" => Field::Duration(|r| r.waited_us + r.ran_us),
            "attempt" => Field::Number(|r| r.attempt.into()),
            "bytes" => Field::Number(|r| r.bytes.into()),
            "instance" => Field::Text(|r| r.instance.map(|instance| instance.to_string())),
            other => match other.strip_prefix("attr.") {
                Some(name) if !name.is_empty() => {
                    Field::Named(name.into(), |r, name| r.attributes.as_ref()?.get(name).cloned())
                }
                _ => return None,
            },
        })
    }

    fn at_us(&self) -> u64 {
        self.at_us
    }
}

fn id(id: u64) -> Option<String> {
    (id != 0).then(|| format!("{id:016x}"))
}

fn own(text: &Option<Text>) -> Option<String> {
    text.as_ref().map(ToString::to_string)
}
