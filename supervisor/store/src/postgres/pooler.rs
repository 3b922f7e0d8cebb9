//! Whether a pooler before the server gives one of the server's sessions to several connections, as PgBouncer does in transaction
//! mode: then nothing that belongs to a session can be relied on.
//!
//! No pooler says so to its clients, so it is tried. One connection sets a value that only its own session has, and a second one
//! looks for it, outside a transaction and in one. To find it there is proof; so is not to find it any more in the first. A
//! pooler without other clients gives the second connection the session that the first one used last; where there are others, one of
//! several rounds does.

use std::time::Duration;

use sea_orm::sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor, PgConnection, Row};
use tokio::time::timeout;

use super::Options;

/// How often it is tried.
const ROUNDS: usize = 4;

/// The code of PgBouncer for what it does not do, such as transactions in statement mode.
const REFUSED_BY_POOLER: &str = "08P01";

/// Whether several connections share sessions of the server. The second connection is waited for no longer than `limit`: a
/// server that has no other for this user shares none.
///
/// # Errors
/// If the server is lost meanwhile.
pub async fn shares_sessions(options: &Options, limit: Duration) -> Result<bool, Error> {
    let mut first = options.connect.connect().await?;
    let second = timeout(limit, options.connect.connect()).await;
    let Ok(Ok(mut second)) = second else { return first.close().await.map(|()| false) };
    let is_shared = match timeout(limit, try_out(&mut first, &mut second)).await {
        Err(_) => false,
        Ok(Err(Error::Database(refused))) if refused.code().as_deref() == Some(REFUSED_BY_POOLER) => true,
        Ok(tried) => tried?,
    };
    // They are closed in order where that goes; what is wrong with one of them is no answer to the question.
    let _ = timeout(limit, async { tokio::join!(first.close(), second.close()) }).await;
    Ok(is_shared)
}

async fn try_out(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, Error> {
    let value = text(first, "SELECT md5(random()::text || clock_timestamp()::text)").await?;
    let look = "SELECT coalesce(current_setting('essaim.probe', true), '')";
    for _ in 0..ROUNDS {
        text(first, &format!("SELECT set_config('essaim.probe', '{value}', false)")).await?;
        if text(second, look).await? == value {
            return Ok(true);
        }
        Executor::execute(&mut *second, "BEGIN").await?;
        let inside = text(second, look).await? == value;
        let is_lost = text(first, look).await? != value;
        Executor::execute(&mut *second, "ROLLBACK").await?;
        if inside || is_lost {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn text(connection: &mut PgConnection, sql: &str) -> Result<String, Error> {
    connection.fetch_one(AssertSqlSafe(sql.to_string())).await?.try_get(0)
}
