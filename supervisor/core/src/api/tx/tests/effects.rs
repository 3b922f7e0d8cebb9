//! What the runtime writes with a handler's transaction, and what its handler hears of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use essaim_base::trace::TraceContext;
use essaim_config::NearConfig;
use essaim_contract::MessageId;
use essaim_durable::{DeliveryContext, HandlerEffects, MessageContext, OutboxQueue};
use essaim_near::Near;
use essaim_store::tables::fence;
use essaim_store::testing::bench::{Bench, begin, insert, words};
use essaim_store::testing::schema;
use essaim_store::{Database, TxError};
use sea_orm::DbErr;

use crate::api::tx::Tx;
use crate::node::near_bounds;

/// The transaction of a durable message of partition 0, under this epoch of its owner.
async fn applying(bench: &Bench, database: &Database, epoch: u64, offset: u64) -> (Tx<'static>, Arc<DeliveryContext>) {
    let env = bench.env.clone();
    let delivery = Arc::new(DeliveryContext {
        id: MessageId::planned("m", 1).unwrap(),
        partition: 0,
        epoch,
        offset,
        parked: None,
        queue: Some(OutboxQueue::of_partition(0)),
        patience: std::time::Duration::MAX,
        copy: None,
        attempt: 1,
        repeated: AtomicBool::default(),
        rehearsal: None,
    });
    let trace = TraceContext::root(&env);
    let message_context = MessageContext {
        trace,
        trace_state: Default::default(),
        records: None,
        principal: None,
        metadata: None,
        most_bytes: 1_000,
        keys: Default::default(),
    };
    let near = Near::new(near_bounds(&NearConfig::default()), env.clone());
    let effects = HandlerEffects::new(Some(delivery.clone()), None, message_context, Vec::new(), env);
    (Tx::new(begin(database).await.0, Some(effects), &near), delivery)
}

#[tokio::test]
async fn a_copy_that_comes_too_late_commits_nothing_and_is_known_as_a_duplicate() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (take, _) = begin(&database).await;
    fence::take(&take, 0, 7).await.unwrap();
    take.commit().await.unwrap();
    for (offset, late) in [(1, false), (2, true)] {
        let (tx, delivery) = applying(&bench, &database, 7, offset).await;
        insert(&tx, &format!("word {offset}")).await.unwrap();
        let committed = tx.commit().await;
        assert_eq!(matches!(committed, Err(TxError::Repeated)), late, "{committed:?}");
        assert_eq!((committed.is_err(), delivery.is_repeated()), (late, late));
    }
    assert_eq!(words(&database).await, ["word 1"]);
}

#[tokio::test]
async fn the_handler_of_a_message_whose_partition_was_lost_is_told_so_and_its_neighbour_is_not() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let neighbour = async {
        let (tx, _) = begin(&database).await;
        insert(&tx, "plain").await.unwrap();
        tx.commit().await
    };
    let (late, delivery) = applying(&bench, &database, 7, 1).await;
    let (neighbour, late) = futures_util::future::join(neighbour, late.commit()).await;
    assert!(matches!(late, Err(TxError::Fenced)), "{late:?}");
    assert!(matches!(neighbour, Err(TxError::Database(DbErr::Conn(_)))), "{neighbour:?}");
    assert!(!delivery.is_repeated());
    assert_eq!(words(&database).await, [""; 0]);
}
