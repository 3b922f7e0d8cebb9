//! Failed logins, counted, and the addresses that accounts know.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};

pub(crate) mod counter {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "login_failures")]
    pub(crate) struct Model {
        /// What is counted: `account:…`, `address:…` or `pair:…`.
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub failures: i64,
        /// When the last failure was.
        pub last_at: i64,
        /// Until when logins are refused; in the past: they are not.
        pub blocked_until: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod known {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "known_addresses")]
    pub(crate) struct Model {
        /// The account and the address.
        #[sea_orm(primary_key, auto_increment = false)]
        pub pair: String,
        pub account: String,
        /// When the right password last came from there.
        pub last_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use counter::Model as Counter;

/// The counters with these keys that there are.
pub(crate) async fn read(db: &impl ConnectionTrait, keys: &[&str]) -> Result<Vec<Counter>, DbErr> {
    counter::Entity::find().filter(counter::Column::Key.is_in(keys.iter().copied())).all(db).await
}

/// The counters with these keys, locked until the transaction ends; made where there were none. The keys must come in
/// one order everywhere.
pub(crate) async fn lock(db: &impl ConnectionTrait, keys: &[&str], now: i64) -> Result<Vec<Counter>, DbErr> {
    for key in keys {
        let row = counter::ActiveModel {
            key: Set((*key).to_owned()),
            failures: Set(0),
            last_at: Set(now),
            blocked_until: Set(0),
        };
        let touch = OnConflict::column(counter::Column::Key).update_column(counter::Column::Key).to_owned();
        counter::Entity::insert(row).on_conflict(touch).exec_without_returning(db).await?;
    }
    read(db, keys).await
}

/// Writes a counter that is locked.
pub(crate) async fn write(db: &impl ConnectionTrait, to: &Counter) -> Result<(), DbErr> {
    let update = counter::Entity::update_many().filter(counter::Column::Key.eq(&to.key));
    let update = update.col_expr(counter::Column::Failures, Expr::value(to.failures));
    let update = update.col_expr(counter::Column::LastAt, Expr::value(to.last_at));
    update.col_expr(counter::Column::BlockedUntil, Expr::value(to.blocked_until)).exec(db).await.map(drop)
}

/// Deletes counters.
pub(crate) async fn delete(db: &impl ConnectionTrait, keys: &[&str]) -> Result<(), DbErr> {
    let these = counter::Entity::delete_many().filter(counter::Column::Key.is_in(keys.iter().copied()));
    these.exec(db).await.map(drop)
}

/// Whether an account has known an address since `since`.
pub(crate) async fn is_known(db: &impl ConnectionTrait, pair: &str, since: i64) -> Result<bool, DbErr> {
    let known = known::Entity::find_by_id(pair).filter(known::Column::LastAt.gt(since)).one(db).await?;
    Ok(known.is_some())
}

/// Notes that an account knows an address.
pub(crate) async fn know(db: &impl ConnectionTrait, pair: &str, account: &str, now: i64) -> Result<(), DbErr> {
    let row = known::ActiveModel { pair: Set(pair.to_owned()), account: Set(account.to_owned()), last_at: Set(now) };
    let again = OnConflict::column(known::Column::Pair).update_column(known::Column::LastAt).to_owned();
    known::Entity::insert(row).on_conflict(again).exec_without_returning(db).await.map(drop)
}

/// Forgets the addresses that an account has not used for longest, so that `keep` remain.
pub(crate) async fn forget_oldest_known(db: &impl ConnectionTrait, account: &str, keep: u64) -> Result<(), DbErr> {
    let all = known::Entity::find().select_only().column(known::Column::Pair);
    let all = all.filter(known::Column::Account.eq(account)).order_by_desc(known::Column::LastAt);
    let oldest: Vec<String> = all.offset(keep).limit(1_000).into_tuple().all(db).await?;
    if !oldest.is_empty() {
        known::Entity::delete_many().filter(known::Column::Pair.is_in(oldest)).exec(db).await?;
    }
    Ok(())
}

/// Deletes counters without a failure since `failure_before` and known addresses not used since `known_before`.
pub(crate) async fn delete_before(
    db: &impl ConnectionTrait,
    failure_before: i64,
    known_before: i64,
) -> Result<(), DbErr> {
    counter::Entity::delete_many().filter(counter::Column::LastAt.lte(failure_before)).exec(db).await?;
    known::Entity::delete_many().filter(known::Column::LastAt.lte(known_before)).exec(db).await.map(drop)
}

/// Deletes the counters without a failure for longest, so that `keep` remain.
pub(crate) async fn delete_beyond(db: &impl ConnectionTrait, keep: u64) -> Result<(), DbErr> {
    if counter::Entity::find().count(db).await? <= keep {
        return Ok(());
    }
    let newest = counter::Entity::find().select_only().column(counter::Column::LastAt);
    let edge: Option<i64> =
        newest.order_by_desc(counter::Column::LastAt).offset(keep).limit(1).into_tuple().one(db).await?;
    match edge {
        Some(edge) => counter::Entity::delete_many().filter(counter::Column::LastAt.lte(edge)).exec(db).await.map(drop),
        None => Ok(()),
    }
}
