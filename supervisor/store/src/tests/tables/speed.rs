//! A measurement, to be run by hand with `--ignored --nocapture`.

use essaim_protocol::log::Tally;

use super::bench::{Bench, texts};
use super::{committed, on_both, schema};
use crate::tables::fence;
use crate::tables::inbox::{self, InboxMark};
use crate::tables::outbox::{self, OutboxRow};

const BATCH: u64 = 64;
const BATCHES: u64 = 1_000;

#[tokio::test]
#[ignore = "a measurement"]
async fn batches_of_messages_that_are_looked_for_and_remembered() {
    on_both(async |bench: Bench| {
        let database = bench.open(&schema(1)).await;
        let epoch = 1;
        committed(&database, async |tx| fence::take(tx, 0, epoch).await.unwrap()).await;
        let began = bench.env.now();
        for batch in 0..BATCHES {
            let ids: Vec<String> = (0..BATCH).map(|_| bench.env.id().to_string()).collect();
            let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
            committed(&database, async |tx| {
                let tally = Tally { handled: BATCH, ..Tally::default() };
                assert!(fence::advance(tx, 0, epoch, tally).await.unwrap());
                assert!(inbox::seen(tx, &texts).await.unwrap().is_empty());
                let marks: Vec<InboxMark> = (batch * BATCH..)
                    .zip(&texts)
                    .map(|(offset, id)| InboxMark { id, offset, at_ms: bench.env.wall_ms(), effect: true })
                    .collect();
                inbox::insert(tx, &marks).await.unwrap();
            })
            .await;
        }
        let took = bench.env.now() - began;
        let rows = (BATCH * BATCHES) as f64 / took.as_secs_f64();
        println!("{}: {rows:.0} rows/s, {took:?} for {BATCHES} batches of {BATCH}", database.kind());
        assert_eq!(inbox::count(database.reads()).await.unwrap(), BATCH * BATCHES);
    })
    .await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn an_outbox_in_which_a_million_messages_wait_is_looked_at() {
    on_both(async |bench: Bench| {
        let database = bench.open(&schema(1)).await;
        let message = OutboxRow { event: true, target: None, record: vec![7; 300] };
        let page = vec![message; 10_000];
        for part in 0..100 {
            let queue = format!("p/{}", part % 8);
            committed(&database, async |tx| outbox::insert(tx, &queue, part * 10_000 + 1, &page).await.unwrap()).await;
        }
        let reads = database.reads();
        for what in ["grouped", "lanes", "one lane", "counted"] {
            let began = bench.env.now();
            let found = match what {
                "grouped" => {
                    let all = "SELECT lane FROM (SELECT lane, min(seq), max(seq), count(*) FROM essaim_outbox GROUP BY lane) AS l";
                    texts(reads, all).await.len()
                }
                "lanes" => outbox::queues(reads).await.unwrap().len(),
                "one lane" => outbox::extent(reads, "p/1", 100_001).await.unwrap().count as usize,
                _ => outbox::count(reads, 10_001).await.unwrap() as usize,
            };
            println!("{}: {what}: {found} in {:?}", database.kind(), bench.env.now() - began);
        }
    })
    .await;
}
