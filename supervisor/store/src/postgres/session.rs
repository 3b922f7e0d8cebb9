//! What a session is told as soon as it is connected, and whether it keeps to it.
//!
//! It is told so by statements: poolers refuse the `options` of a start-up packet. And it is asked afterwards, since a pooler may
//! give the next statement to another session of the server.

use sea_orm::sqlx::{AssertSqlSafe, Error, Executor, PgConnection, Row};

/// The error for a server that takes no writes.
pub const TAKES_NO_WRITES: &str = "the server takes no writes";
/// How the error begins for a session that does not keep to what it was told.
pub const NOT_KEPT: &str = "the session does not keep to what it was told: ";

/// What a session is told.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// The schema that it sees, and no other.
    pub schema: Option<String>,
    /// Time limits by the names of their settings, in milliseconds.
    pub limits_ms: Vec<(&'static str, u64)>,
}

impl Session {
    /// Tells it to a connection that was just made, and asks whether it holds and whether the server takes writes.
    ///
    /// # Errors
    /// If it does not, or the server takes no writes.
    pub async fn begin(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let told = self.told();
        if !told.is_empty() {
            Executor::execute(&mut *connection, AssertSqlSafe(told)).await?;
        }
        // In a statement of its own: behind a pooler it may go to another session.
        let row = Executor::fetch_one(&mut *connection, AssertSqlSafe(self.question())).await?;
        // On a standby it is on in any case.
        if row.try_get::<&str, _>(0)? != "off" {
            return Err(Error::Protocol(TAKES_NO_WRITES.into()));
        }
        for (column, (name, expected)) in self.expected().into_iter().enumerate() {
            let value: &str = row.try_get(column + 1)?;
            if value != expected {
                return Err(Error::Protocol(format!("{NOT_KEPT}{name} is {value}, and not {expected}")));
            }
        }
        Ok(())
    }

    /// The schema is told by a function that keeps the text as it is: SET would drop needless quotes.
    fn told(&self) -> String {
        let schema =
            self.schema.iter().map(|schema| format!("SELECT set_config('search_path', '\"{schema}\"', false);"));
        schema.chain(self.limits_ms.iter().map(|(name, ms)| format!("SET {name} TO {ms};"))).collect()
    }

    /// Times are asked for in milliseconds: a server writes them with the unit that suits it.
    fn question(&self) -> String {
        let schema = self.schema.iter().map(|_| ", current_setting('search_path')".to_string());
        let limits = self
            .limits_ms
            .iter()
            .map(|(name, _)| format!(", (extract(epoch FROM current_setting('{name}')::interval) * 1000)::int8::text"));
        format!("SELECT current_setting('transaction_read_only'){}", schema.chain(limits).collect::<String>())
    }

    fn expected(&self) -> Vec<(&'static str, String)> {
        let schema = self.schema.iter().map(|schema| ("search_path", format!("\"{schema}\"")));
        schema.chain(self.limits_ms.iter().map(|(name, ms)| (*name, ms.to_string()))).collect()
    }
}
