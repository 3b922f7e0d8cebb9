//! What a node remembers of its cluster between its lives: a file in its data directory.
//!
//! A node that keeps nothing has no directory, and remembers nothing.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use essaim_config::Settings;

/// How often it is written down that the cluster is still there.
const EVERY: Duration = Duration::from_secs(30);

const HEADING: &str = "# The cluster that this node belongs to, and when it was last seen. Without this file the node joins \
                       the cluster that bridge.url leads to.\n";

/// The file of one node; `None` remembers nothing.
pub(crate) struct Memory {
    path: Option<PathBuf>,
    written: Mutex<Option<Instant>>,
}

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub identity: String,
    /// In microseconds since 1970, by the clock of the bridge's server.
    pub seen_us: u64,
}

impl Memory {
    /// The memory of the node of these settings.
    pub fn of(settings: &Settings) -> Self {
        let name = format!("{}.cluster", settings.node.name);
        Self { path: Some(settings.node.data_dir.join(name)), written: Mutex::default() }
    }

    /// The memory of a node that keeps nothing.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { path: None, written: Mutex::default() }
    }

    pub fn read(&self) -> Option<Remembered> {
        let text = std::fs::read_to_string(self.path.as_ref()?).ok()?;
        let (identity, seen) = text.lines().find(|line| !line.starts_with('#'))?.split_once(' ')?;
        Some(Remembered { identity: identity.into(), seen_us: seen.trim().parse().ok()? })
    }

    /// Writes it down, unless that was done a moment ago.
    pub fn keep(&self, identity: &str, seen_us: u64, now: Instant) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_none_or(|at| now.saturating_duration_since(at) >= EVERY) {
            *written = self.write(identity, seen_us).then_some(now).or(*written);
        }
    }

    /// Writes it down; whether that was possible.
    pub fn write(&self, identity: &str, seen_us: u64) -> bool {
        let Some(path) = &self.path else { return false };
        let unfinished = path.with_extension("cluster.new");
        let written = std::fs::write(&unfinished, format!("{HEADING}{identity} {seen_us}\n"))
            .and_then(|()| std::fs::rename(&unfinished, path));
        if let Err(error) = &written {
            tracing::debug!(path = %path.display(), %error, "the node does not remember its cluster");
        }
        written.is_ok()
    }

    pub fn forget(&self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Why this node does not join the cluster `there`.
    pub fn refusal(&self, own: &str, there: &str, url: &str) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        format!(
            "this node belongs to the cluster {own}, and the database at {url} is that of the cluster {there}, which was \
             there before: two clusters are not merged; correct bridge.url or bridge.namespace, or delete {path} if the \
             node is to belong to that one from now on"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use essaim_store::testing::Directory;

    #[test]
    fn a_cluster_is_remembered_from_one_life_to_the_next_until_it_is_forgotten() {
        let directory = Directory::new();
        let mut settings = Settings::default();
        settings.node.data_dir = directory.path().into();
        let memory = Memory::of(&settings);
        assert_eq!(memory.read(), None);
        assert!(memory.write("7-ab", 9));
        let again = Memory::of(&settings);
        assert_eq!(again.read(), Some(Remembered { identity: "7-ab".into(), seen_us: 9 }));
        again.forget();
        assert_eq!(memory.read(), None);
        settings.node.data_dir = directory.path().join("missing");
        assert!(!Memory::of(&settings).write("7-ab", 9), "a node that keeps nothing remembers nothing");
    }
}
