//! The keys that verify access tokens: asked of `auth`, kept, and fetched anew when a token names an unknown one.
//!
//! Anybody can name an unknown key, so fetching is single flight and limited: what many requests wait for is fetched
//! once, and so many times a minute at most. New keys are published before they sign, and the keys are fetched now and
//! then anyway, so a valid token seldom waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use essaim::Client;
use essaim::lock::RwLock;
use essaim_auth_contract::{GetKeys, Keys};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio::sync::Mutex;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// What verifies tokens at one time.
#[derive(Default)]
pub(crate) struct KeySet {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl KeySet {
    fn of(keys: &Keys) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&keys.issuer]);
        validation.set_audience(&[&keys.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // jsonwebtoken reads the machine's clock; the times are checked against the environment's instead.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let mut decoding = HashMap::new();
        for key in &keys.keys {
            match DecodingKey::from_ed_components(&key.x) {
                Ok(usable) => drop(decoding.insert(key.kid.clone(), usable)),
                Err(error) => tracing::warn!(kid = key.kid, %error, "a key cannot be used"),
            }
        }
        Self { keys: decoding, validation }
    }

    /// The key of this id, and what a token that it signed must claim.
    pub fn get(&self, kid: &str) -> Option<(&DecodingKey, &Validation)> {
        self.keys.get(kid).map(|key| (key, &self.validation))
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// No key has this id.
    Unknown,
    /// The keys cannot be fetched.
    Unavailable(String),
}

/// The keys, as far as they are known.
pub(crate) struct KeyRing {
    client: Client,
    fetches_per_minute: usize,
    current: RwLock<Arc<KeySet>>,
    fetching: Mutex<Fetching>,
    /// Fetches that have ended; a request that sees it change has waited for one and begins none.
    ended: AtomicU64,
}

#[derive(Default)]
struct Fetching {
    /// When those fetches of the last minute began that succeeded.
    begun: VecDeque<Instant>,
    /// Why the last one failed, if it did.
    failed: Option<String>,
}

impl KeyRing {
    /// Keys that are fetched with this client, within its time limit.
    pub fn new(client: Client, fetches_per_minute: u32) -> Self {
        Self {
            client,
            fetches_per_minute: fetches_per_minute as usize,
            current: RwLock::default(),
            fetching: Mutex::default(),
            ended: AtomicU64::new(0),
        }
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.current().keys.len()
    }

    /// The keys with the one of this id among them, fetched if need be.
    ///
    /// # Errors
    /// See [`NoKey`].
    pub async fn with(&self, kid: &str) -> Result<Arc<KeySet>, NoKey> {
        let known = self.current();
        if known.keys.contains_key(kid) {
            return Ok(known);
        }
        let ended = self.ended.load(Ordering::Acquire);
        let mut fetching = self.fetching.lock().await;
        let fetched_meanwhile = self.ended.load(Ordering::Acquire) != ended;
        if !fetched_meanwhile && self.may_fetch(&mut fetching) {
            self.fetch(&mut fetching).await;
            if fetching.failed.is_some() {
                // A failed fetch does not count, since the limit is against unknown keys: while `auth` is away there is
                // one ask at a time, and the first one after its return must not be refused.
                fetching.begun.pop_back();
            }
        }
        let known = self.current();
        match (known.keys.contains_key(kid), &fetching.failed) {
            (true, _) => Ok(known),
            (false, Some(reason)) => Err(NoKey::Unavailable(reason.clone())),
            (false, None) => Err(NoKey::Unknown),
        }
    }

    /// Fetches the keys anew; those known stay if it fails.
    pub async fn refresh(&self) {
        let mut fetching = self.fetching.lock().await;
        self.fetch(&mut fetching).await;
    }

    fn may_fetch(&self, fetching: &mut Fetching) -> bool {
        let now = self.client.env().now();
        while fetching.begun.front().is_some_and(|begun| *begun + MINUTE <= now) {
            fetching.begun.pop_front();
        }
        let may = fetching.begun.len() < self.fetches_per_minute;
        if may {
            fetching.begun.push_back(now);
        }
        may
    }

    async fn fetch(&self, fetching: &mut Fetching) {
        match self.client.ask(GetKeys {}).await {
            Ok(keys) => {
                fetching.failed = None;
                *self.current.write() = Arc::new(KeySet::of(&keys));
            }
            Err(error) => {
                tracing::debug!(%error, "the keys that verify tokens cannot be fetched");
                fetching.failed = Some(error.to_string());
            }
        }
        self.ended.fetch_add(1, Ordering::Release);
    }

    fn current(&self) -> Arc<KeySet> {
        self.current.read().clone()
    }
}
