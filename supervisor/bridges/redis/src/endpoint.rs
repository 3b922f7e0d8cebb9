//! The endpoint of `bridge.url`.
//!
//! Its address is resolved for each connection: a name may lead to another server than it did for the last one. A connection is
//! used only once its server has said that it is a primary that takes writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use essaim_config::{BridgeConfig, Settings, without_password};
use essaim_protocol::wire::ClaimError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};

use super::command_error::{CommandError, UNSUPPORTED, advice};
use super::sentinels::Sentinels;
use super::tls::{self, Certificates};

/// The endpoint of the bridge, from which the wire and the log get all their connections.
pub(super) struct Endpoint {
    way: Way,
    /// The URL as it may be shown.
    url: String,
    response_timeout: Duration,
    /// A key that is never written: deleting it changes nothing, and shows whether the server takes writes.
    nothing: String,
}

/// The reason why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoConnection {
    /// No server answers, or not the right one.
    #[error("{0}")]
    Away(String),
    /// The server still loads its data.
    #[error("it is loading its data and will answer soon")]
    Loading,
    /// The server at the URL cannot be a bridge.
    #[error("{0}")]
    Unsupported(String),
}

impl From<RedisError> for NoConnection {
    fn from(error: RedisError) -> Self {
        let failed = CommandError::of(&error);
        match failed {
            CommandError::Unanswered(error) => Self::Away(tls::advice(&error).unwrap_or(error)),
            failed if failed.is_loading() => Self::Loading,
            failed if failed.is_cluster_mode() => Self::Unsupported(failed.message()),
            failed => Self::Away(failed.message()),
        }
    }
}

/// The way to find the server.
enum Way {
    /// At the address of the URL.
    Address(Box<Client>),
    /// At the address of the primary that these sentinels give.
    Sentinels(Box<Sentinels>),
}

impl Endpoint {
    /// The endpoint of these settings.
    ///
    /// # Errors
    /// If the URL is malformed.
    pub fn of(settings: &Settings) -> Result<Self, ClaimError> {
        let endpoint = Self::at(&settings.bridge, Duration::from_millis(settings.wire.response_timeout_ms))?;
        Ok(Self { nothing: format!("{}:nothing", settings.bridge.namespace), ..endpoint })
    }

    /// The endpoint of a URL, with its certificates; each answer may take `response_timeout`.
    ///
    /// # Errors
    /// If the URL or a certificate is malformed.
    pub fn at(bridge: &BridgeConfig, response_timeout: Duration) -> Result<Self, ClaimError> {
        let (url, certificates) = (&*bridge.url, Certificates::of(bridge));
        let shown = without_password(url);
        let way = if Sentinels::are_named_by(url) {
            let sentinels = Sentinels::of(url, certificates).map_err(|e| e.to_string());
            sentinels.map(|sentinels| Way::Sentinels(Box::new(sentinels)))
        } else {
            let client = certificates.client(speaking_resp3(url)).map_err(|e| e.to_string());
            client.map(|client| Way::Address(Box::new(client)))
        };
        match way {
            Ok(way) => Ok(Self { way, url: shown, response_timeout, nothing: "essaim:nothing".into() }),
            Err(reason) => Err(ClaimError::Malformed { url: shown, reason }),
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

    /// The user as whom nodes connect.
    pub fn user(&self) -> String {
        let user = match &self.way {
            Way::Address(client) => client.get_connection_info().redis_settings().username().map(String::from),
            Way::Sentinels(sentinels) => sentinels.user(),
        };
        user.unwrap_or_else(|| "default".into())
    }

    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// The options of a connection: its answers may take the response timeout.
    pub fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.response_timeout))
            .set_response_timeout(Some(self.response_timeout))
    }

    /// Resolves the address, or asks the sentinels, and connects.
    ///
    /// # Errors
    /// If no server answers, or one that is no primary that takes writes.
    pub async fn connect(&self, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, NoConnection> {
        match &self.way {
            Way::Address(client) => self.primary(client, config).await,
            Way::Sentinels(sentinels) => sentinels.connect(self, config).await,
        }
    }

    /// Connects to a server that should be the primary.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub async fn primary(
        &self,
        client: &Client,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, NoConnection> {
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        let greeting = ServerGreeting::of(&mut connection).await?;
        if greeting.says("mode") == "cluster" {
            return Err(NoConnection::Unsupported(UNSUPPORTED.into()));
        }
        if matches!(greeting.says("role").as_str(), "replica" | "slave") {
            return Err(NoConnection::Away(advice("READONLY")));
        }
        let deleted: Result<Value, _> = redis::cmd("DEL").arg(&self.nothing).query_async(&mut connection).await;
        match deleted {
            Err(error) if CommandError::of(&error).is_wrong_server() => Err(error.into()),
            // No other answer says that this is the wrong server.
            _ => Ok(connection),
        }
    }

    /// The error of a node whose command failed.
    pub fn unreachable(&self, reason: impl ToString) -> ClaimError {
        ClaimError::Unreachable { url: self.url.clone(), reason: reason.to_string() }
    }

    /// The error of a node that has no connection.
    pub fn refusal(&self, why: &NoConnection) -> ClaimError {
        let (url, reason) = (self.url.clone(), why.to_string());
        match why {
            NoConnection::Unsupported(_) => ClaimError::Unsupported { url, reason },
            NoConnection::Away(_) | NoConnection::Loading => ClaimError::Unreachable { url, reason },
        }
    }
}

/// What a server says of itself to each client, whatever its rights.
pub(super) struct ServerGreeting(HashMap<String, Value>);

impl ServerGreeting {
    pub async fn of(connection: &mut MultiplexedConnection) -> Result<Self, RedisError> {
        Ok(Self(redis::cmd("HELLO").query_async(connection).await?))
    }

    /// The version of the server, as it says it.
    pub fn version(&self) -> String {
        self.says("version")
    }

    /// The first two numbers of its version.
    pub fn numbers(&self) -> Option<(u32, u32)> {
        let version = self.version();
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    }

    fn says(&self, what: &str) -> String {
        match self.0.get(what) {
            Some(Value::BulkString(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(Value::SimpleString(text)) => text.clone(),
            _ => String::new(),
        }
    }
}

/// The `run_id` of the server process; empty if the user of the URL may not read it.
pub(super) async fn run_of(connection: &mut MultiplexedConnection) -> Result<Arc<str>, RedisError> {
    let info: Result<String, _> = redis::cmd("INFO").arg("server").query_async(connection).await;
    match info {
        Ok(info) => Ok(info.lines().find_map(|l| l.strip_prefix("run_id:")).unwrap_or_default().trim().into()),
        Err(error) if matches!(CommandError::of(&error), CommandError::Refused { .. }) => Ok("".into()),
        Err(error) => Err(error),
    }
}

/// The URL with RESP3 as the protocol, unless it names one.
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
            let bridge = BridgeConfig { url: url.into(), ..BridgeConfig::default() };
            let endpoint = Endpoint::at(&bridge, Duration::from_secs(1)).unwrap();
            let Way::Address(client) = endpoint.way else { panic!("{url} names no sentinels") };
            assert!(format!("{:?}", client.get_connection_info()).contains("RESP3"), "{url}");
        }
    }
}
