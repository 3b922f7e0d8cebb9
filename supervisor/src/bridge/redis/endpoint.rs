//! The server that `bridge.url` leads to.
//!
//! Each connection looks anew where that is: a name may lead to another server than it did when the last one was made.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use super::without_password;
use crate::bridge::ClaimError;
use crate::config::Settings;

/// Where the bridge's server is. The wire and the log make all their connections here.
pub(super) struct Endpoint {
    client: Client,
    /// The URL as it may be shown.
    url: String,
    response_timeout: Duration,
}

impl Endpoint {
    /// The endpoint of these settings.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn of(settings: &Settings) -> Result<Self, ClaimError> {
        Self::at(&settings.bridge.url, Duration::from_millis(settings.wire.response_timeout_ms))
    }

    /// The endpoint of a URL, whose answers may take so long.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn at(url: &str, response_timeout: Duration) -> Result<Self, ClaimError> {
        let shown = without_password(url);
        match Client::open(speaking_resp3(url)) {
            Ok(client) => Ok(Self { client, url: shown, response_timeout }),
            Err(error) => Err(ClaimError::Unreachable { url: shown, reason: error.to_string() }),
        }
    }

    /// The URL as it may be shown.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
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

    /// Resolves the address and connects to what it leads to now.
    ///
    /// # Errors
    /// If nothing answers there.
    pub async fn connect(&self, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, RedisError> {
        self.client.get_multiplexed_async_connection_with_config(config).await
    }

    /// What is said when the server does not do what it is asked.
    pub fn unreachable(&self, reason: impl ToString) -> ClaimError {
        ClaimError::Unreachable { url: self.url.clone(), reason: reason.to_string() }
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
            assert!(format!("{:?}", endpoint.client.get_connection_info()).contains("RESP3"), "{url}");
        }
    }
}
