//! The durability that Redis gives, compared with the configured one.
//!
//! With `appendonly yes` Redis hands every write to its operating system before it answers, so that the end of Essaim's
//! processes loses nothing, and the end of Redis' process only what it could not hand over yet while a flush of the
//! disk was slow: at most two seconds (`everysec`). The loss of power takes what was not flushed: with `everysec` a
//! second, or two when the disk is slow; with `no` as much as the operating system held back, often 30 seconds; with
//! `always` nothing that was answered.

use essaim_config::Durability;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};

use super::super::command_error::CommandError;
use super::link::Link;
use super::replicas::{Replicas, following};
use super::{RedisLog, parse};

/// The settings of Redis that decide it, by their own names and in their own words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Persistence {
    appendonly: String,
    appendfsync: String,
    no_appendfsync_on_rewrite: String,
    save: String,
    maxmemory_policy: String,
    /// The number of replicas that are online, and the number that are wanted, if any are.
    replicas: Option<(u32, u32)>,
}

/// A server that executes commands.
pub trait ServerAnswers: Sync {
    /// Has it execute a command.
    fn answer(&self, command: Cmd) -> impl Future<Output = Result<Value, CommandError>> + Send;
}

impl ServerAnswers for Link {
    async fn answer(&self, command: Cmd) -> Result<Value, CommandError> {
        self.ask(&command).await
    }
}

impl ServerAnswers for MultiplexedConnection {
    async fn answer(&self, command: Cmd) -> Result<Value, CommandError> {
        command.query_async(&mut self.clone()).await.map_err(|error| CommandError::of(&error))
    }
}

pub async fn weaker_than_configured(log: &RedisLog) -> Option<String> {
    weaker_than(log.durability, log.replicas.as_ref().map(Replicas::wanted), &log.link).await
}

/// What a server does not keep of what `durability` promises, with this many replicas that are wanted.
pub async fn weaker_than(durability: Durability, replicas: Option<u32>, server: &impl ServerAnswers) -> Option<String> {
    match persistence(replicas, server).await {
        Ok(persistence) => weaker(durability, &persistence),
        Err(failed) => Some(format!(
            "whether Redis keeps messages as store.durability wants could not be checked: {}; look for \
             `appendonly yes`, `appendfsync` and `maxmemory-policy noeviction` in its configuration",
            failed.message()
        )),
    }
}

async fn persistence(replicas: Option<u32>, server: &impl ServerAnswers) -> Result<Persistence, CommandError> {
    Ok(Persistence {
        appendonly: setting(server, "appendonly").await?,
        appendfsync: setting(server, "appendfsync").await?,
        no_appendfsync_on_rewrite: setting(server, "no-appendfsync-on-rewrite").await?,
        save: setting(server, "save").await?,
        maxmemory_policy: setting(server, "maxmemory-policy").await?,
        replicas: match replicas {
            Some(wanted) => Some((followers(server).await?, wanted)),
            None => None,
        },
    })
}

async fn followers(server: &impl ServerAnswers) -> Result<u32, CommandError> {
    let info = server.answer(redis::cmd("INFO").arg("replication").take()).await?;
    // A text of its own kind, in RESP3.
    Ok(redis::from_redis_value::<String>(info).map(|info| following(&info)).unwrap_or(0))
}

/// One setting: before Redis 7, CONFIG GET takes one name.
async fn setting(server: &impl ServerAnswers, name: &str) -> Result<String, CommandError> {
    let answer = server.answer(redis::cmd("CONFIG").arg("GET").arg(name).take()).await?;
    let value = parse::pairs(answer).and_then(|pairs| pairs.into_iter().next());
    match value {
        Some((_, Value::BulkString(value))) => Ok(String::from_utf8_lossy(&value).into_owned()),
        _ => Err(CommandError::Refused { code: String::new(), said: format!("CONFIG GET {name} has no answer") }),
    }
}

fn weaker(durability: Durability, redis: &Persistence) -> Option<String> {
    let mut said = Vec::new();
    let (want, fsync) = (durability.name(), &redis.appendfsync);
    let is_to_flush = durability >= Durability::Machine;
    if redis.appendonly != "yes" {
        let kept = match redis.save.as_str() {
            "" => {
                "Redis writes nothing to its disk (appendonly no, no save): when it ends, all messages are lost".into()
            }
            save => format!(
                "Redis writes snapshots only (appendonly no, save {save}): when it ends, messages since the last one \
                 are lost, and handled ones come back"
            ),
        };
        let fsync = if is_to_flush { " and `appendfsync always`" } else { "" };
        said.push(format!("{kept}; set `appendonly yes`{fsync} in Redis"));
    } else if is_to_flush {
        let lost = match fsync.as_str() {
            "always" => None,
            "everysec" => Some("the last second, or two when its disk is slow"),
            _ => Some("as much as its operating system held back, often 30 seconds"),
        };
        if let Some(lost) = lost {
            said.push(format!(
                "Redis flushes its disk too late (appendfsync {fsync}): the loss of power takes {lost}; set \
                 `appendfsync always` in Redis, or store.durability = \"process\""
            ));
        } else if redis.no_appendfsync_on_rewrite == "yes" {
            said.push(
                "Redis does not flush its disk while it rewrites its file (no-appendfsync-on-rewrite yes): the loss of \
                 power may take what was stored meanwhile; set it to `no`"
                    .into(),
            );
        }
    }
    if let Some((following, wanted)) = redis.replicas.filter(|(following, wanted)| following < wanted) {
        said.push(format!(
            "{following} of durable.replicas = {wanted} replicas follow Redis: nothing is stored until enough do, and senders are \
             told so; have them follow (replicaof), or lower durable.replicas"
        ));
    }
    if redis.maxmemory_policy != "noeviction" {
        said.push(format!(
            "Redis forgets keys when its memory is full (maxmemory-policy {}), and messages with them; set \
             `maxmemory-policy noeviction`",
            redis.maxmemory_policy
        ));
    }
    (!said.is_empty()).then(|| format!("the log is weaker than store.durability = \"{want}\": {}", said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(appendonly: &str, appendfsync: &str, save: &str, maxmemory_policy: &str) -> Persistence {
        Persistence {
            appendonly: appendonly.into(),
            appendfsync: appendfsync.into(),
            no_appendfsync_on_rewrite: "no".into(),
            save: save.into(),
            maxmemory_policy: maxmemory_policy.into(),
            replicas: None,
        }
    }

    fn with_replicas(following: u32, wanted: u32) -> Persistence {
        Persistence { replicas: Some((following, wanted)), ..redis("yes", "always", "", "noeviction") }
    }

    #[test]
    fn what_redis_does_not_keep_is_said_with_what_to_do() {
        use Durability::{Machine, Process, Replicated};
        let cases: &[(Durability, Persistence, &[&str])] = &[
            (Process, redis("yes", "everysec", "", "noeviction"), &[]),
            (Process, redis("yes", "no", "", "noeviction"), &[]),
            (Machine, redis("yes", "always", "", "noeviction"), &[]),
            (Machine, redis("yes", "everysec", "", "noeviction"), &["last second", "appendfsync always"]),
            (Machine, redis("yes", "no", "", "noeviction"), &["30 seconds"]),
            (Process, redis("no", "always", "", "noeviction"), &["all messages are lost", "appendonly yes"]),
            (Machine, redis("no", "everysec", "60 1", "noeviction"), &["save 60 1", "appendfsync always"]),
            (Process, redis("yes", "always", "", "allkeys-lru"), &["allkeys-lru", "noeviction"]),
            (Replicated, redis("yes", "everysec", "", "noeviction"), &["\"replicated\"", "last second"]),
            (Replicated, with_replicas(2, 2), &[]),
            (Replicated, with_replicas(1, 2), &["1 of durable.replicas = 2", "replicaof"]),
        ];
        for (durability, redis, message) in cases {
            let said = weaker(*durability, redis);
            assert_eq!(said.is_none(), message.is_empty(), "{redis:?}: {said:?}");
            let said = said.unwrap_or_default();
            assert!(message.iter().all(|w| said.contains(w)), "{said}");
        }
    }
}
