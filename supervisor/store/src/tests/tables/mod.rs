//! The runtime's own tables: what is written comes back, and the reads that happen often use indexes.

mod dead;
mod fence;
mod inbox;
mod migrations;
mod one_effect;
mod outbox;
mod parked;
mod plans;
mod retained;
mod schedules;
mod speed;
mod tx_effects;

use super::bench::{self, begin, on_both};
use crate::tables::fence::Fence;
use crate::tables::ledger;
use crate::testing::schema;
use crate::{Database, Transaction};

/// Ids that break SQL which is put together by hand.
const AWKWARD: [&str; 5] = ["it's", "\"quoted\"", "naïve ☃ \u{1f980}", "$1; DROP TABLE essaim_inbox; --", "a\\'b%_\n"];

/// Runs the test in one transaction on either kind of database.
async fn in_a_transaction(test: impl AsyncFn(&Transaction)) {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        test(&tx).await;
        tx.commit().await.unwrap();
    })
    .await;
}

/// Runs one step in a transaction of its own.
async fn committed<T>(database: &Database, step: impl AsyncFn(&Transaction) -> T) -> T {
    let (tx, _) = begin(database).await;
    let result = step(&tx).await;
    tx.commit().await.unwrap();
    result
}

/// The state of every partition.
async fn fences(db: &impl crate::own_rows::OwnQueries) -> Vec<Fence> {
    ledger::read(db).await.unwrap().iter().map(|line| line.fence).collect()
}
