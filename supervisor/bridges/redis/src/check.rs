//! What a node will need of the server of its bridge, tried from outside. Nothing at the server is changed: each command is tried on a
//! name that no node uses, so that it has nothing to do there, or fails for want of a proper argument after its right was checked.

use std::collections::BTreeSet;
use std::time::Duration;

use essaim_config::{Durability, Settings};
use essaim_protocol::wire::{BridgeReport, ClaimError};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};

use super::channels::Channels;
use super::command_error::CommandError;
use super::endpoint::{Endpoint, NoConnection, ServerGreeting};
use super::log::{ServerAnswers, weaker_than};

/// The oldest version whose commands are enough.
const OLDEST: (u32, u32) = (6, 2);

/// What no node and no capability can be called.
const NOBODY: &str = "(nothing)";

/// The commands of nodes and of their scripts, on a key that is not there. `HSETNX` alone cannot be tried without writing.
const ON_KEYS: &[&str] = &[
    "GET KEY",
    "SET KEY x XX",
    "SETRANGE KEY 0 EMPTY",
    "EXISTS KEY",
    "TYPE KEY",
    "DEL KEY",
    "UNLINK KEY",
    "HGET KEY f",
    "HMGET KEY f",
    "HGETALL KEY",
    "HKEYS KEY",
    "HLEN KEY",
    "HEXISTS KEY f",
    "HDEL KEY f",
    "HSCAN KEY 0",
    "HSET KEY f v odd",
    "HINCRBY KEY f odd",
    "XADD KEY NOMKSTREAM * f v",
    "XREAD COUNT 1 STREAMS KEY 0",
    "XRANGE KEY - + COUNT 1",
    "XDEL KEY 0-1",
];

/// The same of what has no key: a script that is not there, one that is none, and a channel that nobody hears.
const OTHERS: &[&str] = &[
    "TIME",
    "EVALSHA 0000000000000000000000000000000000000000 0",
    "SCRIPT LOAD (",
    "SUBSCRIBE CHANNEL",
    "UNSUBSCRIBE CHANNEL",
    "PUBLISH CHANNEL EMPTY",
    "PUBSUB NUMSUB CHANNEL",
    "PUBSUB CHANNELS CHANNEL",
];

/// Looks at the server of `bridge.url`, which so many nodes are to use. A server that loads its data is waited for, as a node would;
/// `waiting` is called when that begins.
///
/// # Errors
/// If it does not answer, or cannot be the server of a bridge.
pub async fn check(settings: &Settings, nodes: usize, waiting: impl Fn(&str)) -> Result<BridgeReport, ClaimError> {
    let endpoint = Endpoint::of(settings)?;
    let mut connection = connect(&endpoint, settings, waiting).await?;
    let unreachable = |error: RedisError| endpoint.unreachable(CommandError::of(&error).message());
    let greeting = ServerGreeting::of(&mut connection).await.map_err(unreachable)?;
    let mut report = BridgeReport {
        server: format!("Redis {} at {}", greeting.version(), endpoint.url()),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    if greeting.numbers().is_some_and(|version| version < OLDEST) {
        let (major, minor) = OLDEST;
        report.problems.push(format!("the bridge is Redis {}: use {major}.{minor} or newer", greeting.version()));
    }
    let found = rights(&mut connection, settings, endpoint.database()).await.map_err(unreachable)?;
    report.problems.extend(found.told(&endpoint.user(), &settings.bridge.namespace));
    let durability = settings.store.durability;
    let replicas = (durability == Durability::Replicated).then_some(settings.durable.replicas);
    report.warnings.extend(weaker_than(durability, replicas, &connection).await);
    report.problems.extend(too_few_connections(settings, nodes, &connection).await);
    Ok(report)
}

/// Connects; sentinels are asked one after the other, and each may take its time.
async fn connect(
    endpoint: &Endpoint,
    settings: &Settings,
    waiting: impl Fn(&str),
) -> Result<MultiplexedConnection, ClaimError> {
    let patience = endpoint.response_timeout() * 2 * (1 + settings.bridge.url.matches(',').count() as u32);
    let mut is_told = false;
    loop {
        let why = match tokio::time::timeout(patience, endpoint.connect(&endpoint.config())).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(why)) => why,
            Err(_) => return Err(endpoint.unreachable(format!("nothing within {} ms", patience.as_millis()))),
        };
        if why != NoConnection::Loading {
            return Err(endpoint.refusal(&why));
        }
        if !std::mem::replace(&mut is_told, true) {
            waiting(&format!("the bridge at {} loads its data: waiting for it", endpoint.url()));
        }
        tokio::time::sleep(Duration::from_millis(settings.wire.reconnect_most_ms)).await;
    }
}

/// What the user of the URL may not do, and what the server does for nobody now.
#[derive(Default)]
struct Found {
    commands: BTreeSet<String>,
    no_keys: bool,
    no_channels: bool,
    refused: BTreeSet<String>,
}

/// Tries each command.
///
/// # Errors
/// If the server does not answer any more.
async fn rights(
    connection: &mut MultiplexedConnection,
    settings: &Settings,
    database: i64,
) -> Result<Found, RedisError> {
    let namespace = &settings.bridge.namespace;
    let channel = Channels::new(namespace, NOBODY, database).broadcast();
    let log = format!("{namespace}:log:{NOBODY}:0");
    let mut found = Found::default();
    let others = ["cluster", "node", "epoch", "claim"].map(|of| ("EXISTS KEY", format!("{namespace}:{of}:{NOBODY}")));
    let on_keys = ON_KEYS.iter().map(|words| (*words, log.clone()));
    let replicated = (settings.store.durability == Durability::Replicated).then_some("WAIT 0 1");
    let others = others.into_iter().chain(OTHERS.iter().copied().chain(replicated).map(|words| (words, String::new())));
    for (words, key) in on_keys.chain(others) {
        let mut command = Cmd::new();
        for word in words.split(' ') {
            command.arg(match word {
                "KEY" => key.as_str(),
                "CHANNEL" => channel.as_str(),
                "EMPTY" => "",
                word => word,
            });
        }
        if let Err(error) = command.query_async::<Value>(connection).await {
            match CommandError::of(&error) {
                refused @ CommandError::Refused { .. } => found.take(words, &refused),
                _ => return Err(error),
            }
        }
    }
    Ok(found)
}

impl Found {
    /// Takes the refusal of a command. Only those count that it would meet with proper arguments, too.
    fn take(&mut self, words: &str, refused: &CommandError) {
        let CommandError::Refused { code, said } = refused else { return };
        match code.as_str() {
            "NOPERM" if said.contains(" keys ") => self.no_keys = true,
            "NOPERM" if said.contains(" channels ") => self.no_channels = true,
            "NOPERM" => {
                let mut words = words.split(' ').map(str::to_lowercase);
                let (name, next) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let has_parts = matches!(name.as_str(), "script" | "pubsub");
                self.commands.insert(if has_parts { format!("{name}|{next}") } else { name });
            }
            "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" => drop(self.refused.insert(refused.message())),
            _ => {}
        }
    }

    /// What is wrong, with what to do about it.
    fn told(&self, user: &str, namespace: &str) -> Vec<String> {
        let (mut lacks, mut grant) = (Vec::new(), Vec::new());
        if self.no_keys {
            lacks.push(format!("the keys {namespace}:*"));
            grant.push(format!("~{namespace}:*"));
        }
        if self.no_channels {
            lacks.push(format!("the channels {namespace}:*"));
            grant.push(format!("&{namespace}:*"));
        }
        if !self.commands.is_empty() {
            let names: Vec<&str> = self.commands.iter().map(String::as_str).collect();
            lacks.push(format!("the commands {}", names.join(", ")));
            grant.extend(names.iter().map(|name| format!("+{name}")));
        }
        let refusals = self.refused.iter().cloned();
        let rights = (!lacks.is_empty()).then(|| {
            let (lacks, grant) = (lacks.join(" and "), grant.join(" "));
            format!("the user `{user}` of bridge.url has no right to {lacks}: grant it (ACL SETUSER {user} {grant})")
        });
        rights.into_iter().chain(refusals).collect()
    }
}

/// Whether the server takes fewer connections than these nodes may need beside those that there are; unknown where the user may not see
/// that.
async fn too_few_connections(settings: &Settings, nodes: usize, server: &impl ServerAnswers) -> Option<String> {
    let most = server.answer(redis::cmd("CONFIG").arg("GET").arg("maxclients").take()).await.ok()?;
    let most: Vec<String> =
        redis::from_redis_value::<std::collections::HashMap<String, String>>(most).ok()?.into_values().collect();
    let most: u64 = most.first()?.parse().ok()?;
    let info: String =
        redis::from_redis_value(server.answer(redis::cmd("INFO").arg("clients").take()).await.ok()?).ok()?;
    let used: u64 = info.lines().find_map(|line| line.strip_prefix("connected_clients:"))?.trim().parse().ok()?;
    // One for the wire, one for the log, one for appends that replicas confirm, and those that wait for entries.
    let appends = u64::from(settings.store.durability == Durability::Replicated);
    let of_each = 2 + appends + u64::from(settings.durable.readers);
    let wanted = of_each * nodes as u64;
    (used + wanted > most).then(|| {
        format!(
            "the bridge takes {most} connections and has {used}, and {nodes} nodes may want {wanted}: raise its maxclients, or lower \
             durable.readers"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusals: &[(&str, &str)]) -> Vec<String> {
        let mut found = Found::default();
        for (words, said) in refusals {
            let code = said.split(' ').next().unwrap().to_string();
            found.take(words, &CommandError::Refused { code, said: said.to_string() });
        }
        found.told("shop", "essaim")
    }

    #[test]
    fn what_a_user_lacks_is_one_line_with_the_command_that_grants_it() {
        let said = told(&[
            ("XREAD COUNT 1", "NOPERM this user has no permissions to run the 'xread' command"),
            ("SCRIPT LOAD (", "NOPERM User shop has no permissions to run the 'script|load' command"),
            ("GET KEY", "NOPERM this user has no permissions to access one of the keys used as arguments"),
            (
                "SUBSCRIBE CHANNEL",
                "NOPERM this user has no permissions to access one of the channels used as arguments",
            ),
            ("HSET KEY f v odd", "ERR wrong number of arguments for 'hset' command"),
            ("EVALSHA 0", "NOSCRIPT No matching script. Please use EVAL."),
        ]);
        let grant = "(ACL SETUSER shop ~essaim:* &essaim:* +script|load +xread)";
        assert!(said.len() == 1 && said[0].ends_with(grant), "{said:#?}");
        assert_eq!(told(&[]), [""; 0]);
    }

    #[test]
    fn a_server_that_takes_no_writes_now_is_told_once() {
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        let said = told(&[("SET KEY x XX", full), ("XADD KEY", full)]);
        assert!(said.len() == 1 && said[0].contains("raise maxmemory"), "{said:#?}");
    }
}
