//! The messages that capabilities take, as operators see them.

mod listed;
mod refused;
mod sent;

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::*;

/// What `essaim` says, given these arguments, of the cluster that this node belongs to.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

/// What shows an admin listener that somebody may ask what is personal.
pub const TOKEN: &str = "sesame";

/// Three nodes over one Redis, whose operators have a token.
pub fn three_nodes(redis: &Redis) -> ClusterBuilder {
    Cluster::of("config/split.toml").over(redis).set("node.operator_token", TOKEN)
}

/// Runs a command of operators at a node's admin listener.
pub fn operator(node: &ClusterNode, arguments: &[&str]) -> Said {
    operator_who_types(node, arguments, "")
}

/// As [`operator`], with what stdin has.
pub fn operator_who_types(node: &ClusterNode, arguments: &[&str], typed: &str) -> Said {
    let address = node.admin().base().to_string();
    let mut command = essaim();
    command.args(arguments).args(["--url", &address]).env("ESSAIM__NODE__OPERATOR_TOKEN", TOKEN);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("essaim runs");
    running.stdin.take().expect("it has one").write_all(typed.as_bytes()).expect("it is read");
    let output = running.wait_with_output().expect("it ends");
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
