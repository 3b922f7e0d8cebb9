//! The server that `bridge.url` leads to.
//!
//! Each connection looks anew where that is: a name may lead to another server than it did when the last one was made. And
//! each is used only once its server has said that it is a primary that takes writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_config::{Settings, without_password};
use essaim_protocol::wire::ClaimError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};

use super::failed::{Failed, UNSUPPORTED, advice};
use super::sentinels::Sentinels;

/// Where the bridge's server is. The wire and the log make all their connections here.
pub(super) struct Endpoint {
    way: Way,
    /// The URL as it may be shown.
    url: String,
    response_timeout: Duration,
    /// A key that nobody writes: deleting it changes nothing, and tells whether the server takes writes.
    nothing: String,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoConnection {
    /// Nothing answers, or not the server that is wanted.
    #[error("{0}")]
    Away(String),
    /// The server still loads its data.
    #[error("it is loading its data and will answer soon")]
    Loading,
    /// The URL leads to what can be no bridge's server.
    #[error("{0}")]
    Unsupported(String),
}

impl From<RedisError> for NoConnection {
    fn from(error: RedisError) -> Self {
        let failed = Failed::of(&error);
        match failed {
            Failed::Unanswered(error) => Self::Away(error),
            failed if failed.is_loading() => Self::Loading,
            failed if failed.is_cluster_mode() => Self::Unsupported(failed.words()),
            failed => Self::Away(failed.words()),
        }
    }
}

/// How the server is found.
enum Way {
    /// At the address of the URL.
    Address(Box<Client>),
    /// Where these say that the primary is.
    Sentinels(Box<Sentinels>),
}

impl Endpoint {
    /// The endpoint of these settings.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn of(settings: &Settings) -> Result<Self, ClaimError> {
        let endpoint = Self::at(&settings.bridge.url, Duration::from_millis(settings.wire.response_timeout_ms))?;
        Ok(Self { nothing: format!("{}:nothing", settings.bridge.namespace), ..endpoint })
    }

    /// The endpoint of a URL, whose answers may take so long.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn at(url: &str, response_timeout: Duration) -> Result<Self, ClaimError> {
        let shown = without_password(url);
        let way = if Sentinels::are_named_by(url) {
            Sentinels::of(url).map(|sentinels| Way::Sentinels(Box::new(sentinels)))
        } else {
            let client = Client::open(speaking_resp3(url)).map_err(|e| e.to_string());
            client.map(|client| Way::Address(Box::new(client)))
        };
        match way {
            Ok(way) => Ok(Self { way, url: shown, response_timeout, nothing: "essaim:nothing".into() }),
            Err(reason) => Err(ClaimError::Unreachable { url: shown, reason }),
        }
    }

    /// The URL as it may be shown.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        match &self.way {
            Way::Address(client) => client.get_connection_info().redis_settings().db(),
            Way::Sentinels(sentinels) => sentinels.database(),
        }
    }

    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// What a connection is made with: its answers may take as long as `wire.response_timeout_ms` says.
    pub fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.response_timeout))
            .set_response_timeout(Some(self.response_timeout))
    }

    /// Resolves the address, or asks the sentinels, and connects to what is there now.
    ///
    /// # Errors
    /// If nothing answers there, or what answers is no primary that takes writes.
    pub async fn connect(&self, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, NoConnection> {
        match &self.way {
            Way::Address(client) => self.primary(client, config).await,
            Way::Sentinels(sentinels) => sentinels.connect(self, config).await,
        }
    }

    /// Connects to a server that is to be the primary.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub async fn primary(
        &self,
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, NoConnection> {
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        let hello: HashMap<String, Value> = redis::cmd("HELLO").query_async(&mut connection).await?;
        let says = |what: &str| match hello.get(what) {
            Some(Value::BulkString(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(Value::SimpleString(text)) => text.clone(),
            _ => String::new(),
        };
        if says("mode") == "cluster" {
            return Err(NoConnection::Unsupported(UNSUPPORTED.into()));
        }
        if matches!(says("role").as_str(), "replica" | "slave") {
            return Err(NoConnection::Away(advice("READONLY")));
        }
        let deleted: Result<Value, _> = redis::cmd("DEL").arg(&self.nothing).query_async(&mut connection).await;
        match deleted {
            Err(error) if Failed::of(&error).is_elsewhere() => Err(error.into()),
            // Whatever else it says does not say that another server is meant.
            _ => Ok(connection),
        }
    }

    /// What is said when the server does not do what it is asked.
    pub fn unreachable(&self, reason: impl ToString) -> ClaimError {
        ClaimError::Unreachable { url: self.url.clone(), reason: reason.to_string() }
    }

    /// What is said when there is no connection.
    pub fn refusal(&self, why: &NoConnection) -> ClaimError {
        let (url, reason) = (self.url.clone(), why.to_string());
        match why {
            NoConnection::Unsupported(_) => ClaimError::Unsupported { url, reason },
            NoConnection::Away(_) | NoConnection::Loading => ClaimError::Unreachable { url, reason },
        }
    }
}

/// Which process the server is; empty if the user of the URL may not know.
pub(super) async fn run_of(connection: &mut MultiplexedConnection) -> Result<Arc<str>, RedisError> {
    let info: Result<String, _> = redis::cmd("INFO").arg("server").query_async(connection).await;
    match info {
        Ok(info) => Ok(info.lines().find_map(|l| l.strip_prefix("run_id:")).unwrap_or_default().trim().into()),
        Err(error) if matches!(Failed::of(&error), Failed::Refused { .. }) => Ok("".into()),
        Err(error) => Err(error),
    }
}

/// The URL of a client that speaks RESP3, whatever the URL says.
fn speaking_resp3(url: &str) -> String {
    let mut url = url.to_string();
    if !url.contains("protocol=") {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str("protocol=resp3");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_speaks_resp3() {
        for url in ["redis://h:1", "redis://h:1/2", "redis://h:1?protocol=resp3"] {
            let endpoint = Endpoint::at(url, Duration::from_secs(1)).unwrap();
            let Way::Address(client) = endpoint.way else { panic!("{url} names no sentinels") };
            assert!(format!("{:?}", client.get_connection_info()).contains("RESP3"), "{url}");
        }
    }
}
