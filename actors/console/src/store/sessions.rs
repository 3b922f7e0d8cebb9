//! The secret that signs logins, and logins that were ended before their time.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{QuerySelect, Set};

const THE_ROW: i32 = 1;

pub(crate) mod secret {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "console_secret")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        /// 32 bytes in base64url.
        pub secret: String,
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a secret")
        }
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod ended {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "console_ended_sessions")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub session: String,
        /// When it would have ended by itself.
        pub until_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The secret; this one, if there is none yet.
pub(crate) async fn secret(db: &impl ConnectionTrait, new: String) -> Result<String, DbErr> {
    let row = secret::ActiveModel { id: Set(THE_ROW), secret: Set(new.clone()) };
    let first = OnConflict::column(secret::Column::Id).do_nothing().to_owned();
    secret::Entity::insert(row).on_conflict(first).exec_without_returning(db).await?;
    Ok(secret::Entity::find_by_id(THE_ROW).one(db).await?.map_or(new, |row| row.secret))
}

/// Ends a session.
pub(crate) async fn end(db: &impl ConnectionTrait, session: String, until_ms: i64) -> Result<(), DbErr> {
    let row = ended::ActiveModel { session: Set(session), until_ms: Set(until_ms) };
    let once = OnConflict::column(ended::Column::Session).do_nothing().to_owned();
    ended::Entity::insert(row).on_conflict(once).exec_without_returning(db).await.map(drop)
}

/// Whether a session was ended.
pub(crate) async fn is_ended(db: &impl ConnectionTrait, session: &str) -> Result<bool, DbErr> {
    let found = ended::Entity::find_by_id(session).select_only().column(ended::Column::UntilMs);
    Ok(found.into_tuple::<i64>().one(db).await?.is_some())
}

/// Forgets those that would have ended by now.
pub(crate) async fn forget(db: &impl ConnectionTrait, now_ms: i64) -> Result<(), DbErr> {
    ended::Entity::delete_many().filter(ended::Column::UntilMs.lt(now_ms)).exec(db).await.map(drop)
}
