//! The dead letters of capabilities without a database: a hash by message id, which has no order.

use bytes::Bytes;
use essaim_protocol::log::{DeadLetterPage, LogError};
use redis::Value;

use super::scripts::{FORGET, call};
use super::{RedisLog, parse};

pub async fn dead_count(log: &RedisLog, capability: &str) -> Result<u64, LogError> {
    let answer = log.link.ask(redis::cmd("HLEN").arg(log.keys.dead(capability))).await?;
    parse::number(&answer).ok_or_else(|| parse::unexpected("a count of dead letters"))
}

pub async fn dead(log: &RedisLog, capability: &str, from: Option<&str>, most: u32) -> Result<DeadLetterPage, LogError> {
    let mut scan = redis::cmd("HSCAN");
    scan.arg(log.keys.dead(capability)).arg(from.unwrap_or("0")).arg("COUNT").arg(most.max(1));
    let answer = log.link.ask(&scan).await?;
    scanned(answer).ok_or_else(|| parse::unexpected("a look at dead letters"))
}

fn scanned(answer: Value) -> Option<DeadLetterPage> {
    let [cursor, page] = <[Value; 2]>::try_from(parse::items(answer)?).ok()?;
    let letter = |(id, letter): (Value, Value)| Some((parse::text(&id)?.to_string(), parse::bytes(letter)?));
    let letters = parse::pairs(page)?.into_iter().map(letter).collect::<Option<_>>()?;
    let next = Some(parse::text(&cursor)?.to_string()).filter(|cursor| cursor != "0");
    Some(DeadLetterPage { letters, next })
}

pub async fn dead_with(log: &RedisLog, capability: &str, ids: &[String]) -> Result<Vec<(String, Bytes)>, LogError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let answer = log.link.ask(redis::cmd("HMGET").arg(log.keys.dead(capability)).arg(ids)).await?;
    let letters = parse::items(answer).filter(|letters| letters.len() == ids.len());
    let letters = letters.ok_or_else(|| parse::unexpected("a look at dead letters"))?;
    let found = ids.iter().zip(letters).filter_map(|(id, letter)| Some((id.clone(), parse::bytes(letter)?)));
    Ok(found.collect())
}

pub async fn forget(log: &RedisLog, capability: &str, letters: &[(String, Bytes)]) -> Result<u64, LogError> {
    let mut forget = call(&FORGET, &[log.keys.dead(capability), log.keys.state(capability)]);
    for (id, letter) in letters {
        forget.arg(id).arg(&letter[..]);
    }
    let answer = log.link.run(&FORGET, &forget).await?;
    parse::number(&answer).ok_or_else(|| parse::unexpected("the forgetting of dead letters"))
}
