//! The table of users.

use essaim::store::Schema;
use essaim_users_contract::{Role, User};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set, SqlErr,
};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, schema, sea_query::Table};

use crate::profile::{Email, Name};

/// The migrations.
pub(crate) fn schema() -> Schema {
    Schema::new(vec![Box::new(CreateTable)])
}

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub email: String,
        pub email_key: String,
        pub name: String,
        pub role: String,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
use row::{ActiveModel, Column, Entity, Model};

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

/// Inserts a user; false if its id or its e-mail address is there already.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    id: &str,
    email: &Email,
    name: &Name,
    role: Role,
    now_ms: i64,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(id.to_owned()),
        email: Set(email.given.clone()),
        email_key: Set(email.key.clone()),
        name: Set(name.0.clone()),
        role: Set(role.as_str().to_owned()),
        created_at: Set(now_ms),
    };
    // Not an error that the database raises: on PostgreSQL that would end the transaction.
    let inserted = Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(inserted.exec_without_returning(db).await? == 1)
}

/// The user with this id.
pub(crate) async fn get(db: &impl ConnectionTrait, id: &str) -> Result<Option<User>, DbErr> {
    Entity::find_by_id(id).one(db).await?.map(user).transpose()
}

/// The user with this e-mail address.
pub(crate) async fn find(db: &impl ConnectionTrait, email: &Email) -> Result<Option<User>, DbErr> {
    Entity::find().filter(Column::EmailKey.eq(&email.key)).one(db).await?.map(user).transpose()
}

/// Outcome of an update.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Updated {
    /// It took place, if there is such a user.
    Done,
    /// Another user has the e-mail address; the transaction cannot be used any more.
    EmailTaken,
}

/// Changes what is given.
pub(crate) async fn update(
    db: &impl ConnectionTrait,
    id: &str,
    email: Option<&Email>,
    name: Option<&Name>,
) -> Result<Updated, DbErr> {
    if email.is_none() && name.is_none() {
        return Ok(Updated::Done);
    }
    let mut update = Entity::update_many().filter(Column::Id.eq(id));
    if let Some(email) = email {
        update = update.col_expr(Column::Email, Expr::value(&email.given));
        update = update.col_expr(Column::EmailKey, Expr::value(&email.key));
    }
    if let Some(name) = name {
        update = update.col_expr(Column::Name, Expr::value(&name.0));
    }
    match update.exec(db).await {
        Ok(_) => Ok(Updated::Done),
        Err(e) if matches!(e.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(Updated::EmailTaken),
        Err(e) => Err(e),
    }
}

/// Gives a user a role.
pub(crate) async fn set_role(db: &impl ConnectionTrait, id: &str, role: Role) -> Result<(), DbErr> {
    let update = Entity::update_many().filter(Column::Id.eq(id));
    update.col_expr(Column::Role, Expr::value(role.as_str())).exec(db).await.map(drop)
}

/// Locks the rows of all admins until the transaction ends, and counts them. A write that changes nothing is the row
/// lock that both databases know.
pub(crate) async fn lock_admins(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    let admins = Column::Role.eq(Role::Admin.as_str());
    let touch = Entity::update_many().filter(admins).col_expr(Column::Role, Expr::col(Column::Role));
    touch.exec(db).await.map(|done| done.rows_affected)
}

/// Deletes a user.
pub(crate) async fn delete(db: &impl ConnectionTrait, id: &str) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await.map(drop)
}

/// At most `limit` users in the order of their ids, those after `after`.
pub(crate) async fn list(db: &impl ConnectionTrait, after: Option<&str>, limit: u64) -> Result<Vec<User>, DbErr> {
    let mut find = Entity::find().order_by_asc(Column::Id).limit(limit);
    if let Some(after) = after {
        find = find.filter(Column::Id.gt(after));
    }
    find.all(db).await?.into_iter().map(user).collect()
}

/// Those of the ids that there are.
pub(crate) async fn existing(db: &impl ConnectionTrait, ids: Vec<String>) -> Result<Vec<String>, DbErr> {
    let find = Entity::find().select_only().column(Column::Id).filter(Column::Id.is_in(ids));
    find.into_tuple().all(db).await
}

/// Whether there is an admin.
pub(crate) async fn has_admin(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(Entity::find().filter(Column::Role.eq(Role::Admin.as_str())).limit(1).count(db).await? > 0)
}

fn user(row: Model) -> Result<User, DbErr> {
    let role = Role::of_name(&row.role).ok_or_else(|| DbErr::Type(format!("`{}` is no role", row.role)))?;
    Ok(User { id: row.id, email: row.email, name: row.name, role, created_at_ms: row.created_at })
}
