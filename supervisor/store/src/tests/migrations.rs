//! How schemas come to be, and which binaries may use them.

use sea_orm::ConnectionTrait;

use super::bench::{Bench, begin, insert, on_both, texts, words};
use crate::Schema;
use crate::testing::{TestMigration, schema};

const HISTORY: &str = "SELECT name FROM essaim_schema ORDER BY version";

#[tokio::test]
async fn migrations_run_once_in_order_and_data_stays() {
    on_both(async |bench| {
        let database = bench.open(&schema(1)).await;
        let (tx, _) = begin(&database).await;
        insert(&tx, "stays").await.unwrap();
        tx.commit().await.unwrap();
        drop(database);
        let database = bench.open(&schema(3)).await;
        assert_eq!(texts(database.reads(), HISTORY).await, ["m1", "m2", "m3"]);
        assert_eq!(words(&database).await, ["stays"]);
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_nothing_behind() {
    on_both(async |bench| {
        let broken = Schema::new(vec![
            TestMigration::boxed(1),
            Box::new(TestMigration::number(2).failing()),
            TestMigration::boxed(3),
        ]);
        let error = bench.try_open(&broken).await.unwrap_err().to_string();
        assert!(error.contains("migration 2 (`m2`) failed and was rolled back"), "{error}");
        let database = bench.open(&schema(1)).await;
        assert_eq!(texts(database.reads(), HISTORY).await, ["m1"]);
        assert!(database.reads().execute_unprepared("SELECT * FROM t2").await.is_err(), "t2 was undone");
        drop(database);
        let database = bench.open(&schema(2)).await;
        assert_eq!(texts(database.reads(), HISTORY).await, ["m1", "m2"]);
    })
    .await;
}

#[tokio::test]
async fn an_older_binary_starts_beside_a_compatible_schema_and_is_refused_by_another() {
    on_both(async |bench| {
        drop(bench.open(&schema(3).min_compatible(2)).await);
        let older = bench.open(&schema(2)).await;
        let (tx, _) = begin(&older).await;
        insert(&tx, "from the older one").await.unwrap();
        tx.commit().await.unwrap();
        drop(older);
        let refused = bench.try_open(&schema(1)).await.unwrap_err().to_string();
        assert!(refused.contains("needs a binary that knows at least version 2"), "{refused}");
        // The next release contracts, and says so.
        drop(bench.open(&schema(3)).await);
        assert!(bench.try_open(&schema(2)).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_once() {
    let Some(bench) = Bench::postgres() else { return };
    let five = schema(5);
    let opened = futures_util::future::join_all((0..4).map(|_| bench.try_open(&five))).await;
    for database in opened {
        assert_eq!(texts(database.unwrap().reads(), HISTORY).await, ["m1", "m2", "m3", "m4", "m5"]);
    }
}

#[tokio::test]
async fn foreign_keys_do_not_fire_while_a_table_is_rebuilt() {
    let bench = Bench::sqlite();
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    tx.execute_unprepared("CREATE TABLE child (t1_id INTEGER NOT NULL REFERENCES t1 (id) ON DELETE CASCADE)")
        .await
        .unwrap();
    insert(&tx, "parent").await.unwrap();
    tx.execute_unprepared("INSERT INTO child VALUES (1)").await.unwrap();
    tx.commit().await.unwrap();
    drop(database);
    let rebuild = TestMigration::number(2).then(
        "CREATE TABLE new (id INTEGER PRIMARY KEY, word TEXT UNIQUE); INSERT INTO new SELECT * FROM t1; \
         DROP TABLE t1; ALTER TABLE new RENAME TO t1",
    );
    let database = bench.open(&Schema::new(vec![TestMigration::boxed(1), Box::new(rebuild)])).await;
    assert_eq!(texts(database.reads(), "SELECT 'child' FROM child").await, ["child"]);
    drop(database);
    let orphan = TestMigration::number(3).then("DELETE FROM t1");
    let next = TestMigration::number(2);
    let error = bench.try_open(&Schema::new(vec![TestMigration::boxed(1), Box::new(next), Box::new(orphan)])).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("foreign keys point nowhere"), "{error}");
}
