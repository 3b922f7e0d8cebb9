//! Measured counts: those of the stored entries.

use essaim_protocol::log::{LogError, Partition, PartitionCount, Tally};
use redis::Value;

use super::scripts::{MEASURE, call};
use super::{RedisLog, parse, registry, restore};

/// Entries of the first page.
const FIRST_PAGE: u64 = 16;
/// The most entries of a page.
const MOST_OF_A_PAGE: u64 = 1_024;
/// A page of more bytes is followed by smaller ones, since the server reads them to count their messages.
const BYTES_OF_A_PAGE: u64 = 1 << 20;

pub async fn counts(log: &RedisLog, capability: &str) -> Result<Vec<PartitionCount>, LogError> {
    // Otherwise counts that the server has lost since the last heartbeat would be taken for true.
    restore::check(log).await?;
    let partitions = registry::partitions(log, capability).await?;
    let mut counts = Vec::new();
    for number in 0..partitions {
        counts.push(count(log, &Partition { capability: capability.into(), number }).await?);
    }
    Ok(counts)
}

/// Messages in the entries of a partition.
pub async fn waiting(log: &RedisLog, partition: &Partition) -> Result<u64, LogError> {
    Ok(count(log, partition).await?.waiting)
}

/// Messages appended to a partition, as the server has counted them.
pub async fn appended(log: &RedisLog, partition: &Partition) -> Result<u64, LogError> {
    let mut appended = redis::cmd("HGET");
    appended.arg(log.keys.counts(partition)).arg("appended");
    let answer = log.link.ask(&appended).await?;
    if answer == Value::Nil {
        return Ok(0);
    }
    parse::number(&answer).ok_or_else(|| parse::unexpected("a count"))
}

/// Counts of a partition in use are of one moment only if its entries fit in one page.
async fn count(log: &RedisLog, partition: &Partition) -> Result<PartitionCount, LogError> {
    let capability = &partition.capability;
    let keys = [
        log.keys.stream(partition),
        log.keys.counts(partition),
        log.keys.owners(capability),
        log.keys.hosts(capability),
    ];
    let (mut from, mut page, mut waiting) = ("-".to_string(), FIRST_PAGE, 0);
    let mut known = None;
    loop {
        let mut measure = call(&MEASURE, &keys);
        measure.arg(partition.number).arg(&from).arg(page);
        let answer = log.link.run(&MEASURE, &measure).await?;
        let measured = measured(answer).ok_or_else(|| parse::unexpected("a measurement"))?;
        waiting += measured.messages;
        let count = known.get_or_insert(measured.count);
        if measured.entries < page {
            count.number = partition.number;
            count.waiting = waiting;
            return Ok(count.clone());
        }
        from = format!("({}", measured.last);
        page = if measured.bytes > BYTES_OF_A_PAGE { page / 2 } else { page * 2 };
        page = page.clamp(1, MOST_OF_A_PAGE);
    }
}

/// One page of a partition's entries, and the stored counts.
struct MeasuredPage {
    entries: u64,
    bytes: u64,
    messages: u64,
    last: String,
    count: PartitionCount,
}

fn measured(answer: Value) -> Option<MeasuredPage> {
    let answer = parse::items(answer)?;
    let number = |i: usize| answer.get(i).and_then(parse::number);
    let text = |i: usize| answer.get(i).and_then(parse::text);
    let tally = Tally { handled: number(5)?, duplicates: number(6)?, dead: number(7)?, expired: number(8)? };
    let owner = parse::owner(text(9)?).filter(|(_, host)| !host.is_empty());
    let owner = owner.map(|(epoch, host)| (host.to_string(), epoch));
    Some(MeasuredPage {
        entries: number(0)?,
        bytes: number(1)?,
        messages: number(2)?,
        last: text(3)?.into(),
        count: PartitionCount { number: 0, appended: number(4)?, waiting: 0, tally, owner },
    })
}
