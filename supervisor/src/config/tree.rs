//! Configuration values that remember who set them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The defaults that are part of the binary.
    BuiltIn,
    /// A file, an environment variable or an argument; in words.
    Given(Arc<str>),
}

impl Source {
    pub fn given(words: impl Into<Arc<str>>) -> Self {
        Self::Given(words.into())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in defaults"),
            Self::Given(words) => f.write_str(words),
        }
    }
}

/// A table of values or one value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Table(BTreeMap<String, Tree>),
    Leaf(Leaf),
}

/// One value and who set it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    pub value: Value,
    pub source: Source,
}

/// A value whose type is known, or text that takes the type that its reader wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
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
    pub fn of_toml(value: toml::Value, source: &Source) -> Self {
        match value {
            toml::Value::Table(table) => {
                Self::Table(table.into_iter().map(|(key, value)| (key, Self::of_toml(value, source))).collect())
            }
            value => Self::Leaf(Leaf { value: Value::Typed(value), source: source.clone() }),
        }
    }

    pub fn text(text: impl Into<String>, source: Source) -> Self {
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

    /// Puts a tree at a path; what is there already is kept where it does not collide.
    pub fn put(&mut self, path: &[&str], tree: Tree) {
        let Some((first, rest)) = path.split_first() else { return self.merge(tree) };
        if let Self::Leaf(_) = self {
            *self = Self::default();
        }
        if let Self::Table(table) = self {
            table.entry(first.to_string()).or_default().put(rest, tree);
        }
    }

    /// Lays another tree over this one.
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

    /// Who set this value, or any value of this table that is not built in.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Leaf(leaf) => Some(&leaf.source),
            Self::Table(table) => {
                let mut sources = table.values().filter_map(Tree::source);
                let first = sources.next()?;
                match first {
                    Source::BuiltIn => sources.find(|s| **s != Source::BuiltIn).or(Some(first)),
                    Source::Given(_) => Some(first),
                }
            }
        }
    }

    /// Whether all of it comes from the built-in defaults.
    pub fn is_built_in(&self) -> bool {
        self.source().is_none_or(|s| *s == Source::BuiltIn)
    }
}
