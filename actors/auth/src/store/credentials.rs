//! Passwords, by user.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{QueryOrder, QuerySelect, Set};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credentials")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    pub password_hash: String,
    pub created_at: i64,
    /// Since when users has no such user.
    pub missing_since: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

fn row(user_id: &str, password_hash: &str, now: i64) -> ActiveModel {
    ActiveModel {
        user_id: Set(user_id.to_owned()),
        password_hash: Set(password_hash.to_owned()),
        created_at: Set(now),
        missing_since: Set(None),
    }
}

/// Keeps a password for a user who has none yet.
pub(crate) async fn add(db: &impl ConnectionTrait, user_id: &str, hash: &str, now: i64) -> Result<(), DbErr> {
    let keep = OnConflict::column(Column::UserId).do_nothing().to_owned();
    Entity::insert(row(user_id, hash, now)).on_conflict(keep).exec_without_returning(db).await.map(drop)
}

/// Keeps a password for a user, in place of the one before.
pub(crate) async fn put(db: &impl ConnectionTrait, user_id: &str, hash: &str, now: i64) -> Result<(), DbErr> {
    let replace = OnConflict::column(Column::UserId).update_column(Column::PasswordHash).to_owned();
    Entity::insert(row(user_id, hash, now)).on_conflict(replace).exec_without_returning(db).await.map(drop)
}

/// The hash of a user's password.
pub(crate) async fn hash_of(db: &impl ConnectionTrait, user_id: &str) -> Result<Option<String>, DbErr> {
    Ok(Entity::find_by_id(user_id).one(db).await?.map(|row| row.password_hash))
}

/// Deletes a password, if it is still this one.
pub(crate) async fn remove(db: &impl ConnectionTrait, user_id: &str, hash: &str) -> Result<(), DbErr> {
    let this = Entity::delete_many().filter(Column::UserId.eq(user_id)).filter(Column::PasswordHash.eq(hash));
    this.exec(db).await.map(drop)
}

/// Deletes a user's password.
pub(crate) async fn delete(db: &impl ConnectionTrait, user_id: &str) -> Result<(), DbErr> {
    Entity::delete_by_id(user_id).exec(db).await.map(drop)
}

/// At most `limit` users with a password, in the order of their ids, those after `after`, each with the time since when
/// users has no such user.
pub(crate) async fn users_after(
    db: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<(String, Option<i64>)>, DbErr> {
    let find = Entity::find().select_only().columns([Column::UserId, Column::MissingSince]);
    find.filter(Column::UserId.gt(after)).order_by_asc(Column::UserId).limit(limit).into_tuple().all(db).await
}

/// Notes since when users has no such users, or that it has them.
pub(crate) async fn set_missing(
    db: &impl ConnectionTrait,
    user_ids: Vec<String>,
    since: Option<i64>,
) -> Result<(), DbErr> {
    let these = Entity::update_many().filter(Column::UserId.is_in(user_ids));
    these.col_expr(Column::MissingSince, Expr::value(since)).exec(db).await.map(drop)
}

/// Deletes the passwords of those of the users that have been missing since `before`.
pub(crate) async fn delete_missing(db: &impl ConnectionTrait, user_ids: Vec<String>, before: i64) -> Result<(), DbErr> {
    let these = Entity::delete_many().filter(Column::UserId.is_in(user_ids));
    these.filter(Column::MissingSince.lte(before)).exec(db).await.map(drop)
}
