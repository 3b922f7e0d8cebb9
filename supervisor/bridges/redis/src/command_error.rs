//! Errors of commands, and what each says of its connection.

use redis::{ErrorKind, RedisError};

use essaim_protocol::log::LogError;

use super::log::replicas::TooFewReplicas;

/// The error of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandError {
    /// The command was certainly not sent.
    NotSent(String),
    /// The server answered with an error.
    Refused {
        /// The code, such as `OOM`.
        code: String,
        /// The whole text.
        said: String,
    },
    /// The command was sent, and whether it was executed is not known.
    Unanswered(String),
    /// The server answered, and too few replicas have what it answered with.
    NotReplicated(TooFewReplicas),
}

/// The codes of a server that does not take writes, or no longer: its name may lead to another server by now.
const ELSEWHERE: &[&str] = &["READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "LOADING"];

/// The codes of a server of a Redis Cluster.
const CLUSTER_MODE: &[&str] = &["MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"];

/// The answer of a replica to WAIT, which has no code of its own.
const NO_WAIT: &str = "WAIT cannot be used with replica";

impl CommandError {
    pub fn of(error: &RedisError) -> Self {
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
                Self::refused(code, error.detail().unwrap_or_default())
            }
            _ => Self::Unanswered(error.to_string()),
        }
    }

    /// The error of a command within a script, as `pcall` catches it there.
    pub fn within(said: &str) -> Self {
        let said = within_script(said).unwrap_or(said).trim_start_matches('-').trim();
        let code = said.split_whitespace().next().unwrap_or_default();
        Self::Refused { code: code.into(), said: said.into() }
    }

    /// The error of a command. Before Redis 7 an error from within a script is an `ERR` whose text ends with it.
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

    /// The error for people and, where it is known, what to do.
    pub fn message(&self) -> String {
        match self {
            Self::NotSent(message) => message.clone(),
            Self::Refused { said, .. } => advice(said),
            Self::Unanswered(error) => format!("Redis did not answer ({error})"),
            Self::NotReplicated(why) => format!("nothing is handled until replicas have it: {why}"),
        }
    }

    /// Whether a server answered that is not the right one: its name has to be resolved again, and a new connection made.
    pub fn is_wrong_server(&self) -> bool {
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

impl From<CommandError> for LogError {
    fn from(failed: CommandError) -> Self {
        let message = failed.message();
        match failed {
            CommandError::NotSent(_) => Self::NotSent(message),
            CommandError::Unanswered(_) => Self::Unanswered(message),
            CommandError::NotReplicated(_) => Self::NotReplicated(message),
            CommandError::Refused { code, .. } if code == "OOM" => Self::OutOfMemory(message),
            CommandError::Refused { .. } => Self::Refused(message),
        }
    }
}

/// The error of a command within a script, in the form of servers before Redis 7.
fn within_script(said: &str) -> Option<&str> {
    let (_, rest) = said.rsplit_once("@user_script: ")?;
    let (_line, error) = rest.split_once(": ")?;
    Some(error.trim_start_matches('-').trim_end())
}

/// The message about a Redis Cluster.
pub(super) const UNSUPPORTED: &str =
    "it belongs to a Redis Cluster, and cluster mode is not supported: bridge.url must name a single server";

/// The message for a refusal of Redis: what to do about it.
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
        let new = CommandError::refused(
            "READONLY",
            "You can't write against a read only replica. script: 12ab, on @user_script:5.",
        );
        let old = CommandError::refused(
            "ERR",
            "Error running script (call to f_12ab): @user_script:5: @user_script: 5: -READONLY You can't write against a \
             read only replica.",
        );
        for failed in [new, old] {
            assert!(failed.is_wrong_server() && failed.message().contains("replica: bridge.url"), "{failed:?}");
            assert!(matches!(&failed, CommandError::Refused { said, .. } if said.contains("script: ")));
        }
        let other = CommandError::refused(
            "ERR",
            "Error running script (call to f_12ab): @user_script:5: attempt to index a nil value",
        );
        assert!(matches!(&other, CommandError::Refused { code, .. } if code == "ERR") && !other.is_wrong_server());
    }

    #[test]
    fn an_error_that_a_script_has_caught_is_known_by_its_code() {
        for said in
            ["READONLY You can't write.", "-READONLY You can't write.", "@user_script: 33: -READONLY You can't write."]
        {
            assert!(CommandError::within(said).is_wrong_server(), "{said}");
            assert!(CommandError::within(said).message().contains("is a replica"), "{said}");
        }
        assert!(!CommandError::within("OOM command not allowed.").is_wrong_server());
    }

    #[test]
    fn a_replica_that_is_asked_to_wait_for_its_replicas_is_not_the_primary() {
        let said = "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
                    configured to be writable (which is not the default) writes to replicas are just local.";
        let failed = CommandError::refused("ERR", said);
        assert!(failed.is_wrong_server() && failed.message().contains("it is a replica"), "{failed:?}");
    }

    #[test]
    fn answers_tell_whether_the_server_is_the_one_that_is_wanted() {
        let refused = |code: &str| CommandError::refused(code, "…");
        assert!(ELSEWHERE.iter().chain(CLUSTER_MODE).all(|code| refused(code).is_wrong_server()));
        for code in ["OOM", "MISCONF", "BUSY", "UNKILLABLE", "NOPERM", "WRONGTYPE", "ERR"] {
            assert!(!refused(code).is_wrong_server(), "{code}");
        }
        assert!(!CommandError::Unanswered("broken pipe".into()).is_wrong_server());
    }
}
