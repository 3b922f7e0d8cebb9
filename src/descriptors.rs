//! How many connections and files this process may have open.

use essaim::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a node has open beside its HTTP connections: databases, Redis, files, its own listeners.
const BESIDE: u64 = 512;
/// As much as macOS lets a process have open, also where it calls the maximum unlimited (`OPEN_MAX`).
const MOST_OF_MACOS: u64 = 10_240;

/// Raises this process's limit as far as it may (what a shell gives is often 1024, and 256 on macOS), and says so where it is too
/// low for the connections that the gateway would take.
pub fn raise(config: &Config, hosts: &[String]) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let highest = if cfg!(target_os = "macos") { highest_of_macos(current, maximum) } else { maximum };
    let raised = setrlimit(Resource::Nofile, Rlimit { current: highest, maximum });
    let limit = if raised.is_ok() { highest } else { current };
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

/// The highest limit that macOS takes: one beyond its bound, or none at all, is an error there. `None` is unlimited.
fn highest_of_macos(current: Option<u64>, maximum: Option<u64>) -> Option<u64> {
    let highest = maximum.map_or(MOST_OF_MACOS, |maximum| maximum.min(MOST_OF_MACOS));
    // Who has more already keeps it.
    current.map(|current| current.max(highest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macos_is_asked_for_no_more_than_it_gives_and_nothing_is_given_back() {
        assert_eq!(highest_of_macos(Some(256), None), Some(10_240));
        assert_eq!(highest_of_macos(Some(256), Some(4_096)), Some(4_096));
        assert_eq!(highest_of_macos(Some(20_000), None), Some(20_000));
        assert_eq!(highest_of_macos(None, None), None);
    }
}
