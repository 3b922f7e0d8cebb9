//! The outbox's queues: their numbers, and when their relays look.

use essaim_base::trace::{TraceContext, TraceState};
use essaim_config::NearConfig;
use essaim_core::api::tx::Tx;
use essaim_core::node::near_bounds;
use essaim_durable::{DeliveryContext, HandlerEffects, MessageContext, Outbox, OutboxQueue};
use essaim_near::Near;
use essaim_store::{Database, Transaction, TxError};
use futures_util::poll;
use tokio::pin;

use super::*;

/// What goes with a transaction that sends through this outbox.
fn effects(outbox: &Arc<Outbox>, delivery: Option<DeliveryContext>) -> HandlerEffects {
    let env = Env::system();
    let message_context = MessageContext {
        trace: TraceContext::root(&env),
        trace_state: TraceState::default(),
        records: None,
        principal: None,
        metadata: None,
        most_bytes: 10_000,
        keys: Arc::default(),
    };
    HandlerEffects::new(delivery.map(Arc::new), Some(outbox.clone()), message_context, Vec::new(), env)
}

/// The transaction of a handler.
async fn handlers_tx(database: &Database, effects: HandlerEffects) -> Tx<'static> {
    let near = Near::new(near_bounds(&NearConfig::default()), Env::system());
    Tx::new(begin(database).await, Some(effects), &near)
}

async fn begin(database: &Database) -> Transaction {
    database.begin().await.unwrap()
}

#[tokio::test]
async fn the_outbox_of_a_partition_that_is_taken_anew_goes_on_and_uses_no_number_again() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let durable = t.node.bus().durable().unwrap().clone();
    let (database, queue) = (t.database("shop"), OutboxQueue::of_partition(7));
    let outbox = Outbox::new(&durable, database, OutboxQueue::of_node("test", "1"));
    t.run(async {
        let before = outbox.open(&queue, 1).await.unwrap();
        let first = outbox.reserve_numbers(&queue, 3).unwrap();
        // It was lost and is this host's again before the end of the work under the first ownership.
        let after = outbox.open(&queue, 2).await.unwrap();
        drop(before);
        let second = outbox.reserve_numbers(&queue, 1).unwrap();
        assert!(first > Outbox::floor(1) && second > Outbox::floor(2), "{first} {second}");
        // As before, under the same ownership.
        let again = outbox.open(&queue, 2).await.unwrap();
        drop(after);
        let third = outbox.reserve_numbers(&queue, 1).expect("what was opened since is not closed");
        assert!(third > second, "{third} {second}");
        drop(again);
        assert_eq!(outbox.reserve_numbers(&queue, 1), None, "a queue that is closed has no numbers");
    })
    .await;
}

/// Microseconds from 1970 to the beginning of a year, about.
fn epoch_of(year: u64) -> u64 {
    (year - 1970) * 365 * 24 * 3_600 * 1_000_000
}

#[tokio::test]
async fn the_numbers_of_a_queue_rise_whatever_clocks_say_and_however_short_an_ownership_is() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let durable = t.node.bus().durable().unwrap().clone();
    let database = t.database("shop");
    // A host whose clock was far ahead is followed by one whose clock is right: epochs rise all the same.
    let epochs = [epoch_of(2026), epoch_of(2040), epoch_of(2050), epoch_of(2500)];
    for queue in [OutboxQueue::of_partition(7), OutboxQueue::of_partition(8).overflow("till")] {
        let mut last = 0;
        for epoch in epochs.into_iter().flat_map(|epoch| epoch..epoch + 3) {
            let outbox = Outbox::new(&durable, database.clone(), OutboxQueue::of_node("test", "1"));
            t.run(async {
                let open = outbox.open(&queue, epoch).await.unwrap();
                let first = outbox.reserve_numbers(&queue, 5_000).unwrap();
                assert!(first > last, "{queue} under {epoch}: {first} after {last}");
                last = first + 4_999;
                let sent = tables::outbox::OutboxRow { event: true, target: Some("till".into()), record: vec![1] };
                let tx = begin(&database).await;
                tables::outbox::insert(&tx, &queue, last, std::slice::from_ref(&sent)).await.unwrap();
                tx.commit().await.unwrap();
                outbox.committed(&queue, 1);
                // Nothing is left that has the numbers.
                while tables::outbox::count(database.reads(), 1).await.unwrap() > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                drop(open);
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_is_sent_under_a_queue_that_is_closed_is_refused_and_overtakes_nothing() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let durable = t.node.bus().durable().unwrap().clone();
    let (database, queue) = (t.database("shop"), OutboxQueue::of_partition(7));
    let outbox = Outbox::new(&durable, database.clone(), OutboxQueue::of_node("test", "1"));
    t.run(async {
        let tx = begin(&database).await;
        tables::fence::take(&tx, 7, 1).await.unwrap();
        tx.commit().await.unwrap();
        // The log has given the partition away, and the database does not know it yet.
        drop(outbox.open(&queue, 1).await.unwrap());
        let waits = tables::outbox::OutboxRow { event: false, target: None, record: vec![1] };
        let tx = begin(&database).await;
        tables::outbox::insert(&tx, &queue, Outbox::floor(1) + 1, std::slice::from_ref(&waits)).await.unwrap();
        tx.commit().await.unwrap();

        let id = MessageId::planned("m", 1).unwrap();
        let (parked, patience, copy, repeated) = Default::default();
        let (partition, epoch, offset) = (7, 1, 1);
        let delivery = DeliveryContext {
            id,
            partition,
            epoch,
            offset,
            parked,
            queue: Some(queue.clone()),
            patience,
            copy,
            attempt: 1,
            repeated,
            rehearsal: None,
        };
        let tx = handlers_tx(&database, effects(&outbox, Some(delivery))).await;
        write(&tx, "never").await.unwrap();
        tx.send(note("a", "later")).await.unwrap();
        let refused = tx.commit().await;
        assert!(matches!(refused, Err(TxError::Fenced)), "{refused:?}");
        let there = tables::outbox::load(database.reads(), &queue, 0, 9).await.unwrap();
        assert_eq!(there, [(Outbox::floor(1) + 1, waits)]);
        assert!(read(database.reads()).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_one_sends_that_is_dropped_while_its_commit_goes_on_leaves_by_itself() {
    let t = Stage::start(&["shop"], |s| s.store.transaction_limit_ms = 500).await;
    let (database, host) = (t.database("shop"), t.node.bus().host("shop").unwrap());
    let outbox = host.outbox().unwrap();
    t.run(async {
        let tx = handlers_tx(&database, effects(&outbox, None)).await;
        tx.send(note("a", "sent")).await.unwrap();
        let neighbour = begin(&database);
        pin!(neighbour);
        assert!(poll!(&mut neighbour).is_pending());
        {
            let commit = tx.commit();
            pin!(commit);
            assert!(poll!(&mut commit).is_pending());
        }
        let neighbour = neighbour.await;
        // The relay looks and finds nothing, since nothing is committed yet.
        while outbox.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        neighbour.commit().await.unwrap();
    })
    .await;
    let arrives = tokio::time::timeout(Duration::from_secs(20), t.words("shop", 1)).await;
    assert_eq!(arrives.expect("the relay looks again"), ["sent"]);
}
