//! Redis Sentinel: its processes know which of several servers is the primary now.
//!
//! `redis+sentinel://[user:password@]host[:port],host[:port]/MASTER[/DB]`, where user and password are the servers', and those
//! of the sentinels are `?sentinel_user=…&sentinel_password=…`; `rediss+sentinel://` for TLS to both. The sentinels are asked
//! for every connection, one after the other and first the one that has answered last. A server that they name is the
//! primary only if it says so itself: after a failover a sentinel may not know it yet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use super::endpoint::{Endpoint, NoConnection};
use super::tls::{self, Certificates};

/// The port of a sentinel whose address has none.
const PORT: u16 = 26_379;

/// The sentinels of one URL.
pub(super) struct Sentinels {
    all: Vec<Sentinel>,
    /// Their name for the primary.
    master: String,
    /// The URL of a server is `scheme` and `credentials`, its address, and `database`.
    scheme: String,
    credentials: String,
    certificates: Certificates,
    database: i64,
    /// The index of the one that has answered last.
    answered: AtomicUsize,
}

struct Sentinel {
    /// Host and port.
    address: String,
    client: Client,
}

impl Sentinels {
    /// Whether the URL is one of sentinels.
    pub fn are_named_by(url: &str) -> bool {
        url.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "redis+sentinel" | "rediss+sentinel"))
    }

    /// The sentinels of a URL; they and the servers have these certificates.
    ///
    /// # Errors
    /// The mistake in the URL, without a password.
    pub fn of(url: &str, certificates: Certificates) -> Result<Self, SentinelUrlError> {
        let (scheme, rest) = url.split_once("+sentinel://").ok_or(SentinelUrlError::NoSentinels)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() || hosts.is_empty() {
            return Err(SentinelUrlError::Incomplete);
        }
        let database = database.parse().map_err(|_| SentinelUrlError::Database(database.into()))?;
        let guard = credentials_of_sentinels(query)?;
        let all = hosts.split(',').map(|host| {
            let address = with_port(host);
            let client = certificates.client(format!("{scheme}://{guard}{address}/"));
            match client {
                Ok(client) => Ok(Sentinel { address, client }),
                Err(error) => Err(SentinelUrlError::Address { address, error }),
            }
        });
        let all = all.collect::<Result<_, _>>()?;
        let (scheme, master) = (scheme.to_string(), master.to_string());
        Ok(Self { all, master, scheme, credentials, certificates, database, answered: AtomicUsize::new(0) })
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        self.database
    }

    /// The user of the servers; `None` if it is not named.
    pub fn user(&self) -> Option<String> {
        let user = self.credentials.split([':', '@']).next().unwrap_or_default();
        (!user.is_empty()).then(|| user.into())
    }

    /// Connects to the primary.
    ///
    /// # Errors
    /// The answer of each sentinel, if none leads to it.
    pub async fn connect(
        &self,
        endpoint: &Endpoint,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, NoConnection> {
        let (count, first) = (self.all.len(), self.answered.load(Ordering::Relaxed));
        let mut said = Vec::new();
        for index in (first..first + count).map(|n| n % count) {
            let sentinel = &self.all[index];
            let why = match self.ask(sentinel, endpoint.response_timeout()).await {
                Ok(address) => match endpoint.primary(&self.server(&address)?, config).await {
                    Err(NoConnection::Away(why)) => format!("names {address}: {why}"),
                    connection => {
                        self.answered.store(index, Ordering::Relaxed);
                        return connection;
                    }
                },
                Err(why) => {
                    let why = why.to_string();
                    tls::advice(&why).unwrap_or(why)
                }
            };
            said.push(format!("the one at {} {why}", sentinel.address));
        }
        Err(NoConnection::Away(format!("no sentinel leads to the primary: {}", said.join("; "))))
    }

    /// The address of the primary, as a sentinel knows it.
    async fn ask(&self, sentinel: &Sentinel, limit: Duration) -> Result<String, SentinelError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit));
        let connection = sentinel.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(SentinelError::NoConnection)?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(&self.master);
        let named = ask.query_async::<Option<(String, u16)>>(&mut connection).await;
        match named.map_err(SentinelError::NoAnswer)? {
            Some((host, port)) if host.contains(':') => Ok(format!("[{host}]:{port}")),
            Some((host, port)) => Ok(format!("{host}:{port}")),
            None => Err(SentinelError::UnknownPrimary(self.master.clone())),
        }
    }

    fn server(&self, address: &str) -> Result<Client, RedisError> {
        self.certificates.client(self.url_of(address))
    }

    fn url_of(&self, address: &str) -> String {
        let Self { scheme, credentials, database, .. } = self;
        format!("{scheme}://{credentials}{address}/{database}?protocol=resp3")
    }
}

/// The mistake in a URL that names sentinels. It never shows a password.
#[derive(Debug, thiserror::Error)]
pub(super) enum SentinelUrlError {
    #[error("it does not name sentinels")]
    NoSentinels,
    #[error("it must name sentinels and the primary that they watch: redis+sentinel://host:port,host:port/NAME")]
    Incomplete,
    #[error("`{0}` is no number of a database")]
    Database(String),
    #[error("it has `{0}`, where only sentinel_user and sentinel_password can be")]
    UnknownOption(String),
    #[error("{address}: {error}")]
    Address { address: String, error: RedisError },
}

/// Why a sentinel does not name the primary, as the rest of a sentence about it.
#[derive(Debug, thiserror::Error)]
enum SentinelError {
    #[error("takes no connection ({0})")]
    NoConnection(RedisError),
    #[error("does not answer ({0})")]
    NoAnswer(RedisError),
    #[error("watches no primary by the name of `{0}`")]
    UnknownPrimary(String),
}

/// User and password of the sentinels, in the form of a URL.
fn credentials_of_sentinels(query: &str) -> Result<String, SentinelUrlError> {
    let (mut user, mut password) = ("", None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("sentinel_user", value) => user = value,
            ("sentinel_password", value) => password = Some(value),
            ("protocol", _) => {}
            (key, _) => return Err(SentinelUrlError::UnknownOption(key.into())),
        }
    }
    Ok(password.map(|password| format!("{user}:{password}@")).unwrap_or_default())
}

fn with_port(host: &str) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !host.ends_with(']');
    if has_port { host.into() } else { format!("{host}:{PORT}") }
}

#[cfg(test)]
mod tests {
    use essaim_config::BridgeConfig;

    use super::*;

    #[test]
    fn a_url_names_sentinels_their_primary_and_the_credentials_of_both() {
        let url = "redis+sentinel://user:p%40ss@one,two:5000,[::1]/shop/3?sentinel_user=guard&sentinel_password=s%2Fp";
        let sentinels = Sentinels::of(url, Certificates::default()).unwrap();
        let addresses: Vec<_> = sentinels.all.iter().map(|s| s.address.as_str()).collect();
        assert_eq!(addresses, ["one:26379", "two:5000", "[::1]:26379"]);
        assert_eq!((sentinels.master.as_str(), sentinels.database()), ("shop", 3));
        assert_eq!(sentinels.url_of("h:1"), "redis://user:p%40ss@h:1/3?protocol=resp3");
        let guard = sentinels.all[0].client.get_connection_info().redis_settings();
        assert_eq!((guard.username(), guard.password()), (Some("guard"), Some("s/p")));
        assert_eq!(
            Sentinels::of("rediss+sentinel://h/shop", Certificates::default()).unwrap().url_of("h:1"),
            "rediss://h:1/0?protocol=resp3"
        );
        assert!(Sentinels::are_named_by(url) && !Sentinels::are_named_by("redis://h"));
    }

    #[test]
    fn a_url_that_names_no_primary_or_something_unknown_is_refused() {
        for (url, word) in [
            ("redis+sentinel://h:1", "NAME"),
            ("redis+sentinel:///shop", "NAME"),
            ("redis+sentinel://h/shop/x", "`x`"),
            ("redis+sentinel://h/shop?password=secret", "`password`"),
        ] {
            let said = Sentinels::of(url, Certificates::default()).err().unwrap().to_string();
            assert!(said.contains(word) && !said.contains("secret"), "{said}");
        }
    }

    #[tokio::test]
    async fn sentinels_that_do_not_answer_are_all_named() {
        let url = "redis+sentinel://127.0.0.1:1,127.0.0.1:2/shop";
        let bridge = BridgeConfig { url: url.into(), ..BridgeConfig::default() };
        let endpoint = Endpoint::at(&bridge, Duration::from_secs(1)).unwrap();
        let said = endpoint.connect(&endpoint.config()).await.err().unwrap().to_string();
        assert!(
            ["no sentinel", "127.0.0.1:1 takes no", "127.0.0.1:2 takes no"].iter().all(|w| said.contains(w)),
            "{said}"
        );
    }
}
