//! Appending messages.

use std::time::Duration;

use essaim_protocol::log::{Append, AppendError, Appended};
use redis::Value;

use super::super::command_error::CommandError;
use super::registry::{PATIENCE, UNFINISHED, waiting};
use super::replicas::Replicas;
use super::scripts::{APPEND, call};
use super::{RedisLog, parse, restore};

/// The codes with which the server refuses a script before it runs.
const REFUSALS: &[&str] = &[
    "OOM",
    "READONLY",
    "MISCONF",
    "NOREPLICAS",
    "LOADING",
    "MASTERDOWN",
    "BUSY",
    "NOPERM",
    "NOAUTH",
    "NOSCRIPT",
    "CROSSSLOT",
    "MOVED",
    "CLUSTERDOWN",
    "TRYAGAIN",
];

pub async fn append(
    log: &RedisLog,
    registry: u64,
    most: u64,
    appends: &[Append],
) -> Result<Vec<Appended>, AppendError> {
    for _ in 0..PATIENCE {
        let wait = match append_once(log, registry, most, appends).await? {
            AppendOutcome::Appended(appended) => return Ok(appended),
            AppendOutcome::Lost(counts) => {
                restore::recount(log, &counts).await.map_err(|e| AppendError::NotStored(e.to_string()))?;
                Duration::ZERO
            }
            AppendOutcome::Restoring(wait) => wait,
        };
        restore::check(log).await.map_err(|e| AppendError::NotStored(e.to_string()))?;
        tokio::time::sleep(wait).await;
    }
    Err(AppendError::NotStored(UNFINISHED.to_string()))
}

/// The outcome of the script.
enum AppendOutcome {
    Appended(Vec<Appended>),
    /// Nothing is appended: the server has lost these counts, or some of others.
    Lost(String),
    /// Nothing is appended: a restore lasts for so long.
    Restoring(Duration),
}

async fn append_once(
    log: &RedisLog,
    registry: u64,
    most: u64,
    appends: &[Append],
) -> Result<AppendOutcome, AppendError> {
    let link = log.replicas.as_ref().map_or(&log.link, Replicas::link);
    let mut connected = link.connected().map_err(not_appended)?;
    if let Some(replicas) = &log.replicas {
        replicas.ready(&mut connected).await?;
    }
    let mut keys = vec![log.keys.registry()];
    for append in appends {
        keys.extend([log.keys.stream(&append.to), log.keys.counts(&append.to)]);
    }
    let mut append = call(&APPEND, &keys);
    append.arg(registry).arg(most);
    for one in appends {
        append.arg(one.count).arg(&one.batch[..]).arg(if one.urgent { "!" } else { "" });
        append.arg(log.known.of(&one.to).appended);
    }
    let answer = link.run_on(&mut connected, &APPEND, &append).await.map_err(not_appended)?;
    let Some((outcome, rest)) = parted(answer) else { return Err(unexpected()) };
    let said = rest.first().and_then(parse::text).unwrap_or_default();
    match outcome.as_str() {
        "stale" => Err(AppendError::Stale),
        "forgotten" => Ok(AppendOutcome::Lost(said.into())),
        "telling" => rest.first().and_then(waiting).map(AppendOutcome::Restoring).ok_or_else(unexpected),
        "refused" | "torn" => {
            // An error that the script has caught.
            let failed = CommandError::within(said);
            link.failed_on(connected.number, &failed);
            Err(match outcome.as_str() {
                "torn" => AppendError::Unknown(format!("a part is stored; {}", failed.message())),
                _ => AppendError::NotStored(failed.message()),
            })
        }
        "done" if rest.len() == 2 * appends.len() => {
            let all: Vec<_> = rest.chunks_exact(2).map(appended).collect::<Option<_>>().ok_or_else(unexpected)?;
            let is_stored = |one: &Appended| matches!(one, Appended::Stored { .. });
            if let Some(replicas) = log.replicas.as_ref().filter(|_| all.iter().any(is_stored)) {
                replicas.confirm(&mut connected).await?;
            }
            for (one, appended) in appends.iter().zip(&all) {
                if let Appended::Stored { first } = appended {
                    log.known.appended(&one.to, first + u64::from(one.count));
                }
            }
            Ok(AppendOutcome::Appended(all))
        }
        _ => Err(unexpected()),
    }
}

fn parted(answer: Value) -> Option<(String, Vec<Value>)> {
    let mut rest = parse::items(answer)?;
    let outcome = (!rest.is_empty()).then(|| rest.remove(0))?;
    Some((parse::text(&outcome)?.to_string(), rest))
}

fn appended(answer: &[Value]) -> Option<Appended> {
    match (parse::number(&answer[0])?, parse::number(&answer[1])?) {
        (0, waiting) => Some(Appended::Full { waiting }),
        (_, first) => Some(Appended::Stored { first }),
    }
}

fn unexpected() -> AppendError {
    AppendError::Unknown(parse::unexpected("an append").to_string())
}

fn not_appended(failed: CommandError) -> AppendError {
    let message = failed.message();
    match failed {
        CommandError::NotSent(_) => AppendError::NotStored(message),
        // An error from within a script names it, and comes after what the script has done.
        CommandError::Refused { code, said } if REFUSALS.contains(&code.as_str()) && !said.contains("script: ") => {
            AppendError::NotStored(message)
        }
        CommandError::Refused { .. } | CommandError::Unanswered(_) | CommandError::NotReplicated(_) => {
            AppendError::Unknown(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_refused_before_it_ran_is_surely_not_stored() {
        let refused =
            |code: &str, said: &str| CommandError::Refused { code: code.into(), said: format!("{code} {said}") };
        let oom = not_appended(refused("OOM", "command not allowed when used memory > 'maxmemory'."));
        assert!(matches!(oom, AppendError::NotStored(message) if message.contains("maxmemory")));
        for unknown in [
            refused("ERR", "Error running script"),
            refused("WRONGTYPE", "Operation against a key script: 12ab, on @user_script:5."),
            refused("OOM", "command not allowed script: 12ab, on @user_script:5."),
            CommandError::Unanswered("broken pipe".into()),
        ] {
            assert!(matches!(not_appended(unknown), AppendError::Unknown(_)));
        }
        assert!(matches!(not_appended(CommandError::NotSent("away".into())), AppendError::NotStored(_)));
    }
}
