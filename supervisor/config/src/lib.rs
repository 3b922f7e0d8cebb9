//! Configuration: layers, typed settings, and errors that name file and key.
//!
//! # Layout
//!
//! - [`Settings`] and its sections: the runtime's own settings, with their defaults.
//! - [`Layers`]: how defaults, file, environment and arguments become one [`Config`], for the [`Capabilities`] of a binary.
//! - [`ConfigError`]: a [`Mistake`], and where it was made.
//! - `tree.rs`: values that remember their source; `deserialize.rs`: values into types; `validate.rs`: ranges;
//!   `url.rs`: URLs of servers; `shown.rs`: values as operators are shown them. `schema.rs`: the form of it all, for editors.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

mod layers;
pub use deserialize::similar;
pub use layers::{Capabilities, Layers, no_such_capability, runtime_sections};

mod settings;
pub use settings::*;

mod error;
pub use error::{ConfigError, Mistake};

mod deserialize;

mod schema;
pub use schema::json_schema;

mod shown;
pub use shown::ShownValue;

mod tree;
mod validate;

mod url;
pub use url::without_password;

#[cfg(test)]
mod tests;

/// The configuration of a node: the runtime's settings and each capability's own section.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The runtime's sections.
    pub settings: Settings,
    /// The sections that bear a capability's name.
    sections: BTreeMap<String, tree::Tree>,
    /// All values as operators are shown them.
    pub values: Vec<ShownValue>,
}

impl Config {
    /// The typed settings of one capability, from the section that bears its name.
    ///
    /// # Errors
    /// If a value does not fit, or a key is unknown.
    pub fn section<T: DeserializeOwned + Default>(&self, capability: &str) -> Result<T, ConfigError> {
        match self.sections.get(capability) {
            None => Ok(T::default()),
            Some(section) => deserialize::read(section, capability),
        }
    }

    /// One value of a capability's section; the rest of the section need not fit any type.
    pub fn value<T: DeserializeOwned>(&self, capability: &str, key: &str) -> Option<T> {
        deserialize::read(self.sections.get(capability)?.get([key])?, key).ok()
    }

    /// Replaces the section of one capability.
    pub fn set_section(&mut self, capability: &str, section: toml::Value) {
        let source = tree::ValueSource::given("the settings given in code");
        self.sections.insert(capability.into(), tree::Tree::of_toml(section, &source));
    }
}
