//! The table of names.

use essaim::store::Schema;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, Set};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, schema, sea_query::Table};

/// The migrations, oldest first; a change to the table is a new one at the end.
pub(crate) fn schema() -> Schema {
    Schema::new(vec![Box::new(CreateTable)])
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "hello_names")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub times: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
use row::{ActiveModel, Column, Entity};

struct CreateTable;

impl MigrationName for CreateTable {
    fn name(&self) -> &str {
        "m0001_names"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Entity)
            .col(schema::text(Column::Name).primary_key())
            .col(schema::big_integer(Column::Times))
            .to_owned();
        manager.create_table(table).await
    }
}

/// Counts one more greeting of a name; how many there have been.
pub(crate) async fn count(db: &impl ConnectionTrait, name: &str) -> Result<i64, DbErr> {
    let first = ActiveModel { name: Set(name.into()), times: Set(1) };
    let again =
        OnConflict::column(Column::Name).value(Column::Times, Expr::col((Entity, Column::Times)).add(1)).to_owned();
    Entity::insert(first).on_conflict(again).exec_without_returning(db).await?;
    let row = Entity::find_by_id(name).one(db).await?;
    row.map(|row| row.times).ok_or_else(|| DbErr::RecordNotFound(name.into()))
}
