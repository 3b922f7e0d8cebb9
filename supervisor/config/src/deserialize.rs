//! Deserializes configuration values into typed settings; an error names the key and the source of the value.

use std::collections::btree_map;
use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

use super::tree::{Leaf, Tree, Value, ValueSource};
use super::{ConfigError, Mistake};

/// Reads a type from the tree at `path`.
pub fn read<T: de::DeserializeOwned>(tree: &Tree, path: &str) -> Result<T, ConfigError> {
    T::deserialize(TreeDeserializer { tree, path: path.into() }).map_err(|misfit| misfit.at(path, tree).into())
}

/// The name among `known` that was probably meant.
pub fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|k| (strsim::normalized_damerau_levenshtein(name, k), k));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.6).then_some(best.1)
}

/// A value that does not fit the type of its key.
#[derive(Debug)]
struct Misfit {
    kind: MisfitKind,
    /// The key and the source of its value, which a caller up the stack adds.
    place: Option<(String, Option<ValueSource>)>,
}

#[derive(Debug)]
enum MisfitKind {
    UnknownKey { key: String, known: &'static [&'static str] },
    WrongType { found: String, wanted: String },
    NotOneOf { found: String, known: &'static [&'static str] },
    Other(String),
}

impl Misfit {
    /// Adds key and source; the first ones count, since they are the innermost.
    fn at(mut self, path: &str, tree: &Tree) -> Self {
        self.place.get_or_insert_with(|| (path.into(), tree.source().cloned()));
        self
    }
}

impl From<MisfitKind> for Misfit {
    fn from(kind: MisfitKind) -> Self {
        Self { kind, place: None }
    }
}

impl From<Misfit> for ConfigError {
    fn from(misfit: Misfit) -> Self {
        let (path, origin) = misfit.place.unwrap_or_default();
        let mistake = match misfit.kind {
            MisfitKind::UnknownKey { key, known } => {
                let section = path.rsplit_once('.').map_or("", |(section, _)| section);
                let hint = match similar(&key, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{section}.{meant}`?"),
                    None if known.is_empty() => format!("`{section}` has no settings"),
                    None => format!("`{section}` has {}", known.join(", ")),
                };
                Mistake::Unknown { what: "key", name: path, hint }
            }
            MisfitKind::WrongType { found, wanted } => {
                Mistake::Unfit { key: path, must: format!("be {wanted}, not {found}") }
            }
            MisfitKind::NotOneOf { found, known } => {
                Mistake::Unfit { key: path, must: format!("be one of {}, not `{found}`", known.join(", ")) }
            }
            MisfitKind::Other(text) => Mistake::Refused { key: path, why: one_line(&text) },
        };
        Self { origin, mistake }
    }
}

/// A message of a library, which may span lines, as one line.
pub fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

impl Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: Display>(text: T) -> Self {
        MisfitKind::Other(text.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        MisfitKind::WrongType { found: found_in_words(found), wanted: wanted_in_words(wanted) }.into()
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        MisfitKind::UnknownKey { key: key.into(), known }.into()
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        MisfitKind::NotOneOf { found: found.into(), known }.into()
    }
}

fn found_in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the text \"{text}\""),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Float(n) => n.to_string(),
        Unexpected::Bool(b) => b.to_string(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        other => other.to_string(),
    }
}

fn wanted_in_words(wanted: &dyn Expected) -> String {
    match wanted.to_string().as_str() {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "path string" => "text".into(),
        "a sequence" => "a list".into(),
        text if text == "a map" || text.starts_with("struct ") => "a table".into(),
        text => text.into(),
    }
}

/// Deserializes the part of the tree at `path`.
struct TreeDeserializer<'t> {
    tree: &'t Tree,
    path: String,
}

impl TreeDeserializer<'_> {
    /// The text, if the value is one whose type its key decides.
    fn as_text(&self) -> Option<&str> {
        match self.tree {
            Tree::Leaf(Leaf { value: Value::Text(text), .. }) => Some(text),
            _ => None,
        }
    }

    /// The text as a value of TOML if it is one, else as a string.
    fn guessed(&self, text: &str, source: &ValueSource) -> Tree {
        let value = parse_value(text).unwrap_or_else(|| toml::Value::String(text.into()));
        Tree::of_toml(value, source)
    }
}

fn parse_value(text: &str) -> Option<toml::Value> {
    let mut table = format!("value = {text}").parse::<toml::Table>().ok()?;
    // Text with line breaks could hold more than the one value.
    if table.len() == 1 { table.remove("value") } else { None }
}

/// A string may be written with or without TOML's quotes.
fn unquoted(text: &str) -> String {
    match text.starts_with(['"', '\'']).then(|| parse_value(text)).flatten() {
        Some(toml::Value::String(inner)) => inner,
        _ => text.into(),
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let Some(text) = self.as_text() else { return self.deserialize_any(visitor) };
            let digits = text.trim().replace('_', "");
            let read = match (digits.parse::<i64>(), digits.parse::<u64>()) {
                (Ok(n), _) => visitor.visit_i64(n),
                (_, Ok(n)) => visitor.visit_u64(n),
                _ => visitor.visit_str(text),
            };
            read.map_err(|misfit: Misfit| misfit.at(&self.path, self.tree))
        }
    )*};
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let Some(text) = self.as_text() else { return self.deserialize_any(visitor) };
            let read = match text.trim().parse::<f64>() {
                Ok(n) => visitor.visit_f64(n),
                Err(_) => visitor.visit_str(text),
            };
            read.map_err(|misfit: Misfit| misfit.at(&self.path, self.tree))
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let Some(text) = self.as_text() else { return self.deserialize_any(visitor) };
            visitor.visit_string(unquoted(text)).map_err(|misfit: Misfit| misfit.at(&self.path, self.tree))
        }
    )*};
}

impl<'de> Deserializer<'de> for TreeDeserializer<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Self { tree, path } = &self;
        let read = match tree {
            Tree::Table(table) => visitor.visit_map(TableAccess { rest: table.iter(), value: None, path }),
            Tree::Leaf(Leaf { value: Value::Text(text), source }) => {
                let tree = self.guessed(text, source);
                TreeDeserializer { tree: &tree, path: path.clone() }.deserialize_any(visitor)
            }
            Tree::Leaf(Leaf { value: Value::Typed(value), source }) => match value {
                toml::Value::String(text) => visitor.visit_str(text),
                toml::Value::Integer(n) => visitor.visit_i64(*n),
                toml::Value::Float(n) => visitor.visit_f64(*n),
                toml::Value::Boolean(b) => visitor.visit_bool(*b),
                toml::Value::Datetime(t) => visitor.visit_string(t.to_string()),
                toml::Value::Array(items) => {
                    visitor.visit_seq(ListAccess { items: items.iter(), index: 0, source, path })
                }
                // Tables are never leaves.
                toml::Value::Table(_) => visitor.visit_unit(),
            },
        };
        read.map_err(|misfit: Misfit| misfit.at(path, tree))
    }

    whole_numbers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64);
    whole_numbers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);
    numbers!(deserialize_f32 deserialize_f64);
    texts!(deserialize_str deserialize_string deserialize_char deserialize_bytes deserialize_byte_buf);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Tree::Leaf(Leaf { value: Value::Text(text), source }) = self.tree else {
            return self.deserialize_any(visitor);
        };
        // A list may be written as TOML's or with commas alone.
        let items: Vec<toml::Value> = match parse_value(text) {
            Some(toml::Value::Array(items)) => items,
            _ => text.split(',').map(str::trim).filter(|i| !i.is_empty()).map(|i| i.to_string().into()).collect(),
        };
        visitor.visit_seq(ListAccess { items: items.iter(), index: 0, source, path: &self.path })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let text = match self.tree {
            Tree::Leaf(Leaf { value: Value::Text(text), .. }) => text,
            Tree::Leaf(Leaf { value: Value::Typed(toml::Value::String(text)), .. }) => text,
            _ => return self.deserialize_any(visitor),
        };
        let name: StrDeserializer<'_, Misfit> = text.as_str().into_deserializer();
        visitor.visit_enum(name).map_err(|misfit| misfit.at(&self.path, self.tree))
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

/// The entries of a table that is being deserialized.
struct TableAccess<'t> {
    rest: btree_map::Iter<'t, String, Tree>,
    value: Option<(&'t String, &'t Tree)>,
    path: &'t str,
}

impl TableAccess<'_> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }
}

impl<'de> de::MapAccess<'de> for TableAccess<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, tree)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, tree));
        let name: StrDeserializer<'_, Misfit> = key.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|misfit| misfit.at(&self.path_of(key), tree))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some((key, tree)) = self.value.take() else { return Err(de::Error::custom("a value without a key")) };
        let path = self.path_of(key);
        seed.deserialize(TreeDeserializer { tree, path: path.clone() }).map_err(|misfit| misfit.at(&path, tree))
    }
}

/// The items of a list that is being deserialized.
struct ListAccess<'t> {
    items: std::slice::Iter<'t, toml::Value>,
    index: usize,
    source: &'t ValueSource,
    path: &'t str,
}

impl<'de> de::SeqAccess<'de> for ListAccess<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let tree = Tree::of_toml(item.clone(), self.source);
        let path = format!("{}[{}]", self.path, self.index);
        self.index += 1;
        seed.deserialize(TreeDeserializer { tree: &tree, path: path.clone() })
            .map(Some)
            .map_err(|misfit| misfit.at(&path, &tree))
    }
}
