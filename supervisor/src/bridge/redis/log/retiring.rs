//! Forgetting a capability that is gone for good.

use redis::Value;

use super::scripts::{RETIRE, call};
use super::{RedisLog, parse, registering};
use crate::bridge::log::{LogError, Partition, Retired};

/// A number of partitions changes only if others retire and register the capability at the same moment.
const TRIES: usize = 8;

pub async fn retire(log: &RedisLog, capability: &str) -> Result<Retired, LogError> {
    for _ in 0..TRIES {
        let partitions = registering::partitions(log, capability).await?;
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
        if let Some(retired) = retired(answer).ok_or_else(|| parse::strange("a retirement"))? {
            if matches!(retired, Retired::Done { .. }) {
                log.link.remembered().retire(capability);
            }
            return Ok(retired);
        }
    }
    Err(LogError("the capability is registered and retired again and again; trying no more".into()))
}

/// What the script has done; the inner `None` if it was told another number of partitions than there is.
fn retired(answer: Value) -> Option<Option<Retired>> {
    let [outcome, what] = <[Value; 2]>::try_from(parse::items(answer)?).ok()?;
    Some(match parse::text(&outcome)? {
        "done" => Some(Retired::Done { messages: parse::number(&what)? }),
        "hosted" => Some(Retired::Hosted { host: parse::text(&what)?.into() }),
        "changed" => None,
        _ => return None,
    })
}
