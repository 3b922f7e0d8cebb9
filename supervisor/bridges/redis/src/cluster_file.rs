//! The file in which a node stores the identity of its cluster, for its next start.
//!
//! A node without a data directory stores nothing.

use std::path::PathBuf;
use std::time::Duration;

use essaim_base::lock::Mutex;
use tokio::time::Instant;

use essaim_config::Settings;

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(30);

const HEADING: &str = "# The cluster that this node belongs to, and when it was last seen. Without this file the node joins \
                       the cluster that bridge.url leads to.\n";

/// The file of one node; `None` for a node without a data directory.
pub(crate) struct ClusterFile {
    path: Option<PathBuf>,
    written: Mutex<Option<Instant>>,
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredCluster {
    pub identity: String,
    /// The time at which the cluster was last seen, in microseconds since 1970 by the clock of the bridge's server.
    pub seen_us: u64,
}

impl ClusterFile {
    /// The file of the node of these settings.
    pub fn of(settings: &Settings) -> Self {
        let name = format!("{}.cluster", settings.node.name);
        Self { path: Some(settings.node.data_dir.join(name)), written: Mutex::default() }
    }

    /// No file: for a node without a data directory.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { path: None, written: Mutex::default() }
    }

    pub fn read(&self) -> Option<StoredCluster> {
        let text = std::fs::read_to_string(self.path.as_ref()?).ok()?;
        let (identity, seen) = text.lines().find(|line| !line.starts_with('#'))?.split_once(' ')?;
        Some(StoredCluster { identity: identity.into(), seen_us: seen.trim().parse().ok()? })
    }

    /// Writes the file, unless that was done within [`EVERY`].
    pub fn keep(&self, identity: &str, seen_us: u64, now: Instant) {
        let mut written = self.written.lock();
        if written.is_none_or(|at| now.saturating_duration_since(at) >= EVERY) {
            *written = self.write(identity, seen_us).then_some(now).or(*written);
        }
    }

    /// Writes the file, and returns whether that was possible.
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

    /// The message why this node does not join the cluster `there`.
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
        let memory = ClusterFile::of(&settings);
        assert_eq!(memory.read(), None);
        assert!(memory.write("7-ab", 9));
        let again = ClusterFile::of(&settings);
        assert_eq!(again.read(), Some(StoredCluster { identity: "7-ab".into(), seen_us: 9 }));
        again.forget();
        assert_eq!(memory.read(), None);
        settings.node.data_dir = directory.path().join("missing");
        assert!(!ClusterFile::of(&settings).write("7-ab", 9), "a node that keeps nothing remembers nothing");
    }
}
