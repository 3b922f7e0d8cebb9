//! How the tables came to be.

use essaim::store::Schema;
use sea_orm_migration::prelude::*;

/// The tables of catalog.
pub(crate) fn schema() -> Schema {
    Schema::new(vec![Box::new(ProductsAndReservations)])
}

struct ProductsAndReservations;

impl MigrationName for ProductsAndReservations {
    fn name(&self) -> &str {
        "m0001_products_and_reservations"
    }
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

#[async_trait::async_trait]
impl MigrationTrait for ProductsAndReservations {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let products = Table::create()
            .table("products")
            .col(text("id").primary_key())
            .col(text("sku").unique_key())
            .col(text("name"))
            .col(integer("price_cents"))
            .col(text("currency"))
            // The conditional updates keep stock from going negative; the database would stop a mistake in them.
            .col(integer("stock").check(Expr::col("stock").gte(0)))
            .col(integer("created_at_ms"))
            .take();
        manager.create_table(products).await?;
        let reservations = Table::create()
            .table("reservations")
            .col(text("order_id").primary_key())
            .col(text("state"))
            .col(text("lines"))
            .col(ColumnDef::new("refusal").text())
            .col(integer("changed_at_ms"))
            .take();
        manager.create_table(reservations).await
    }
}
