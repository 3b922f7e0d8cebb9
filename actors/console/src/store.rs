//! The console's tables.
//!
//! # Layout
//! - `sessions`: the secret that signs logins, and logins that were ended.

pub(crate) mod sessions;

use essaim::store::Schema;
use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::sea_query::{Query, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, schema as col};

/// The acts of operators, which the audit of the node keeps now.
const FORMER_AUDIT: &str = "console_audit";

/// The migrations.
pub(crate) fn schema() -> Schema {
    Schema::new(vec![Box::new(CreateTables), Box::new(DropAudit)])
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
        let audit = Table::create()
            .table(FORMER_AUDIT)
            .col(col::text("id").primary_key())
            .col(col::big_integer("at_ms"))
            .col(col::text("operator"))
            .col(col::text("act"))
            .to_owned();
        manager.create_table(audit).await?;
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

/// Acts that were kept by a version before this one stay where they are, to be read and dropped by hand: they tell no outcome, and
/// most of them are in the audit of a node, too. Nothing is added to them.
struct DropAudit;

impl MigrationName for DropAudit {
    fn name(&self) -> &str {
        "m0002_drop_audit"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for DropAudit {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let any = Query::select().column("id").from(FORMER_AUDIT).limit(1).to_owned();
        if manager.get_connection().query_one(&any).await?.is_some() {
            tracing::info!(
                table = FORMER_AUDIT,
                "acts of operators that a former version kept stay in the database of `console`"
            );
            return Ok(());
        }
        manager.drop_table(Table::drop().table(FORMER_AUDIT).to_owned()).await
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectOptions, Database, DatabaseConnection};

    use super::*;

    /// The tables of the version before, with so many acts; then brought to this version.
    async fn migrated(acts: u32) -> DatabaseConnection {
        let db = Database::connect(ConnectOptions::new("sqlite::memory:").max_connections(1).to_owned()).await.unwrap();
        let manager = SchemaManager::new(&db);
        CreateTables.up(&manager).await.unwrap();
        for act in 0..acts {
            let row = [act.to_string().into(), 1.into(), "ann".into(), "logs in".into()];
            let columns = ["id", "at_ms", "operator", "act"];
            let insert = Query::insert().into_table(FORMER_AUDIT).columns(columns).values_panic(row).to_owned();
            db.execute(&insert).await.unwrap();
        }
        DropAudit.up(&manager).await.unwrap();
        db
    }

    #[tokio::test]
    async fn the_former_audit_goes_and_acts_that_are_in_it_stay_readable() {
        let all = Query::select().column("act").from(FORMER_AUDIT).to_owned();
        let gone = migrated(0).await.query_all(&all).await.unwrap_err().to_string();
        assert!(gone.contains("no such table"), "{gone}");
        assert_eq!(migrated(2).await.query_all(&all).await.unwrap().len(), 2);
    }
}
