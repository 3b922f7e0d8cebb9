//! Principal and metadata: they travel with every message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// On whose behalf a message is sent. The edge verifies it once; inside it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The identity, such as a user's id.
    pub subject: String,
    /// What the subject may do, such as `admin`.
    #[serde(default)]
    pub roles: Vec<String>,
}

impl Principal {
    /// A principal with these roles.
    pub fn new(subject: impl Into<String>, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { subject: subject.into(), roles: roles.into_iter().map(Into::into).collect() }
    }

    /// Whether the subject has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role)
    }
}

/// Small values that travel with a message and all that it causes, such as a request id.
pub type Metadata = BTreeMap<String, String>;
