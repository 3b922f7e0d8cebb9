//! Conditions on the fields of records, such as `capability=orders`, `outcome!=ok`, `ran>=100ms` or `error~no host`: every
//! operator for every field.

use std::cmp::Ordering;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::record::MessageRecord;
use crate::text::Text;

/// Records that fulfil all of some conditions. The default takes all records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Filter(Vec<Condition>);

/// A condition cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "`{0}` is no condition: write FIELD OPERATOR VALUE, such as ran>=100ms; the operators are =, !=, <, <=, >, >=, ~ and !~"
    )]
    NoOperator(String),
    #[error("records have no field `{0}`: there are {fields} and attr.NAME", fields = FIELDS.join(", "))]
    NoField(String),
    #[error("`{0}` is no duration: write a number with us, ms, s, m or h")]
    NoDuration(String),
    #[error("`{0}` is no number")]
    NoNumber(String),
    #[error("`{0}` is no moment: write how long ago, such as 5m, or milliseconds since 1970")]
    NoMoment(String),
}

/// One condition, as it was written, and as it is checked.
#[derive(Debug, Clone)]
struct Condition {
    text: String,
    field: Field,
    operator: Operator,
    value: Value,
}

#[derive(Debug, Clone)]
enum Field {
    Text(TextField),
    Attribute(String),
    Duration(fn(&MessageRecord) -> u64),
    Number(fn(&MessageRecord) -> u64),
    At,
}

type TextField = fn(&MessageRecord) -> Option<String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
    ContainsNot,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Number(u64),
    /// So many microseconds before the moment of the check.
    Ago(u64),
}

/// The fields, but for `attr.NAME`.
const FIELDS: &[&str] = &[
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
];

/// The operators; those of two characters come first, since others begin as they do.
const OPERATORS: &[(&str, Operator)] = &[
    ("!=", Operator::NotEqual),
    ("!~", Operator::ContainsNot),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::More),
    ("~", Operator::Contains),
];

impl Filter {
    /// The filter of these conditions.
    ///
    /// # Errors
    /// The first condition that cannot be understood, and what would be right.
    pub fn of<S: AsRef<str>>(conditions: impl IntoIterator<Item = S>) -> Result<Self, FilterError> {
        conditions.into_iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// The text that a field must equal; `None` without such a condition.
    pub fn wanted(&self, field: &str) -> Option<&str> {
        self.0.iter().find_map(|condition| match &condition.value {
            Value::Text(wanted) if condition.operator == Operator::Equal && condition.name() == field => {
                Some(wanted.as_str())
            }
            _ => None,
        })
    }

    /// The earliest moment of the records that it takes now, in microseconds since 1970; 0: it takes them from any.
    pub fn since_us(&self, now_us: u64) -> u64 {
        let is_since = |condition: &&Condition| matches!(condition.operator, Operator::More | Operator::AtLeast);
        let moments = self.0.iter().filter(is_since).filter(|condition| matches!(condition.field, Field::At));
        let since = moments.map(|condition| match &condition.value {
            Value::Number(us) => *us,
            Value::Ago(ago) => now_us.saturating_sub(*ago),
            Value::Text(_) => 0,
        });
        since.max().unwrap_or(0)
    }

    /// Whether a text is meant as a condition.
    pub fn is_condition(text: &str) -> bool {
        text.contains(['=', '<', '>', '~'])
    }

    /// Whether it takes a record now, in microseconds since 1970.
    pub fn takes_at(&self, record: &MessageRecord, now_us: u64) -> bool {
        self.0.iter().all(|condition| condition.holds(record, now_us))
    }

    /// As [`Filter::takes_at`], where how long ago something was does not matter.
    pub fn takes(&self, record: &MessageRecord) -> bool {
        self.takes_at(record, record.ended_us())
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Condition {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = text.char_indices().find_map(|(at, _)| {
            let &(sign, operator) = OPERATORS.iter().find(|(sign, _)| text[at..].starts_with(sign))?;
            Some((&text[..at], operator, &text[at + sign.len()..]))
        });
        let (name, operator, value) = found.ok_or_else(|| FilterError::NoOperator(text.into()))?;
        let field = Field::of(name.trim())?;
        let value = field.value(value.trim(), operator)?;
        Ok(Self { text: text.into(), field, operator, value })
    }
}

impl Condition {
    /// The field, as it was written.
    fn name(&self) -> &str {
        self.text.split(['=', '!', '<', '>', '~']).next().unwrap_or_default().trim()
    }

    fn holds(&self, record: &MessageRecord, now_us: u64) -> bool {
        let (text, number) = match &self.field {
            Field::Text(of) => (of(record), None),
            Field::Attribute(name) => {
                (record.attributes.as_ref().and_then(|attributes| attributes.get(name).cloned()), None)
            }
            Field::Duration(of) | Field::Number(of) => (None, Some(of(record))),
            Field::At => (None, Some(record.at_us)),
        };
        match (&self.value, number) {
            (Value::Number(wanted), Some(number)) => self.operator.holds(Some(number.cmp(wanted)), None),
            (Value::Ago(ago), Some(number)) => {
                self.operator.holds(Some(number.cmp(&now_us.saturating_sub(*ago))), None)
            }
            (Value::Text(wanted), Some(number)) => {
                let text = number.to_string();
                self.operator.holds(Some(text.as_str().cmp(wanted)), Some(contains(&text, wanted)))
            }
            // What a record does not say equals the empty text.
            (Value::Text(wanted), None) => {
                let text = text.unwrap_or_default();
                self.operator.holds(Some(text.as_str().cmp(wanted)), Some(contains(&text, wanted)))
            }
            (_, None) => false,
        }
    }
}

fn contains(text: &str, wanted: &str) -> bool {
    text.to_lowercase().contains(&wanted.to_lowercase())
}

impl Operator {
    fn holds(self, order: Option<Ordering>, contains: Option<bool>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::More => order == Some(Ordering::Greater),
            Self::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Self::Contains => contains == Some(true),
            Self::ContainsNot => contains == Some(false),
        }
    }

    fn is_about_text(self) -> bool {
        matches!(self, Self::Contains | Self::ContainsNot)
    }
}

impl Field {
    fn of(name: &str) -> Result<Self, FilterError> {
        let text = |of: TextField| Ok(Self::Text(of));
        match name {
            "trace" => text(|r| Some(r.trace_id.to_string())),
            "span" => text(|r| id(r.span_id)),
            "parent" => text(|r| id(r.parent_id)),
            "id" => text(|r| own(&r.message_id)),
            "name" => text(|r| Some(r.name.to_string())),
            "kind" => text(|r| Some(r.kind.as_str().into())),
            "half" => text(|r| Some(r.half.as_str().into())),
            "node" => text(|r| Some(r.node.to_string())),
            "capability" => text(|r| Some(r.capability.to_string())),
            "sender" => text(|r| own(&r.sender)),
            "peer" => text(|r| own(&r.peer)),
            "key" => text(|r| own(&r.key)),
            "outcome" => text(|r| Some(r.outcome.as_str().into())),
            "error" => text(|r| own(&r.error)),
            "at" => Ok(Self::At),
            "waited" => Ok(Self::Duration(|r| r.waited_us)),
            "ran" => Ok(Self::Duration(|r| r.ran_us)),
            "database" => Ok(Self::Duration(|r| r.database_us)),
            "took" => Ok(Self::Duration(|r| r.waited_us + r.ran_us)),
            "attempt" => Ok(Self::Number(|r| r.attempt.into())),
            "bytes" => Ok(Self::Number(|r| r.bytes.into())),
            "instance" => text(|r| r.instance.map(|instance| instance.to_string())),
            other => match other.strip_prefix("attr.") {
                Some(attribute) if !attribute.is_empty() => Ok(Self::Attribute(attribute.into())),
                _ => Err(FilterError::NoField(other.into())),
            },
        }
    }

    fn value(&self, text: &str, operator: Operator) -> Result<Value, FilterError> {
        if operator.is_about_text() {
            return Ok(Value::Text(text.into()));
        }
        match self {
            Self::Text(_) | Self::Attribute(_) => Ok(Value::Text(text.into())),
            Self::Number(_) => text.parse().map(Value::Number).map_err(|_| FilterError::NoNumber(text.into())),
            Self::Duration(_) => {
                duration_us(text).map(Value::Number).ok_or_else(|| FilterError::NoDuration(text.into()))
            }
            Self::At => match text.parse::<u64>() {
                Ok(ms) => Ok(Value::Number(ms.saturating_mul(1_000))),
                Err(_) => duration_us(text).map(Value::Ago).ok_or_else(|| FilterError::NoMoment(text.into())),
            },
        }
    }
}

fn id(id: u64) -> Option<String> {
    (id != 0).then(|| format!("{id:016x}"))
}

fn own(text: &Option<Text>) -> Option<String> {
    text.as_ref().map(ToString::to_string)
}

/// Microseconds of a text such as `1.5s`.
fn duration_us(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    let unit = match &text[end..] {
        "us" | "µs" => 1.0,
        "ms" => 1_000.0,
        "s" => 1_000_000.0,
        "m" => 60_000_000.0,
        "h" => 3_600_000_000.0,
        _ => return None,
    };
    Some((number * unit) as u64)
}

impl TryFrom<Vec<String>> for Filter {
    type Error = FilterError;

    fn try_from(conditions: Vec<String>) -> Result<Self, Self::Error> {
        Self::of(conditions)
    }
}

impl From<Filter> for Vec<String> {
    fn from(filter: Filter) -> Self {
        filter.0.into_iter().map(|condition| condition.text).collect()
    }
}

#[cfg(test)]
mod tests;
