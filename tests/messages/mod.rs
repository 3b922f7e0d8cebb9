//! The messages that capabilities take, as operators see them.

mod listed;

use serde_json::Value;

use crate::support::*;

/// What `essaim` says, given these arguments, of the cluster that this node belongs to.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

/// Runs a command of operators at a node's admin listener.
pub fn operator(node: &ClusterNode, arguments: &[&str]) -> Said {
    let address = node.admin().base().to_string();
    let output = essaim().args(arguments).args(["--url", &address]).output().expect("essaim runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) }
}

impl Said {
    /// The JSON that it says.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.error))
    }
}
