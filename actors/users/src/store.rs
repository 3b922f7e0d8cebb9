//! The table of users.

use essaim::store::ModelQueries;
use essaim_users_contract::{Role, User};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Set, SqlErr,
};

use crate::profile::{self, Email, Name};

mod migrations;
pub(crate) use migrations::schema;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub email: String,
        /// Equal for all addresses of one mailbox.
        pub email_key: String,
        /// The key that this user should have and another one has: two accounts of one mailbox, from before addresses had
        /// one form. Each keeps what it had, and logs in with it.
        pub shared_key: Option<String>,
        pub name: String,
        pub role: String,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
use row::{ActiveModel, Column, Entity, Model};

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
        email: Set(email.0.given.clone()),
        email_key: Set(email.0.key.clone()),
        shared_key: Set(None),
        name: Set(name.0.clone()),
        role: Set(role.as_str().to_owned()),
        created_at: Set(now_ms),
    };
    // Not an error that the database raises: on PostgreSQL that would end the transaction.
    let inserted = Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
    Ok(inserted.exec_without_returning(db).await? == 1)
}

/// The user with this id.
pub(crate) async fn get(db: &impl ModelQueries, id: &str) -> Result<Option<User>, DbErr> {
    db.model::<Entity>(&Entity::find_by_id(id).into_query()).await?.map(user).transpose()
}

/// The user with this e-mail address. Of two who share a mailbox it is the one who has it in just this form.
pub(crate) async fn find(db: &impl ModelQueries, address: &str) -> Result<Option<User>, DbErr> {
    let keys = profile::keys_of(address);
    let mut found = db.models::<Entity>(&Entity::find().filter(Column::EmailKey.is_in(&keys)).into_query()).await?;
    found.sort_by_key(|row| keys.iter().position(|key| *key == row.email_key));
    found.pop().map(user).transpose()
}

/// Those who share a mailbox with another user: at most so many ids.
pub(crate) async fn sharing(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<String>, DbErr> {
    let find = Entity::find().select_only().column(Column::Id).filter(Column::SharedKey.is_not_null());
    find.order_by_asc(Column::Id).limit(limit).into_tuple().all(db).await
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
    let before = if email.is_some() { key(db, id).await? } else { None };
    let mut update = Entity::update_many().filter(Column::Id.eq(id));
    if let Some(email) = email {
        update = update.col_expr(Column::Email, Expr::value(&email.0.given));
        update = update.col_expr(Column::EmailKey, Expr::value(&email.0.key));
        update = update.col_expr(Column::SharedKey, Expr::value(Option::<String>::None));
    }
    if let Some(name) = name {
        update = update.col_expr(Column::Name, Expr::value(&name.0));
    }
    match update.exec(db).await {
        Ok(_) => {
            if let Some(given_up) = before.filter(|key| email.is_some_and(|e| e.0.key != *key)) {
                pass_on(db, &given_up).await?;
            }
            Ok(Updated::Done)
        }
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
    let key = key(db, id).await?;
    Entity::delete_by_id(id).exec(db).await?;
    match key {
        Some(key) => pass_on(db, &key).await,
        None => Ok(()),
    }
}

async fn key(db: &impl ConnectionTrait, id: &str) -> Result<Option<String>, DbErr> {
    Entity::find_by_id(id).select_only().column(Column::EmailKey).into_tuple().one(db).await
}

/// A key that its user has given up goes to the first one who shares the mailbox, or a stranger could register it.
async fn pass_on(db: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    let first = Entity::find().filter(Column::SharedKey.eq(key)).order_by_asc(Column::Id);
    let Some(id): Option<String> = first.select_only().column(Column::Id).into_tuple().one(db).await? else {
        return Ok(());
    };
    let heir = Entity::update_many().filter(Column::Id.eq(id)).col_expr(Column::EmailKey, Expr::value(key));
    heir.col_expr(Column::SharedKey, Expr::value(Option::<String>::None)).exec(db).await.map(drop)
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
