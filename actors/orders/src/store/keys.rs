//! Idempotency keys that outlive the accounts of their customers.
//!
//! An attempt can be on its way for longer than its customer has an account. It must find its key taken, or it would place
//! a second order that is nobody's and holds stock. So each order has a hash of customer and key that no other may have, and
//! that stays when the order is made nobody's, for `orders.key_retention_hours`.

use sea_orm::QuerySelect;
use sea_orm::entity::prelude::*;
use sha2::{Digest, Sha256};

use super::{Column, Entity, NOBODY};

/// Whether the key of a customer who was forgotten is still taken.
pub(crate) async fn is_forgotten(db: &impl ConnectionTrait, subject: &str, key: &str) -> Result<bool, DbErr> {
    let taken = Entity::find().filter(Column::KeyHash.eq(hash(subject, key))).filter(Column::Subject.eq(NOBODY));
    Ok(taken.count(db).await? > 0)
}

/// Whether keys of customers who were forgotten are to be free again.
pub(crate) async fn has_expired(db: &impl ConnectionTrait, now_ms: i64) -> Result<bool, DbErr> {
    let expired = Entity::find().select_only().column(Column::Id).filter(Column::KeyUntilMs.lte(now_ms));
    Ok(expired.limit(1).into_tuple::<String>().one(db).await?.is_some())
}

/// Frees the keys whose time is over.
pub(crate) async fn free_expired(tx: &impl ConnectionTrait, now_ms: i64) -> Result<(), DbErr> {
    let update = Entity::update_many()
        .col_expr(Column::KeyHash, Expr::value(Option::<String>::None))
        .col_expr(Column::KeyUntilMs, Expr::value(Option::<i64>::None))
        .filter(Column::KeyUntilMs.lte(now_ms));
    update.exec(tx).await.map(drop)
}

/// A customer's key, of which nothing can be read.
pub(super) fn hash(subject: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(subject);
    // No subject has this byte, so that no two pairs run together to the same text.
    hash.update([0]);
    hash.update(key);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the hash of those orders of a customer that a version without hashes has written.
pub(super) async fn mark(tx: &impl ConnectionTrait, subject: &str) -> Result<(), DbErr> {
    let unmarked: Vec<(String, String)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::IdempotencyKey)
        .filter(Column::Subject.eq(subject))
        .filter(Column::IdempotencyKey.is_not_null())
        .filter(Column::KeyHash.is_null())
        .into_tuple()
        .all(tx)
        .await?;
    for (id, key) in unmarked {
        let mark =
            Entity::update_many().col_expr(Column::KeyHash, Expr::value(hash(subject, &key))).filter(Column::Id.eq(id));
        mark.exec(tx).await?;
    }
    Ok(())
}
