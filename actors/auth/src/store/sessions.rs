//! Sessions and the refresh tokens that each of them has had.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set,
};

pub(crate) mod session {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub user_id: String,
        /// Derives each refresh token from the one before; 32 bytes.
        #[sea_orm(column_type = "Blob")]
        pub secret: Vec<u8>,
        pub created_at: i64,
        pub expires_at: i64,
        pub revoked_at: Option<i64>,
    }

    // Secrets do not show in logs.
    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Session").field("id", &self.id).field("user_id", &self.user_id).finish_non_exhaustive()
        }
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod token {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "refresh_tokens")]
    pub(crate) struct Model {
        /// SHA-256 of the token, in base64url.
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: String,
        pub session_id: String,
        /// Counts the session's tokens, from 1.
        pub sequence: i64,
        /// When it was exchanged for its successor.
        pub used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use session::Model as Session;
pub(crate) use token::Model as Token;

/// Adds a session with its first token.
pub(crate) async fn open(db: &impl ConnectionTrait, new: Session, first_hash: &str) -> Result<(), DbErr> {
    add_token(db, &new.id, 1, first_hash).await?;
    let row = session::ActiveModel {
        id: Set(new.id),
        user_id: Set(new.user_id),
        secret: Set(new.secret),
        created_at: Set(new.created_at),
        expires_at: Set(new.expires_at),
        revoked_at: Set(None),
    };
    session::Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// Adds a token to a session.
pub(crate) async fn add_token(db: &impl ConnectionTrait, id: &str, sequence: i64, hash: &str) -> Result<(), DbErr> {
    let row = token::ActiveModel {
        hash: Set(hash.to_owned()),
        session_id: Set(id.to_owned()),
        sequence: Set(sequence),
        used_at: Set(None),
    };
    token::Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// The token with this hash.
pub(crate) async fn token(db: &impl ConnectionTrait, hash: &str) -> Result<Option<Token>, DbErr> {
    token::Entity::find_by_id(hash).one(db).await
}

/// The token of a session with this number.
pub(crate) async fn token_at(db: &impl ConnectionTrait, id: &str, sequence: i64) -> Result<Option<Token>, DbErr> {
    let at = token::Entity::find().filter(token::Column::SessionId.eq(id));
    at.filter(token::Column::Sequence.eq(sequence)).one(db).await
}

/// Notes that a token was exchanged.
pub(crate) async fn use_token(db: &impl ConnectionTrait, hash: &str, now: i64) -> Result<(), DbErr> {
    let this = token::Entity::update_many().filter(token::Column::Hash.eq(hash));
    this.col_expr(token::Column::UsedAt, Expr::value(now)).exec(db).await.map(drop)
}

/// A session that is neither revoked nor expired.
pub(crate) async fn live(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<Option<Session>, DbErr> {
    let find = session::Entity::find_by_id(id).filter(session::Column::RevokedAt.is_null());
    find.filter(session::Column::ExpiresAt.gt(now)).one(db).await
}

/// Locks a live session until the transaction ends; false if it is not live.
pub(crate) async fn lock(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<bool, DbErr> {
    let live = session::Entity::update_many().filter(session::Column::Id.eq(id));
    let live = live.filter(session::Column::RevokedAt.is_null()).filter(session::Column::ExpiresAt.gt(now));
    let touch = live.col_expr(session::Column::ExpiresAt, Expr::col(session::Column::ExpiresAt));
    Ok(touch.exec(db).await?.rows_affected == 1)
}

/// Revokes a session.
pub(crate) async fn revoke(db: &impl ConnectionTrait, id: &str, now: i64) -> Result<(), DbErr> {
    revoke_where(db, session::Column::Id.eq(id), now).await
}

/// Revokes all sessions of a user.
pub(crate) async fn revoke_user(db: &impl ConnectionTrait, user_id: &str, now: i64) -> Result<(), DbErr> {
    revoke_where(db, session::Column::UserId.eq(user_id), now).await
}

/// Deletes all sessions of a user, with their tokens.
pub(crate) async fn delete_user(db: &impl ConnectionTrait, user_id: &str) -> Result<(), DbErr> {
    let mine = || session::Column::UserId.eq(user_id);
    let sessions = session::Entity::find().select_only().column(session::Column::Id).filter(mine()).into_query();
    token::Entity::delete_many().filter(token::Column::SessionId.in_subquery(sessions)).exec(db).await?;
    session::Entity::delete_many().filter(mine()).exec(db).await.map(drop)
}

/// Revokes the oldest sessions of a user, so that `keep` live ones remain.
pub(crate) async fn revoke_oldest(db: &impl ConnectionTrait, user_id: &str, keep: u64, now: i64) -> Result<(), DbErr> {
    let live = session::Entity::find().select_only().column(session::Column::Id);
    let live = live.filter(session::Column::UserId.eq(user_id)).filter(session::Column::RevokedAt.is_null());
    // Ids sort by the time of their creation. Without a limit SQLite does not take an offset.
    let oldest = live.order_by_desc(session::Column::Id).offset(keep).limit(1_000);
    let oldest: Vec<String> = oldest.into_tuple().all(db).await?;
    match oldest.is_empty() {
        true => Ok(()),
        false => revoke_where(db, session::Column::Id.is_in(oldest), now).await,
    }
}

async fn revoke_where(db: &impl ConnectionTrait, which: sea_orm::sea_query::SimpleExpr, now: i64) -> Result<(), DbErr> {
    let these = session::Entity::update_many().filter(which).filter(session::Column::RevokedAt.is_null());
    these.col_expr(session::Column::RevokedAt, Expr::value(now)).exec(db).await.map(drop)
}

/// Deletes at most `limit` sessions that have expired, with their tokens, and says how many.
pub(crate) async fn delete_expired(db: &impl ConnectionTrait, limit: u64, now: i64) -> Result<usize, DbErr> {
    let expired = session::Entity::find().select_only().column(session::Column::Id);
    let expired = expired.filter(session::Column::ExpiresAt.lte(now)).limit(limit);
    let ids: Vec<String> = expired.into_tuple().all(db).await?;
    if !ids.is_empty() {
        token::Entity::delete_many().filter(token::Column::SessionId.is_in(ids.clone())).exec(db).await?;
        session::Entity::delete_many().filter(session::Column::Id.is_in(ids.clone())).exec(db).await?;
    }
    Ok(ids.len())
}
