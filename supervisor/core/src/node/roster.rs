//! The capabilities compiled into a binary.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use essaim_config::{Capabilities, Config, ConfigError, Settings, no_such_capability, runtime_sections};
use essaim_contract::Capability;

use crate::api::actor::Actor;
use crate::node::context::ProvidedValues;
use crate::node::hosting::{CapabilitySpec, SpecOf};

/// The capabilities compiled into a binary, and what they are provided with. Which node runs which of them is
/// configuration.
#[derive(Default)]
pub struct Roster {
    specs: Vec<Arc<dyn CapabilitySpec>>,
    provided: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Roster {
    /// An empty roster.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a capability by its actor.
    pub fn host<A: Actor>(mut self) -> Self {
        self.specs.push(Arc::new(SpecOf::<A>::of_actor()));
        self
    }

    /// Provides a value to whichever capability looks for its type in [`Start::provided`](crate::Start::provided).
    pub fn provide<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.provided.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// The names of all capabilities.
    pub fn capabilities(&self) -> impl Iterator<Item = &'static str> {
        self.specs.iter().map(|p| p.name())
    }

    /// Which capability asks which.
    pub fn ask_graph(&self) -> BTreeMap<&'static str, &'static [&'static str]> {
        self.specs.iter().map(|p| (p.name(), p.asks())).collect()
    }

    /// The tables that a capability owns; `None` if it keeps nothing, or there is no such capability.
    pub fn schema(&self, capability: &str) -> Option<essaim_store::Schema> {
        self.spec(capability)?.schema()
    }

    /// The defaults of the runtime's settings and of every capability's, as the configuration writes them.
    ///
    /// # Errors
    /// If settings are nothing that TOML can write.
    pub fn defaults(&self) -> Result<toml::Table, ConfigError> {
        let unwritable = |e: toml::ser::Error| ConfigError::new(e.to_string());
        let mut all = toml::Table::try_from(Settings::default()).map_err(unwritable)?;
        for spec in &self.specs {
            all.insert(spec.name().into(), spec.defaults().map_err(unwritable)?);
        }
        Ok(all)
    }

    /// That no capability has this name, and which was probably meant.
    pub fn no_such(&self, name: &str) -> String {
        no_such_capability(name, &self.names())
    }

    pub fn spec(&self, capability: &str) -> Option<&Arc<dyn CapabilitySpec>> {
        self.specs.iter().find(|p| p.name() == capability)
    }

    pub fn provided(&self) -> ProvidedValues {
        ProvidedValues(self.provided.clone())
    }
}

impl Capabilities for Roster {
    fn names(&self) -> Vec<&'static str> {
        self.capabilities().collect()
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let taken = runtime_sections();
        for spec in &self.specs {
            if taken.iter().any(|section| section == spec.name()) {
                let name = spec.name();
                return Err(ConfigError::new(format!("a capability cannot be called `{name}`: it is a section")));
            }
            spec.check(config)?;
        }
        Ok(())
    }
}

/// The name that a capability goes by.
pub fn name_of<A: Actor>() -> &'static str {
    <A::Capability as Capability>::NAME
}

/// Checks that a name is fit for wire names and the configuration.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let fit = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fit {
        Ok(())
    } else {
        Err(ConfigError::new(format!("a capability cannot be called `{name}`: use a-z, 0-9 and -")))
    }
}
