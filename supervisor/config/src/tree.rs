//! Configuration values that remember their source.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// The defaults that are part of the binary.
    BuiltIn,
    /// A file, an environment variable or an argument; in words.
    Given(Arc<str>),
    /// A file that holds the value alone, since that is a secret; in words.
    FileOfValue(Arc<str>),
}

impl ValueSource {
    pub fn given(words: impl Into<Arc<str>>) -> Self {
        Self::Given(words.into())
    }

    /// A file that holds the value alone, and where it is named.
    pub fn of_file(named: impl fmt::Display, file: &str) -> Self {
        Self::FileOfValue(format!("{named} (by way of {file})").into())
    }

    pub fn is_file_of_value(&self) -> bool {
        matches!(self, Self::FileOfValue(_))
    }
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in defaults"),
            Self::Given(words) | Self::FileOfValue(words) => f.write_str(words),
        }
    }
}

/// A table of values or one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Table(BTreeMap<String, Tree>),
    Leaf(Leaf),
}

/// One value and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub value: Value,
    pub source: ValueSource,
}

/// A value whose type is known, or text that takes the type of its key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// From TOML.
    Typed(toml::Value),
    /// From an environment variable, an argument or a file of a secret.
    Text(String),
}

impl Default for Tree {
    fn default() -> Self {
        Self::Table(BTreeMap::new())
    }
}

impl Tree {
    pub fn of_toml(value: toml::Value, source: &ValueSource) -> Self {
        match value {
            toml::Value::Table(table) => {
                Self::Table(table.into_iter().map(|(key, value)| (key, Self::of_toml(value, source))).collect())
            }
            value => Self::Leaf(Leaf { value: Value::Typed(value), source: source.clone() }),
        }
    }

    pub fn text(text: impl Into<String>, source: ValueSource) -> Self {
        Self::Leaf(Leaf { value: Value::Text(text.into()), source })
    }

    /// The table's entries; of a value none.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Tree)> {
        let table = match self {
            Self::Table(table) => Some(table),
            Self::Leaf(_) => None,
        };
        table.into_iter().flatten()
    }

    pub fn get<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Tree> {
        path.into_iter().try_fold(self, |at, key| match at {
            Self::Table(table) => table.get(key),
            Self::Leaf(_) => None,
        })
    }

    /// Puts a tree at a path, over the values that are there.
    pub fn put(&mut self, path: &[&str], tree: Tree) {
        let Some((first, rest)) = path.split_first() else { return self.merge(tree) };
        if let Self::Leaf(_) = self {
            *self = Self::default();
        }
        if let Self::Table(table) = self {
            table.entry(first.to_string()).or_default().put(rest, tree);
        }
    }

    /// Merges another tree into this one; its values win.
    pub fn merge(&mut self, over: Tree) {
        match (self, over) {
            (Self::Table(below), Self::Table(over)) => {
                for (key, tree) in over {
                    match below.get_mut(&key) {
                        Some(below) => below.merge(tree),
                        None => drop(below.insert(key, tree)),
                    }
                }
            }
            (below, over) => *below = over,
        }
    }

    /// The source of this value, or of the first value of this table that is not built in.
    pub fn source(&self) -> Option<&ValueSource> {
        match self {
            Self::Leaf(leaf) => Some(&leaf.source),
            Self::Table(table) => {
                let mut sources = table.values().filter_map(Tree::source);
                let first = sources.next()?;
                match first {
                    ValueSource::BuiltIn => sources.find(|s| **s != ValueSource::BuiltIn).or(Some(first)),
                    _ => Some(first),
                }
            }
        }
    }

    /// Whether all of it comes from the built-in defaults.
    pub fn is_built_in(&self) -> bool {
        self.source().is_none_or(|s| *s == ValueSource::BuiltIn)
    }
}
