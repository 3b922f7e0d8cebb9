//! How the table came to be.

use essaim::store::Schema;
use essaim_text::Mailbox;
use sea_orm::sea_query::{ColumnDef, Expr, Index, Query, Table};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, schema};

use super::row::{Column, Entity};

/// The table of users.
pub(crate) fn schema() -> Schema {
    // A version that writes a key without a look at the domain may run beside this one: its users are found, too.
    Schema::new(vec![Box::new(CreateTable), Box::new(OneKeyAMailbox)]).min_compatible(1)
}

struct CreateTable;

impl MigrationName for CreateTable {
    fn name(&self) -> &str {
        "m0001_users"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Entity)
            .if_not_exists()
            .col(schema::text(Column::Id).primary_key())
            .col(schema::text(Column::Email))
            .col(schema::text(Column::EmailKey).unique_key())
            .col(schema::text(Column::Name))
            .col(schema::text(Column::Role))
            .col(schema::big_integer(Column::CreatedAt))
            .to_owned();
        manager.create_table(table).await
    }
}

/// Addresses whose domains are written in other ways are one mailbox.
struct OneKeyAMailbox;

impl MigrationName for OneKeyAMailbox {
    fn name(&self) -> &str {
        "m0002_one_key_a_mailbox"
    }
}

/// Rows that are looked at in one go.
const BATCH: u64 = 500;

#[async_trait::async_trait]
impl MigrationTrait for OneKeyAMailbox {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let shared = ColumnDef::new(Column::SharedKey).text().null().take();
        manager.alter_table(Table::alter().table(Entity).add_column(shared).take()).await?;
        let index = Index::create().name("users_shared_key").table(Entity).col(Column::SharedKey).take();
        manager.create_index(index).await?;
        let db = manager.get_connection();
        let mut after = String::new();
        loop {
            let rows = Entity::find().select_only().columns([Column::Id, Column::Email, Column::EmailKey]);
            let rows = rows.filter(Column::Id.gt(&after)).order_by_asc(Column::Id).limit(BATCH);
            let rows: Vec<(String, String, String)> = rows.into_tuple().all(db).await?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after.clone_from(last);
            for (id, email, key) in rows {
                // What is no address any more stays as it is, and is found by the key that it has.
                if let Some(Mailbox { key: better, .. }) = Mailbox::try_new(&email).ok().filter(|m| m.key != key) {
                    rekey(db, &id, &better).await?;
                }
            }
        }
    }
}

/// Gives a user the key of the mailbox, unless another one has it: then it is noted.
async fn rekey(db: &impl ConnectionTrait, id: &str, key: &str) -> Result<(), DbErr> {
    let taken = Query::select().column(Column::Id).from(Entity).and_where(Column::EmailKey.eq(key)).take();
    let free = Entity::update_many().col_expr(Column::EmailKey, Expr::value(key)).filter(Column::Id.eq(id));
    let done = free.filter(Expr::not_exists(taken)).exec(db).await?;
    if done.rows_affected == 0 {
        let shared = Entity::update_many().col_expr(Column::SharedKey, Expr::value(key)).filter(Column::Id.eq(id));
        shared.exec(db).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use essaim_text::caseless;
    use essaim_users_contract::Role;
    use sea_orm::{ConnectOptions, Database, DatabaseConnection, Set};

    use super::*;
    use crate::profile::{Email, Name};
    use crate::store::row::ActiveModel;
    use crate::store::{Updated, delete, find, insert, sharing, update};

    /// The table as the version before left it, with these addresses; then brought to this version.
    async fn migrated(addresses: &[&str]) -> DatabaseConnection {
        let db = Database::connect(ConnectOptions::new("sqlite::memory:").max_connections(1).to_owned()).await.unwrap();
        let manager = SchemaManager::new(&db);
        CreateTable.up(&manager).await.unwrap();
        for (n, email) in addresses.iter().enumerate() {
            let row = ActiveModel {
                id: Set(n.to_string()),
                email: Set((*email).into()),
                email_key: Set(caseless(email)),
                name: Set("x".into()),
                role: Set(Role::Customer.to_string()),
                created_at: Set(0),
                ..Default::default()
            };
            Entity::insert(row).exec_without_returning(&db).await.unwrap();
        }
        OneKeyAMailbox.up(&manager).await.unwrap();
        db
    }

    async fn found(db: &DatabaseConnection, address: &str) -> Option<String> {
        find(db, address).await.unwrap().map(|user| user.id)
    }

    async fn registers(db: &DatabaseConnection, address: &str) -> bool {
        let (email, name) = (Email::try_new(address).unwrap(), Name::try_new("x").unwrap());
        insert(db, "new", &email, &name, Role::Customer, 0).await.unwrap()
    }

    #[tokio::test]
    async fn addresses_written_before_have_the_key_of_their_mailbox() {
        let db = migrated(&["ada@bücher.de", "ben@example.com.", "cleo@example.com", "odd\u{3164}@x.y"]).await;
        for (address, id) in [("ada@xn--bcher-kva.de", "0"), ("BEN@example.com", "1"), ("cleo@EXAMPLE。com", "2")] {
            assert_eq!(found(&db, address).await.as_deref(), Some(id), "{address}");
            assert!(!registers(&db, address).await, "{address}");
        }
        assert_eq!(
            found(&db, "odd\u{3164}@x.y").await.as_deref(),
            Some("3"),
            "no address any more, and still a user's"
        );
        assert!(sharing(&db, 9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn two_accounts_of_one_mailbox_keep_their_own_forms_and_nobody_gets_another() {
        let db = migrated(&["ada@bücher.de", "ada@xn--bcher-kva.de", "ada@bücher.de."]).await;
        assert_eq!(sharing(&db, 9).await.unwrap(), ["0", "2"], "the second one has the key already");
        for (address, id) in [("Ada@Bücher.de", "0"), ("ada@xn--bcher-kva.de", "1"), ("ada@bücher.de.", "2")] {
            assert_eq!(found(&db, address).await.as_deref(), Some(id), "{address}");
        }
        assert_eq!(found(&db, "ada@bücher。de").await.as_deref(), Some("1"), "a form that nobody registered");
        for address in ["ada@bücher.de", "ada@bücher。de"] {
            assert!(!registers(&db, address).await, "{address}");
        }
    }

    #[tokio::test]
    async fn a_mailbox_that_one_of_two_gives_up_is_the_others() {
        let db = migrated(&["ada@bücher.de", "ada@xn--bcher-kva.de", "ada@bücher.de."]).await;
        delete(&db, "1").await.unwrap();
        assert_eq!(sharing(&db, 9).await.unwrap(), ["2"]);
        assert_eq!(found(&db, "ada@xn--bcher-kva.de").await.as_deref(), Some("0"));
        let other = Email::try_new("ada@example.com").unwrap();
        assert_eq!(update(&db, "0", Some(&other), None).await.unwrap(), Updated::Done);
        assert_eq!(found(&db, "ada@xn--bcher-kva.de").await.as_deref(), Some("2"));
        assert!(sharing(&db, 9).await.unwrap().is_empty() && !registers(&db, "ada@bücher.de").await);
    }
}
