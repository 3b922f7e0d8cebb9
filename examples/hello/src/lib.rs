//! The capability `hello`: greets people and counts how often. It asks nobody.

use essaim::store::Schema;
use essaim::{Actor, Cx, Fault, Handle, Handles, Start, StartError, reject};
use essaim_hello_contract::{Greet, GreetError, Greeted, Hello};
use serde::{Deserialize, Serialize};

pub mod http;
mod store;
#[cfg(test)]
mod tests;

/// `[hello]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HelloSettings {
    /// What people are greeted with.
    pub greeting: String,
    /// The most characters of a name.
    pub max_name_chars: usize,
}

impl Default for HelloSettings {
    fn default() -> Self {
        Self { greeting: "Hello".into(), max_name_chars: 100 }
    }
}

/// Answers the contract of `hello`.
pub struct HelloActor {
    settings: HelloSettings,
}

impl Actor for HelloActor {
    type Capability = Hello;
    type Settings = HelloSettings;
    type Shared = HelloSettings;

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    async fn share(settings: HelloSettings, _: &mut Start) -> Result<HelloSettings, StartError> {
        Ok(settings)
    }

    async fn start(settings: &HelloSettings, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { settings: settings.clone() })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Greet>();
    }
}

impl Handle<Greet> for HelloActor {
    async fn handle(&mut self, m: Greet, cx: &mut Cx) -> Result<Greeted, Fault<GreetError>> {
        if m.name.is_empty() {
            return Err(reject(GreetError::NoName));
        }
        if m.name.chars().count() > self.settings.max_name_chars {
            return Err(reject(GreetError::TooLong(self.settings.max_name_chars)));
        }
        let tx = cx.begin().await?;
        let times = store::count(&tx, &m.name).await?;
        tx.commit().await?;
        Ok(Greeted { text: format!("{}, {}!", self.settings.greeting, m.name), times })
    }
}
