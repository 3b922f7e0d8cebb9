//! Mistakes in the configuration.

use super::tree::ValueSource;

/// A mistake in the configuration. It displays in one line that names file and key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{mistake}", .origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: ")))]
pub struct ConfigError {
    /// Where it was made, if that is known.
    pub(crate) origin: Option<ValueSource>,
    /// What is wrong.
    pub mistake: Mistake,
}

/// What is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The file of the configuration cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The file is not TOML.
    #[error("this is not TOML: {0}")]
    NotToml(String),
    /// An argument of `--set` has no `=`.
    #[error("write it as section.key=value")]
    NoAssignment,
    /// The topology has no node of this name.
    #[error("no node is called `{name}`: {hint}")]
    NoSuchNode {
        /// The name.
        name: String,
        /// The nodes that there are, or the one that was probably meant.
        hint: String,
    },
    /// A node was named, and there is no topology.
    #[error("{file} describes no nodes: give a topology with `--config`, such as config/split.toml")]
    NoTopology {
        /// The file that should have one.
        file: String,
    },
    /// No section or key has this name.
    #[error("unknown {what} `{name}`: {hint}")]
    Unknown {
        /// `section` or `key`.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that there are, or the one that was probably meant.
        hint: String,
    },
    /// A value is outside the range or the type of its key.
    #[error("`{key}` must {must}")]
    Unfit {
        /// The key.
        key: String,
        /// The rest of the sentence: what it must be, and what it is.
        must: String,
    },
    /// A value is refused for another reason.
    #[error("`{key}`: {why}")]
    Refused {
        /// The key.
        key: String,
        /// The reason.
        why: String,
    },
    /// A value and the file that holds it are both given.
    #[error("`{key}` and `{file_key}` are both given: keep one")]
    GivenTwice {
        /// The key of the value.
        key: String,
        /// The key of the file.
        file_key: String,
    },
    /// A node hosts a capability twice.
    #[error("`{key}` names `{name}` twice")]
    NamedTwice {
        /// The key of the node's hosts.
        key: String,
        /// The capability.
        name: String,
    },
    /// A capability's own check refuses its settings, or the binary declares what cannot be.
    #[error("{0}")]
    Capability(String),
}

impl ConfigError {
    /// A mistake that the check of a capability has found, in words that name the key.
    pub fn new(explanation: impl Into<String>) -> Self {
        Mistake::Capability(explanation.into()).at(None)
    }
}

impl Mistake {
    pub(crate) fn at(self, origin: Option<&ValueSource>) -> ConfigError {
        ConfigError { origin: origin.cloned(), mistake: self }
    }
}
