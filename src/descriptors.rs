//! How many connections and files this process may have open.

use essaim::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a node has open beside its HTTP connections: databases, Redis, files, its own listeners.
const BESIDE: u64 = 512;

/// Raises this process's limit as far as it may (what a shell gives is often 1024), and says so where it is too low for the
/// connections that the gateway would take.
pub fn raise(config: &Config, hosts: &[String]) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let takes = hosts.iter().any(|host| host == "gateway");
    let connections: u64 = takes.then(|| config.value("gateway", "max_connections")).flatten().unwrap_or(0);
    let needed = connections + BESIDE;
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "gateway.max_connections is more than this process may have open: raise `ulimit -n` or LimitNOFILE, or lower it"
        );
    }
}
