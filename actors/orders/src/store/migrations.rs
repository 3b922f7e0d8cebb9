//! How the table came to be.

use essaim::store::Schema;
use sea_orm_migration::prelude::*;

/// The table of orders.
pub(super) fn schema() -> Schema {
    // A version that knows nothing of forgotten keys may run beside this one: it takes none, and frees none. Nor does it note
    // that a request is under way, and repeats of it are answered with the order.
    let all: Vec<Box<dyn MigrationTrait>> =
        vec![Box::new(TheOrders), Box::new(ForgottenKeys), Box::new(RequestsUnderWay), Box::new(IndexesOfFew)];
    Schema::new(all).min_compatible(1)
}

struct TheOrders;

impl MigrationName for TheOrders {
    fn name(&self) -> &str {
        "m0001_orders"
    }
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().take()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

#[async_trait::async_trait]
impl MigrationTrait for TheOrders {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let orders = Table::create()
            .table("orders")
            .col(text("id").not_null().primary_key())
            .col(text("subject").not_null())
            .col(text("idempotency_key"))
            .col(text("body_hash").not_null())
            .col(text("status").not_null())
            .col(text("lines").not_null())
            .col(integer("total_cents"))
            .col(text("currency"))
            .col(text("rejection"))
            .col(integer("created_at_ms").not_null())
            .col(integer("repair_after_ms"))
            .take();
        manager.create_table(orders).await?;
        let of_subject = |name: &'static str, column: &'static str| {
            Index::create().name(name).table("orders").col("subject").col(column).take()
        };
        // Orders without a key are all different: a null equals no other.
        manager.create_index(of_subject("orders_key", "idempotency_key").unique().take()).await?;
        manager.create_index(of_subject("orders_newest", "id")).await?;
        let unfinished = Index::create().name("orders_unfinished").table("orders").col("repair_after_ms").take();
        manager.create_index(unfinished).await
    }
}

/// Keys outlive the accounts of their customers.
struct ForgottenKeys;

impl MigrationName for ForgottenKeys {
    fn name(&self) -> &str {
        "m0002_forgotten_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ForgottenKeys {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time.
        for column in [text("key_hash"), integer("key_until_ms")] {
            manager.alter_table(Table::alter().table("orders").add_column(column).take()).await?;
        }
        let index =
            |name: &'static str, column: &'static str| Index::create().name(name).table("orders").col(column).take();
        manager.create_index(index("orders_key_hash", "key_hash").unique().take()).await?;
        manager.create_index(index("orders_key_until", "key_until_ms")).await
    }
}

/// A repeated request is told while the first one is under way.
struct RequestsUnderWay;

impl MigrationName for RequestsUnderWay {
    fn name(&self) -> &str {
        "m0003_requests_under_way"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for RequestsUnderWay {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("orders").add_column(integer("answer_by_ms")).take()).await
    }
}

/// Most orders have no key, are decided, and have a customer: they take no part in the indexes of those that are otherwise.
struct IndexesOfFew;

impl MigrationName for IndexesOfFew {
    fn name(&self) -> &str {
        "m0004_indexes_of_few"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for IndexesOfFew {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let few = |name: &'static str, column: &'static str| {
            Index::create().name(name).table("orders").and_where(Expr::col(column).is_not_null()).take()
        };
        for (name, mut index) in [
            ("orders_key", few("orders_key", "idempotency_key").col("subject").col("idempotency_key").unique().take()),
            ("orders_key_hash", few("orders_key_hash", "key_hash").col("key_hash").unique().take()),
            ("orders_key_until", few("orders_key_until", "key_until_ms").col("key_until_ms").take()),
            ("orders_unfinished", few("orders_unfinished", "repair_after_ms").col("repair_after_ms").take()),
        ] {
            manager.drop_index(Index::drop().name(name).table("orders").to_owned()).await?;
            manager.create_index(index.take()).await?;
        }
        Ok(())
    }
}
