//! Entries and keys that no log of ours has written.

use super::*;

const FOREIGN: &[&str] = &[
    "junk x",
    "c 1 f 0",
    "c -1 f 0 b xyz",
    "c nan f 0 b xyz",
    "c 9007199254740992 f 0 b xyz",
    "c 1e21 f 0 b xyz",
    "c +1 f 0 b xyz",
    "c 1 f +5 b xyz",
    "c 1 f x b xyz",
    "c 1 f 18446744073709551615 b xyz",
    "c 1 g 0 b xyz",
];

fn stream(log: &RedisLog, number: u32) -> String {
    log.keys.stream(&partition(number))
}

#[tokio::test]
async fn a_foreign_entry_is_read_by_itself_and_removed_once() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    log.register("shop", 2, &[]).await.unwrap();
    let epoch = log.heartbeat(&heartbeat("a:1")).await.unwrap()[0].epoch;
    store(&log, 0, "before").await.unwrap();
    for fields in FOREIGN {
        let _: String = server.command(&format!("XADD {} * {fields}", stream(&log, 0))).await;
    }
    store(&log, 0, "behind").await.unwrap();
    store(&log, 1, "beside").await.unwrap();
    let counts = log.counts("shop").await.unwrap();
    assert_eq!((counts[0].appended, counts[0].waiting), (2, 2), "they are no messages that were appended");
    assert_eq!(texts(&log, 1).await, ["beside"]);

    let all = entries(&log, 0, Position::default(), LONG).await;
    let (foreign, ours): (Vec<_>, Vec<_>) = all.iter().partition(|entry| entry.foreign);
    assert_eq!((foreign.len(), ours.len(), &foreign[0].batch[..]), (FOREIGN.len(), 2, &b"junk=x\n"[..]));
    let at = |entries: &[&Entry]| entries.iter().map(|entry| entry.position).collect();
    let tally = Tally { handled: 2, dead: foreign.len() as u64, ..Tally::default() };
    let dead = vec![("foreign".to_string(), foreign[0].batch.clone())];
    let done = Acknowledge { foreign: at(&foreign), tally, dead, ..done(0, epoch, at(&ours)) };
    for time in 0..2 {
        assert_eq!(log.acknowledge(std::slice::from_ref(&done)).await.unwrap(), [Acknowledged::Done]);
        let count = log.counts("shop").await.unwrap().remove(0);
        let expected = (2 + FOREIGN.len() as u64, 0, tally);
        assert_eq!((count.appended, count.waiting, count.tally), expected, "time {time}");
    }
    assert!(entries(&log, 0, Position::default(), Duration::from_millis(1)).await.is_empty());
}

#[tokio::test]
async fn many_foreign_entries_are_counted_in_no_time_as_nothing() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    log.register("shop", 1, &[]).await.unwrap();
    let mut pipe = redis::pipe();
    for _ in 0..20_000 {
        pipe.cmd("XADD").arg(stream(&log, 0)).arg("*").arg("junk").arg("x");
    }
    let client = redis::Client::open(server.url()).unwrap();
    let _: Vec<String> = pipe.query_async(&mut client.get_multiplexed_async_connection().await.unwrap()).await.unwrap();
    let counts = log.counts("shop").await.unwrap();
    assert_eq!((counts[0].appended, counts[0].waiting), (0, 0));
}

#[tokio::test]
async fn a_key_that_is_no_stream_stops_its_own_partition_alone() {
    let Some(server) = Server::start(&[]).await else { return };
    let log = on(&server).await;
    log.register("shop", 2, &[]).await.unwrap();
    let _: () = server.command(&format!("SET {} x", stream(&log, 0))).await;
    store(&log, 1, "beside").await.unwrap();
    let reading = |number| Reading { partition: partition(number), after: Position::default(), most: 8 };
    let read = async |log: &RedisLog| loop {
        let found = log.read(&[reading(0), reading(1)], LONG).await.unwrap();
        if !found.is_empty() {
            return found;
        }
    };
    assert_eq!(read(&log).await[0].0, partition(1));
    let version = log.registry().await.unwrap().version;
    let refused = log.append(version, 9, &[append(0, 1, "a")]).await;
    assert!(matches!(&refused, Err(AppendError::NotStored(message)) if message.contains("namespace")), "{refused:?}");

    let _: u64 = server.command(&format!("DEL {}", stream(&log, 0))).await;
    store(&log, 0, "again").await.unwrap();
    let until = Instant::now() + LONG;
    while !read(&log).await.iter().any(|(partition, _)| partition.number == 0) {
        assert!(Instant::now() < until, "it is looked at again");
    }
}
