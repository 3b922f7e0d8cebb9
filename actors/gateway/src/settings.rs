//! The section `[gateway]` of the configuration.

use essaim::config::ConfigError;
use serde::{Deserialize, Serialize};

use crate::address::TrustedProxies;
use crate::cors::Cors;

/// The shortest limits of time that the server under the gateway keeps: it looks at its clock twice a second.
const LEAST_TIMEOUT_MS: u64 = 1_000;
/// The most headers that the server under the gateway reads.
const MOST_HEADERS: usize = 96;
/// The most bytes of a request's line and headers that it reads.
const MOST_HEADER_BYTES: usize = 128 << 10;

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// The address to listen at; port 0 takes a free one.
    pub listen: String,
    /// Where the path `/` leads; empty: nowhere.
    pub home: String,
    /// Threads that serve HTTP; 0: one a core.
    pub workers: usize,
    /// The most bytes of a request's body.
    pub body_limit_bytes: usize,
    /// The most bytes of a request's line and headers together, at most 131072.
    pub header_limit_bytes: usize,
    /// The most headers of a request, at most 96.
    pub header_limit_count: usize,
    /// How long a request may take, in milliseconds, from its last header to the first byte of the response.
    pub request_timeout_ms: u64,
    /// How long a client may take to send the headers, in milliseconds; at least 1000.
    pub client_header_timeout_ms: u64,
    /// How long a client may take to send the body, in milliseconds.
    pub client_body_timeout_ms: u64,
    /// How long a client may take to hang up when it is asked to, in milliseconds.
    pub client_close_timeout_ms: u64,
    /// How long an idle connection is kept, in milliseconds; at least 1000.
    pub keep_alive_ms: u64,
    /// The most connections at a time; more wait to be accepted.
    pub max_connections: usize,
    /// The origins whose pages may read responses, such as `https://shop.example`; `*`: any.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Requests per second of one client, through this gateway; 0: no limit.
    pub rate_limit_per_second: u32,
    /// Requests that a client may send at once after a rest.
    pub rate_limit_burst: u32,
    /// The most clients whose rate is remembered; those not seen for longest are forgotten first.
    pub rate_limit_clients: usize,
    /// The share of requests whose trace is sampled, 0.0 to 1.0, where the client does not decide.
    pub trace_sample: f64,
    /// How far the clocks of this node and of the one that signed a token may be apart, in seconds.
    pub token_leeway_s: u64,
    /// Verified tokens that are remembered.
    pub token_cache: usize,
    /// How long a verified token is remembered, in milliseconds; never beyond its expiry.
    pub token_cache_ms: u64,
    /// How often the keys that verify tokens are fetched anew, in milliseconds.
    pub keys_refresh_ms: u64,
    /// How often, in a minute, unknown keys may make the gateway fetch the keys at once.
    pub keys_fetches_per_minute: u32,
    /// How long fetching the keys may take, in milliseconds.
    pub keys_timeout_ms: u64,
    /// How long `/status` shows what it found before it looks again, in milliseconds.
    pub status_cache_ms: u64,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            home: String::new(),
            workers: 0,
            body_limit_bytes: 1 << 20,
            header_limit_bytes: 16 << 10,
            header_limit_count: 64,
            request_timeout_ms: 10_000,
            client_header_timeout_ms: 5_000,
            client_body_timeout_ms: 8_000,
            client_close_timeout_ms: 1_000,
            keep_alive_ms: 15_000,
            max_connections: 10_000,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            rate_limit_per_second: 500,
            rate_limit_burst: 1_000,
            rate_limit_clients: 10_000,
            trace_sample: 1.0,
            token_leeway_s: 5,
            token_cache: 10_000,
            token_cache_ms: 60_000,
            keys_refresh_ms: 60_000,
            keys_fetches_per_minute: 10,
            keys_timeout_ms: 2_000,
            status_cache_ms: 500,
        }
    }
}

impl GatewaySettings {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key that cannot be, and why.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let (count, bytes) = (self.header_limit_count, self.header_limit_bytes);
        let problems = [
            (!(0.0..=1.0).contains(&self.trace_sample), "gateway.trace_sample must be from 0.0 to 1.0"),
            (!(1..=MOST_HEADERS).contains(&count), "gateway.header_limit_count must be from 1 to 96"),
            (!(1..=MOST_HEADER_BYTES).contains(&bytes), "gateway.header_limit_bytes must be from 1 to 131072"),
            (self.max_connections == 0, "gateway.max_connections must be at least 1"),
            (
                self.client_header_timeout_ms < LEAST_TIMEOUT_MS,
                "gateway.client_header_timeout_ms must be at least 1000",
            ),
            (self.keep_alive_ms < LEAST_TIMEOUT_MS, "gateway.keep_alive_ms must be at least 1000"),
        ];
        if let Some((_, problem)) = problems.into_iter().find(|(wrong, _)| *wrong) {
            return Err(ConfigError::new(problem));
        }
        let wrong = |e: &dyn std::fmt::Display| ConfigError::new(e.to_string());
        TrustedProxies::new(&self.trusted_proxies).map_err(|e| wrong(&e))?;
        Cors::new(&self.cors_origins).map_err(|e| wrong(&e))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent_and_what_is_not_is_named_by_its_key() {
        let settings = GatewaySettings::default;
        settings().check().unwrap();
        for (wrong, key) in [
            (GatewaySettings { trace_sample: 2.0, ..settings() }, "gateway.trace_sample"),
            (GatewaySettings { header_limit_count: 97, ..settings() }, "gateway.header_limit_count"),
            (GatewaySettings { max_connections: 0, ..settings() }, "gateway.max_connections"),
            (GatewaySettings { trusted_proxies: vec!["proxy".into()], ..settings() }, "gateway.trusted_proxies"),
            (GatewaySettings { cors_origins: vec!["shop".into()], ..settings() }, "gateway.cors_origins"),
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains(key), "{key}");
        }
    }
}
