//! Why the server did not do what it was asked, and what that says of the connection.

use redis::{ErrorKind, RedisError};

use essaim_protocol::log::LogError;

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was surely not sent.
    NotSent(String),
    /// The server answered with an error.
    Refused {
        /// Such as `OOM`.
        code: String,
        /// All that it said.
        said: String,
    },
    /// It was sent, and whether it was done is not known.
    Unanswered(String),
}

/// With these a server says that it is not, or not any more, the one that takes writes: its name may lead to another one
/// by now.
const ELSEWHERE: &[&str] = &["READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "LOADING"];

/// With these a server says that it is one of a Redis Cluster.
const CLUSTER_MODE: &[&str] = &["MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"];

/// So a replica answers WAIT, with no code of its own.
const NO_WAIT: &str = "WAIT cannot be used with replica";

impl Failed {
    pub fn of(error: &RedisError) -> Self {
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
                Self::refused(code, error.detail().unwrap_or_default())
            }
            _ => Self::Unanswered(error.to_string()),
        }
    }

    /// The error of a command that a script has called, as it is caught there.
    pub fn within(said: &str) -> Self {
        let said = within_script(said).unwrap_or(said).trim_start_matches('-').trim();
        let code = said.split_whitespace().next().unwrap_or_default();
        Self::Refused { code: code.into(), said: said.into() }
    }

    /// Before Redis 7 an error from within a script is an `ERR` that ends with the error.
    fn refused(code: &str, detail: &str) -> Self {
        if code == "ERR" && detail.starts_with(NO_WAIT) {
            return Self::Refused { code: "READONLY".into(), said: format!("READONLY {detail}") };
        }
        let within = within_script(detail);
        let is_code = |word: &str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
        match within.and_then(|error| error.split_whitespace().next()).filter(|word| code == "ERR" && is_code(word)) {
            Some(inner) => {
                let error = within.unwrap_or_default();
                Self::Refused { code: inner.into(), said: format!("{error} script: {detail}") }
            }
            None => Self::Refused { code: code.into(), said: format!("{code} {detail}") },
        }
    }

    /// What happened and, where it is known, what to do.
    pub fn words(&self) -> String {
        match self {
            Self::NotSent(words) => words.clone(),
            Self::Refused { said, .. } => advice(said),
            Self::Unanswered(error) => format!("Redis did not answer ({error})"),
        }
    }

    /// Whether whoever answered is not the server that is wanted: the name is to be resolved and connected anew.
    pub fn is_elsewhere(&self) -> bool {
        self.has_code(ELSEWHERE) || self.is_cluster_mode()
    }

    /// Whether the server belongs to a Redis Cluster.
    pub fn is_cluster_mode(&self) -> bool {
        self.has_code(CLUSTER_MODE)
    }

    /// Whether the server still loads its data.
    pub fn is_loading(&self) -> bool {
        self.has_code(&["LOADING"])
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused { code, .. } if codes.contains(&code.as_str()))
    }
}

impl From<Failed> for LogError {
    fn from(failed: Failed) -> Self {
        Self(failed.words())
    }
}

/// The error of a command that a script has called, as servers before Redis 7 say it.
fn within_script(said: &str) -> Option<&str> {
    let (_, rest) = said.rsplit_once("@user_script: ")?;
    let (_line, error) = rest.split_once(": ")?;
    Some(error.trim_start_matches('-').trim_end())
}

/// What is said of a Redis Cluster.
pub(super) const UNSUPPORTED: &str =
    "it belongs to a Redis Cluster, and cluster mode is not supported: bridge.url must name a single server";

/// What to do when Redis refuses with these words.
pub(super) fn advice(said: &str) -> String {
    let todo = match said.split_whitespace().next().unwrap_or_default() {
        "OOM" => "its memory is full: raise maxmemory, or wait until messages are handled",
        "MISCONF" => "it cannot write to its disk: see its log, and make room",
        "READONLY" => "it is a replica: bridge.url must name the primary",
        "NOREPLICAS" => "too few replicas are connected for its min-replicas-to-write",
        "LOADING" => "it is loading its data and will answer soon",
        "MASTERDOWN" => "it is a replica without its primary: bridge.url must name the primary",
        "BUSY" => "somebody's script has been running for too long: see SCRIPT KILL",
        "NOPERM" => "the user of bridge.url may not do this: see its ACL",
        "NOAUTH" | "WRONGPASS" => "bridge.url has no valid user and password",
        code if CLUSTER_MODE.contains(&code) => UNSUPPORTED,
        "WRONGTYPE" => "somebody else uses the same keys: change bridge.namespace",
        "ERR" if said.contains("exhausted the last possible ID") => {
            "an entry that was not written by a node has used up the ids of a partition's stream: stop what writes there, and \
             delete the stream once nothing waits in it"
        }
        _ => return format!("Redis refused: {said}"),
    };
    format!("Redis refused, {todo} ({said})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_from_within_a_script_is_known_by_its_own_code_in_each_version() {
        let new = Failed::refused(
            "READONLY",
            "You can't write against a read only replica. script: 12ab, on @user_script:5.",
        );
        let old = Failed::refused(
            "ERR",
            "Error running script (call to f_12ab): @user_script:5: @user_script: 5: -READONLY You can't write against a \
             read only replica.",
        );
        for failed in [new, old] {
            assert!(failed.is_elsewhere() && failed.words().contains("replica: bridge.url"), "{failed:?}");
            assert!(matches!(&failed, Failed::Refused { said, .. } if said.contains("script: ")));
        }
        let other = Failed::refused(
            "ERR",
            "Error running script (call to f_12ab): @user_script:5: attempt to index a nil value",
        );
        assert!(matches!(&other, Failed::Refused { code, .. } if code == "ERR") && !other.is_elsewhere());
    }

    #[test]
    fn an_error_that_a_script_has_caught_is_known_by_its_code() {
        for said in
            ["READONLY You can't write.", "-READONLY You can't write.", "@user_script: 33: -READONLY You can't write."]
        {
            assert!(Failed::within(said).is_elsewhere(), "{said}");
            assert!(Failed::within(said).words().contains("is a replica"), "{said}");
        }
        assert!(!Failed::within("OOM command not allowed.").is_elsewhere());
    }

    #[test]
    fn a_replica_that_is_asked_to_wait_for_its_replicas_is_not_the_primary() {
        let said = "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
                    configured to be writable (which is not the default) writes to replicas are just local.";
        let failed = Failed::refused("ERR", said);
        assert!(failed.is_elsewhere() && failed.words().contains("it is a replica"), "{failed:?}");
    }

    #[test]
    fn answers_tell_whether_the_server_is_the_one_that_is_wanted() {
        let refused = |code: &str| Failed::refused(code, "…");
        assert!(ELSEWHERE.iter().chain(CLUSTER_MODE).all(|code| refused(code).is_elsewhere()));
        for code in ["OOM", "MISCONF", "BUSY", "UNKILLABLE", "NOPERM", "WRONGTYPE", "ERR"] {
            assert!(!refused(code).is_elsewhere(), "{code}");
        }
        assert!(!Failed::Unanswered("broken pipe".into()).is_elsewhere());
    }
}
