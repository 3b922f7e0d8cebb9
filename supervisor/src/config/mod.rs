//! Configuration: layers, typed settings, and errors that name file and key.

mod settings;
pub use settings::*;

use serde::de::DeserializeOwned;

/// What a node is told: the runtime's settings and each capability's own section.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The runtime's sections.
    pub settings: Settings,
    /// The sections that bear a capability's name.
    pub(crate) sections: toml::Table,
}

/// What is wrong with the configuration; one line that names file and key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// An error with this explanation.
    pub fn new(explanation: impl Into<String>) -> Self {
        Self(explanation.into())
    }
}

impl Config {
    /// The typed settings of one capability.
    pub(crate) fn section<T: DeserializeOwned + Default>(&self, capability: &str) -> Result<T, ConfigError> {
        match self.sections.get(capability) {
            None => Ok(T::default()),
            Some(section) => section.clone().try_into().map_err(|e: toml::de::Error| ConfigError(e.to_string())),
        }
    }
}
