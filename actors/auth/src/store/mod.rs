//! auth's tables.
//!
//! All statements are the portable ones of sea-query. Where a row must not change under a transaction's feet it is
//! locked by a write that changes nothing, the row lock that SQLite and PostgreSQL both know.

use essaim::store::Schema;
use sea_orm::DbErr;
use sea_orm_migration::sea_query::{Index, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, schema as col};

pub(crate) mod credentials;
pub(crate) mod first_admin;
pub(crate) mod keys;
pub(crate) mod sessions;
pub(crate) mod throttle;

/// The migrations.
pub(crate) fn schema() -> Schema {
    Schema::new(vec![Box::new(CreateTables)])
}

struct CreateTables;

impl MigrationName for CreateTables {
    fn name(&self) -> &str {
        "m0001_auth"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        credentials(manager).await?;
        keys(manager).await?;
        sessions(manager).await?;
        throttle(manager).await
    }
}

async fn credentials(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use credentials::{Column, Entity};
    let table = Table::create()
        .table(Entity)
        .if_not_exists()
        .col(col::text(Column::UserId).primary_key())
        .col(col::text(Column::PasswordHash))
        .col(col::big_integer(Column::CreatedAt))
        .col(col::big_integer_null(Column::MissingSince))
        .to_owned();
    manager.create_table(table).await?;

    use first_admin::{Column as Admin, Entity as FirstAdmin};
    let table = Table::create()
        .table(FirstAdmin)
        .if_not_exists()
        .col(col::integer(Admin::Id).primary_key())
        .col(col::text(Admin::UserId))
        .col(col::big_integer_null(Admin::DoneAt))
        .to_owned();
    manager.create_table(table).await
}

async fn keys(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use keys::{Column, Entity};
    let table = Table::create()
        .table(Entity)
        .if_not_exists()
        .col(col::big_integer(Column::Generation).primary_key())
        .col(col::text(Column::Kid).unique_key())
        .col(col::blob(Column::Seed))
        .col(col::text(Column::X))
        .col(col::big_integer(Column::CreatedAt))
        .col(col::big_integer(Column::ActivatesAt))
        .to_owned();
    manager.create_table(table).await
}

async fn sessions(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use sessions::session::{Column, Entity};
    let table = Table::create()
        .table(Entity)
        .if_not_exists()
        .col(col::text(Column::Id).primary_key())
        .col(col::text(Column::UserId))
        .col(col::blob(Column::Secret))
        .col(col::big_integer(Column::CreatedAt))
        .col(col::big_integer(Column::ExpiresAt))
        .col(col::big_integer_null(Column::RevokedAt))
        .to_owned();
    manager.create_table(table).await?;
    for (name, column) in [("sessions_by_user", Column::UserId), ("sessions_by_end", Column::ExpiresAt)] {
        let index = Index::create().name(name).table(Entity).col(column).if_not_exists().to_owned();
        manager.create_index(index).await?;
    }

    use sessions::token::{Column as Token, Entity as Tokens};
    let table = Table::create()
        .table(Tokens)
        .if_not_exists()
        .col(col::text(Token::Hash).primary_key())
        .col(col::text(Token::SessionId))
        .col(col::big_integer(Token::Sequence))
        .col(col::big_integer_null(Token::UsedAt))
        .to_owned();
    manager.create_table(table).await?;
    let once = Index::create()
        .name("refresh_tokens_by_session")
        .table(Tokens)
        .col(Token::SessionId)
        .col(Token::Sequence)
        .unique()
        .if_not_exists()
        .to_owned();
    manager.create_index(once).await
}

async fn throttle(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    use throttle::{counter, known};
    let table = Table::create()
        .table(counter::Entity)
        .if_not_exists()
        .col(col::text(counter::Column::Key).primary_key())
        .col(col::big_integer(counter::Column::Failures))
        .col(col::big_integer(counter::Column::LastAt))
        .col(col::big_integer(counter::Column::BlockedUntil))
        .to_owned();
    manager.create_table(table).await?;
    let by_age = Index::create()
        .name("login_failures_by_age")
        .table(counter::Entity)
        .col(counter::Column::LastAt)
        .if_not_exists()
        .to_owned();
    manager.create_index(by_age).await?;

    let table = Table::create()
        .table(known::Entity)
        .if_not_exists()
        .col(col::text(known::Column::Pair).primary_key())
        .col(col::text(known::Column::Account))
        .col(col::big_integer(known::Column::LastAt))
        .to_owned();
    manager.create_table(table).await?;
    let by_account = Index::create()
        .name("known_addresses_by_account")
        .table(known::Entity)
        .col(known::Column::Account)
        .if_not_exists()
        .to_owned();
    manager.create_index(by_account).await
}
