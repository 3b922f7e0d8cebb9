//! What transactions outdate in a near cache.

use std::convert::Infallible;

use bytes::Bytes;
use essaim_config::NearConfig;
use essaim_near::Near;
use essaim_store::Database;
use essaim_store::testing::bench::{Bench, begin, insert};
use essaim_store::testing::schema;
use futures_util::poll;
use tokio::pin;

use crate::api::tx::Tx;
use crate::node::near_bounds;

async fn open() -> (Bench, Database, Near) {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let near = Near::new(near_bounds(&NearConfig::default()), bench.env.clone());
    (bench, database, near)
}

/// A transaction that outdates the one entry.
async fn outdating(database: &Database, near: &Near) -> Tx<'static> {
    let tx = Tx::new(begin(database).await.0, None, near);
    tx.outdates("ns", "k");
    tx
}

/// Whether a reader who comes now finds the entry kept afterwards.
async fn is_kept(near: &Near) -> bool {
    let load = async { Ok::<_, Infallible>(Bytes::from_static(b"1")) };
    let Ok(_) = near.get_with("ns", "k", load).await;
    near.get("ns", "k").is_some()
}

#[tokio::test]
async fn nothing_is_kept_from_the_change_to_its_end_however_it_ends() {
    let (_bench, database, near) = open().await;
    for ends in ["committed", "rolled back", "dropped", "failed", "panicked"] {
        assert!(is_kept(&near).await);
        let tx = outdating(&database, &near).await;
        assert!(!is_kept(&near).await, "{ends}");
        match ends {
            "committed" => tx.commit().await.unwrap(),
            "rolled back" => tx.rollback().await.unwrap(),
            "dropped" => drop(tx),
            "panicked" => {
                assert!(tokio::spawn(async move { panic!("with {}", std::mem::size_of_val(&tx)) }).await.is_err())
            }
            _ => {
                insert(&tx, ends).await.unwrap();
                insert(&tx, ends).await.unwrap_err();
                tx.commit().await.unwrap_err();
            }
        }
        assert!(is_kept(&near).await, "{ends}");
    }
}

#[tokio::test]
async fn after_a_commit_in_doubt_nothing_is_kept_until_a_later_transaction_has_begun() {
    let (_bench, database, near) = open().await;
    let tx = outdating(&database, &near).await;
    let neighbour = begin(&database);
    pin!(neighbour);
    assert!(poll!(&mut neighbour).is_pending());
    {
        let commit = tx.commit();
        pin!(commit);
        assert!(poll!(commit).is_pending(), "it waits for the neighbour, who joins");
    }
    let (neighbour, _) = neighbour.await;
    assert!(!is_kept(&near).await, "it may be committed any moment");
    neighbour.commit().await.unwrap();
    assert!(!is_kept(&near).await, "nobody was told how it ended");
    let (later, _) = begin(&database).await;
    assert!(is_kept(&near).await, "there is one writer, so the one in doubt has ended");
    drop(later);
}

#[tokio::test]
async fn members_of_a_group_keep_their_bars_until_it_is_committed() {
    let (_bench, database, near) = open().await;
    let first = outdating(&database, &near).await;
    let joins = begin(&database);
    pin!(joins);
    assert!(poll!(&mut joins).is_pending());
    let commit = first.commit();
    pin!(commit);
    assert!(poll!(&mut commit).is_pending());
    let (second, _) = joins.await;
    assert!(!is_kept(&near).await);
    let (first, second) = futures_util::future::join(commit, second.commit()).await;
    assert!(first.is_ok() && second.is_ok());
    assert!(is_kept(&near).await);
}
