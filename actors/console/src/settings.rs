//! The section `[console]`.

use std::net::SocketAddr;

use essaim::config::ConfigError;
use serde::{Deserialize, Serialize};

/// `[console]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleSettings {
    /// Where the console is served.
    pub listen: String,
    /// Who has to log in.
    pub login: LoginRule,
    /// How long a login lasts, in minutes.
    pub session_minutes: u32,
}

/// Who has to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginRule {
    /// Everybody, but on a machine of one's own: where a node without others listens at a loopback address.
    Auto,
    /// Everybody.
    Always,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8090".into(), login: LoginRule::Auto, session_minutes: 480 }
    }
}

impl ConsoleSettings {
    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.session_minutes == 0 {
            return Err(ConfigError::new("console.session_minutes must be at least 1"));
        }
        Ok(())
    }

    /// Whether nobody has to log in at this address of a node.
    pub(crate) fn is_open(&self, address: SocketAddr, has_others: bool) -> bool {
        self.login == LoginRule::Auto && address.ip().is_loopback() && !has_others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_logs_in_on_a_machine_of_their_own_and_everybody_elsewhere() {
        let auto = ConsoleSettings::default();
        let always = ConsoleSettings { login: LoginRule::Always, ..auto.clone() };
        let [own, open] = ["127.0.0.1:8090", "192.0.2.7:8090"].map(|address| address.parse().unwrap());
        assert!(auto.is_open(own, false));
        assert!(!auto.is_open(own, true) && !auto.is_open(open, false) && !always.is_open(own, false));
    }
}
