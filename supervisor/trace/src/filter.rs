//! Conditions on fields, such as `capability=orders`, `outcome!=ok`, `ran>=100ms` or `error~no host`: every operator for every
//! field. What has fields says which (`fields`: those of message records).

mod fields;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::MessageRecord;

/// What conditions are about.
pub trait Filterable: Sized + 'static {
    /// What it is called where a condition is refused, in the plural.
    const CALLED: &'static str;
    /// The names of its fields.
    const FIELDS: &'static [&'static str];

    /// The field of this name.
    fn field(name: &str) -> Option<Field<Self>>;

    /// When it was, in microseconds since 1970.
    fn at_us(&self) -> u64;
}

/// A field of what conditions are about.
pub enum Field<R> {
    /// A text; none equals the empty one.
    Text(fn(&R) -> Option<String>),
    /// A text with a name of its own.
    Named(String, fn(&R, &str) -> Option<String>),
    /// A time, in microseconds.
    Duration(fn(&R) -> u64),
    Number(fn(&R) -> u64),
    /// One of some words, by its place in their order.
    Word(&'static [&'static str], fn(&R) -> usize),
    /// The moment.
    At,
}

/// Those of some things that fulfil all of some conditions. The default takes all.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>", bound = "")]
pub struct Conditions<R: Filterable>(Arc<[Condition<R>]>);

/// Message records that fulfil all of some conditions.
pub type Filter = Conditions<MessageRecord>;

/// A condition cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "`{0}` is no condition: write FIELD OPERATOR VALUE, such as node=front; the operators are =, !=, <, <=, >, >=, ~ and !~"
    )]
    NoOperator(String),
    #[error("{called} have no field `{name}`: there are {}", fields.join(", "))]
    NoField { name: String, called: &'static str, fields: &'static [&'static str] },
    #[error("`{0}` is no duration: write a number with us, ms, s, m or h")]
    NoDuration(String),
    #[error("`{0}` is no number")]
    NoNumber(String),
    #[error("`{word}` is none of {}", words.join(", "))]
    NoWord { word: String, words: &'static [&'static str] },
    #[error("`{0}` is no moment: write how long ago, such as 5m, or milliseconds since 1970")]
    NoMoment(String),
}

/// One condition, as it was written, and as it is checked.
struct Condition<R> {
    text: String,
    field: Field<R>,
    operator: Operator,
    value: Value,
}

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

impl<R: Filterable> Conditions<R> {
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
        let is_since = |condition: &&Condition<R>| matches!(condition.operator, Operator::More | Operator::AtLeast);
        let moments = self.0.iter().filter(is_since).filter(|condition| matches!(condition.field, Field::At));
        let since = moments.map(|condition| match &condition.value {
            Value::Number(us) => *us,
            Value::Ago(ago) => now_us.saturating_sub(*ago),
            Value::Text(_) => 0,
        });
        since.max().unwrap_or(0)
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|condition| &condition.text)
    }
}

impl Filter {
    /// Whether a text is meant as a condition.
    pub fn is_condition(text: &str) -> bool {
        text.contains(['=', '<', '>', '~'])
    }

    /// As [`Conditions::takes_at`], where how long ago something was does not matter.
    pub fn takes(&self, record: &MessageRecord) -> bool {
        self.takes_at(record, record.ended_us())
    }
}

impl<R: Filterable> Conditions<R> {
    /// Whether it takes this now, in microseconds since 1970.
    pub fn takes_at(&self, record: &R, now_us: u64) -> bool {
        self.0.iter().all(|condition| condition.holds(record, now_us))
    }
}

impl<R: Filterable> Clone for Conditions<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Filterable> Default for Conditions<R> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<R: Filterable> fmt::Debug for Conditions<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

impl<R: Filterable> PartialEq for Conditions<R> {
    fn eq(&self, other: &Self) -> bool {
        self.texts().eq(other.texts())
    }
}

impl<R: Filterable> FromStr for Condition<R> {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = text.char_indices().find_map(|(at, _)| {
            let &(sign, operator) = OPERATORS.iter().find(|(sign, _)| text[at..].starts_with(sign))?;
            Some((&text[..at], operator, &text[at + sign.len()..]))
        });
        let (name, operator, value) = found.ok_or_else(|| FilterError::NoOperator(text.into()))?;
        let no_field = |name: &str| FilterError::NoField { name: name.into(), called: R::CALLED, fields: R::FIELDS };
        let field = R::field(name.trim()).ok_or_else(|| no_field(name.trim()))?;
        let value = field.value(value.trim(), operator)?;
        Ok(Self { text: text.into(), field, operator, value })
    }
}

impl<R: Filterable> Condition<R> {
    /// The field, as it was written.
    fn name(&self) -> &str {
        self.text.split(['=', '!', '<', '>', '~']).next().unwrap_or_default().trim()
    }

    fn holds(&self, record: &R, now_us: u64) -> bool {
        let (text, number) = match &self.field {
            Field::Text(of) => (of(record), None),
            Field::Named(name, of) => (of(record, name), None),
            Field::Duration(of) | Field::Number(of) => (None, Some(of(record))),
            Field::Word(words, of) => (words.get(of(record)).map(ToString::to_string), Some(of(record) as u64)),
            Field::At => (None, Some(record.at_us())),
        };
        match (&self.value, number) {
            (Value::Number(wanted), Some(number)) => self.operator.holds(Some(number.cmp(wanted)), None),
            (Value::Ago(ago), Some(number)) => {
                self.operator.holds(Some(number.cmp(&now_us.saturating_sub(*ago))), None)
            }
            (Value::Text(wanted), Some(number)) => {
                let text = text.unwrap_or_else(|| number.to_string());
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

impl<R> Field<R> {
    fn value(&self, text: &str, operator: Operator) -> Result<Value, FilterError> {
        if operator.is_about_text() {
            return Ok(Value::Text(text.into()));
        }
        match self {
            Self::Text(_) | Self::Named(..) => Ok(Value::Text(text.into())),
            Self::Word(words, _) => words
                .iter()
                .position(|word| word.eq_ignore_ascii_case(text))
                .map(|place| Value::Number(place as u64))
                .ok_or_else(|| FilterError::NoWord { word: text.into(), words }),
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

impl<R: Filterable> TryFrom<Vec<String>> for Conditions<R> {
    type Error = FilterError;

    fn try_from(conditions: Vec<String>) -> Result<Self, Self::Error> {
        Self::of(conditions)
    }
}

impl<R: Filterable> From<Conditions<R>> for Vec<String> {
    fn from(filter: Conditions<R>) -> Self {
        filter.texts().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
