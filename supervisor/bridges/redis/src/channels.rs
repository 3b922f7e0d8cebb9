//! The names of the channels of a cluster.
//!
//! Pub/sub knows no databases: a subscriber hears a channel from all of them. So the name of each channel contains the cluster's
//! identity and the number of its database, and no frame of another cluster can arrive.

/// The names of one cluster's channels.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    namespace: String,
    cluster: String,
    database: i64,
}

impl Channels {
    pub fn new(namespace: &str, cluster: &str, database: i64) -> Self {
        Self { namespace: namespace.into(), cluster: cluster.into(), database }
    }

    /// The inbox of a node.
    pub fn inbox(&self, node: &str, epoch: u64) -> String {
        let (before, after) = self.around_cluster(node);
        format!("{before}{}{after}{epoch}", self.cluster)
    }

    /// The parts of the name of a node's inbox before the cluster, and between cluster and epoch.
    pub fn around_cluster(&self, node: &str) -> (String, String) {
        (format!("{}:", self.namespace), format!(".{}:inbox:{node}:", self.database))
    }

    /// A pattern for the broadcast channels of all clusters of this namespace and database.
    pub fn all_broadcasts(&self) -> String {
        let special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '\\');
        let namespace = self.namespace.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c]));
        format!("{}:*.{}:broadcast", namespace.collect::<String>(), self.database)
    }

    /// The broadcast channel, to which every node is subscribed.
    pub fn broadcast(&self) -> String {
        format!("{}:{}.{}:broadcast", self.namespace, self.cluster, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_clusters_and_databases_apart() {
        let channels = Channels::new("essaim", "17-ab", 3);
        assert_eq!(channels.inbox("shop", 9), "essaim:17-ab.3:inbox:shop:9");
        assert_eq!(channels.broadcast(), "essaim:17-ab.3:broadcast");
        assert_eq!(Channels::new("a*", "17-ab", 3).all_broadcasts(), r"a\*:*.3:broadcast");
    }
}
