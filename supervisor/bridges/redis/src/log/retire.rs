//! Retiring a capability that is gone for good.

use std::time::Duration;

use essaim_protocol::log::{LogError, Partition, Retired};
use redis::Value;

use super::registry::{self, refresh, waiting};
use super::scripts::call;
use super::scripts::registry::RETIRE;
use super::{RedisLog, parse, restore};

/// A number of partitions changes only if others retire and register the capability at the same moment.
const TRIES: usize = 8;

pub async fn retire(log: &RedisLog, capability: &str) -> Result<Retired, LogError> {
    for _ in 0..TRIES {
        let partitions = registry::partitions(log, capability).await?;
        if partitions == 0 {
            return Ok(Retired::Unknown);
        }
        let mut keys = vec![
            log.keys.registry(),
            log.keys.owners(capability),
            log.keys.hosts(capability),
            log.keys.handles(capability),
            log.keys.state(capability),
            log.keys.dead(capability),
        ];
        for number in 0..partitions {
            let partition = Partition { capability: capability.into(), number };
            keys.extend([log.keys.stream(&partition), log.keys.counts(&partition)]);
        }
        let mut retire = call(&RETIRE, &keys);
        let answer = log.link.run(&RETIRE, retire.arg(capability).arg(partitions)).await?;
        match retired(answer).ok_or_else(|| parse::unexpected("a retirement"))? {
            RetireOutcome::Retired(retired) => {
                if matches!(retired, Retired::Done { .. }) {
                    log.known.ended(capability, None);
                    refresh(log).await?;
                }
                return Ok(retired);
            }
            RetireOutcome::Changed => {}
            RetireOutcome::Restoring(wait) => {
                restore::check(log).await?;
                tokio::time::sleep(wait).await;
            }
        }
    }
    Err(LogError::Contended("the capability is registered and retired again and again; trying no more"))
}

/// The outcome of the script.
enum RetireOutcome {
    Retired(Retired),
    /// Nothing is removed: the capability has another number of partitions by now.
    Changed,
    /// Nothing is removed: a restore lasts for so long.
    Restoring(Duration),
}

fn retired(answer: Value) -> Option<RetireOutcome> {
    let [outcome, what] = <[Value; 2]>::try_from(parse::items(answer)?).ok()?;
    Some(match parse::text(&outcome)? {
        "done" => RetireOutcome::Retired(Retired::Done { messages: parse::number(&what)? }),
        "hosted" => RetireOutcome::Retired(Retired::Hosted { host: parse::text(&what)?.into() }),
        "telling" => RetireOutcome::Restoring(waiting(&what)?),
        "changed" => RetireOutcome::Changed,
        _ => return None,
    })
}
