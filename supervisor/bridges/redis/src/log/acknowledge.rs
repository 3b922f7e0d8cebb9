//! Acknowledging: removing entries that are handled.

use essaim_protocol::log::{Acknowledge, Acknowledged, LogError};

use super::scripts::{ACKNOWLEDGE, call};
use super::{RedisLog, parse};

pub async fn acknowledge(log: &RedisLog, acknowledges: &[Acknowledge]) -> Result<Vec<Acknowledged>, LogError> {
    if acknowledges.is_empty() {
        return Ok(Vec::new());
    }
    let keys = acknowledges.iter().flat_map(|a| {
        let (p, capability) = (&a.partition, &a.partition.capability);
        [log.keys.stream(p), log.keys.counts(p), log.keys.owners(capability), log.keys.dead(capability)]
    });
    let keys: Vec<_> = keys.collect();
    let mut call = call(&ACKNOWLEDGE, &keys);
    for a in acknowledges {
        call.arg(a.partition.number).arg(a.epoch);
        call.arg(a.tally.handled).arg(a.tally.duplicates).arg(a.tally.dead).arg(a.tally.expired);
        call.arg(a.parked).arg(a.positions.len()).arg(a.foreign.len());
        for position in a.positions.iter().chain(&a.foreign) {
            call.arg(parse::shown(*position));
        }
        call.arg(a.dead.len());
        for (id, letter) in &a.dead {
            call.arg(id).arg(&letter[..]);
        }
    }
    let answer = log.link.run(&ACKNOWLEDGE, &call).await?;
    let answers = parse::items(answer).filter(|a| a.len() == acknowledges.len());
    let answers = answers.ok_or_else(|| parse::unexpected("an acknowledgement"))?;
    let one = |(answer, acknowledge)| match parse::number(answer) {
        Some(1) => {
            log.known.acknowledged(acknowledge);
            Ok(Acknowledged::Done)
        }
        Some(0) => Ok(Acknowledged::Fenced),
        _ => Err(parse::unexpected("an acknowledgement")),
    };
    answers.iter().zip(acknowledges).map(one).collect()
}
