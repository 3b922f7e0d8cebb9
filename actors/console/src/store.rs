//! The console's tables.
//!
//! # Layout
//! - `audit`: who changed what. `sessions`: the secret that signs logins, and logins that were ended.

pub(crate) mod audit;
pub(crate) mod sessions;

use essaim::store::Schema;
use sea_orm::DbErr;
use sea_orm_migration::sea_query::Table;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, schema as col};

/// The migrations.
pub(crate) fn schema() -> Schema {
    Schema::new(vec![Box::new(CreateTables)])
}

struct CreateTables;

impl MigrationName for CreateTables {
    fn name(&self) -> &str {
        "m0001_console"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use audit::{Column as Audit, Entity as Audits};
        let audits = Table::create()
            .table(Audits)
            .col(col::text(Audit::Id).primary_key())
            .col(col::big_integer(Audit::AtMs))
            .col(col::text(Audit::Operator))
            .col(col::text(Audit::Act))
            .to_owned();
        manager.create_table(audits).await?;
        use sessions::secret::{Column as Secret, Entity as Secrets};
        let secrets = Table::create()
            .table(Secrets)
            .col(col::integer(Secret::Id).primary_key())
            .col(col::text(Secret::Secret))
            .to_owned();
        manager.create_table(secrets).await?;
        use sessions::ended::{Column as Ended, Entity as Ends};
        let ended = Table::create()
            .table(Ends)
            .col(col::text(Ended::Session).primary_key())
            .col(col::big_integer(Ended::UntilMs))
            .to_owned();
        manager.create_table(ended).await
    }
}
