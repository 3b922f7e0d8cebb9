//! What all workers of the server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use essaim::{Client, Env, StartError, exit};
use essaim_http::{BodyLimits, RouteSet};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::GatewaySettings;
use crate::address::TrustedProxies;
use crate::cors::Cors;
use crate::document::Document;
use crate::keys::KeyRing;
use crate::rate::RateLimit;
use crate::tokens::Tokens;

/// The state behind the server.
pub(crate) struct Front {
    pub env: Env,
    /// What routes ask with, before the request's own circumstances are added.
    pub client: Client,
    pub settings: GatewaySettings,
    pub routes: Arc<RouteSet>,
    pub document: Document,
    pub keys: Arc<KeyRing>,
    pub tokens: Tokens,
    pub rate: RateLimit,
    pub proxies: TrustedProxies,
    pub cors: Cors,
    pub draining: AtomicBool,
    pub counts: Counts,
    /// Whether every capability behind the routes has been there once.
    pub was_complete: AtomicBool,
    /// What `/status` showed last, and when.
    status: Mutex<Option<(Instant, Value)>>,
}

impl Front {
    /// The state that these settings describe.
    ///
    /// # Errors
    /// If a setting cannot be used, or two capabilities describe different routes as one.
    pub fn new(settings: GatewaySettings, routes: Arc<RouteSet>, client: Client) -> Result<Self, StartError> {
        let env = client.env().clone();
        let keys_client = client.clone().within(Duration::from_millis(settings.keys_timeout_ms));
        let keys = Arc::new(KeyRing::new(keys_client, settings.keys_fetches_per_minute));
        let (cache, cache_ms) = (settings.token_cache, settings.token_cache_ms);
        let (per_second, burst) = (settings.rate_limit_per_second, settings.rate_limit_burst);
        Ok(Self {
            document: Document::of(&routes)?,
            tokens: Tokens::new(env.clone(), keys.clone(), settings.token_leeway_s, cache, cache_ms),
            rate: RateLimit::new(per_second, burst, settings.rate_limit_clients, env.now()),
            proxies: TrustedProxies::new(&settings.trusted_proxies).map_err(misconfigured)?,
            cors: Cors::new(&settings.cors_origins).map_err(misconfigured)?,
            draining: AtomicBool::new(false),
            counts: Counts::default(),
            was_complete: AtomicBool::new(false),
            status: Mutex::new(None),
            env,
            client,
            settings,
            routes,
            keys,
        })
    }

    /// The limits of bodies.
    pub fn body_limits(&self) -> BodyLimits {
        let within = Duration::from_millis(self.settings.client_body_timeout_ms);
        BodyLimits { bytes: self.settings.body_limit_bytes, within }
    }

    /// The status of the cluster, read once for all requests within `status_cache_ms`, since reading costs a query in
    /// each database of the node.
    pub async fn status(&self) -> Value {
        let mut last = self.status.lock().await;
        let fresh = |at: Instant| self.env.now() < at + Duration::from_millis(self.settings.status_cache_ms);
        match &*last {
            Some((at, status)) if fresh(*at) => status.clone(),
            _ => {
                let status = self.client.status().await;
                *last = Some((self.env.now(), status.clone()));
                status
            }
        }
    }

    /// Whether the gateway is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

fn misconfigured(reason: impl ToString) -> StartError {
    StartError::fatal(exit::CONFIG, reason)
}

/// Requests, counted since the start.
#[derive(Default)]
pub(crate) struct Counts {
    begun: AtomicU64,
    /// By outcome: succeeded, redirected, refused, failed, abandoned.
    ended: [AtomicU64; 5],
}

/// The counts at one time.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counted {
    pub in_flight: u64,
    succeeded: u64,
    redirected: u64,
    refused: u64,
    failed: u64,
    pub abandoned: u64,
}

impl Counts {
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self, status: StatusCode) {
        let class = match status.as_u16() {
            300..=399 => 1,
            400..=499 => 2,
            500.. => 3,
            _ => 0,
        };
        self.ended[class].fetch_add(1, Ordering::Relaxed);
    }

    pub fn abandon(&self) {
        self.ended[4].fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counted {
        let ended = self.ended.each_ref().map(|count| count.load(Ordering::Relaxed));
        let in_flight = self.begun.load(Ordering::Relaxed).saturating_sub(ended.iter().sum());
        let [succeeded, redirected, refused, failed, abandoned] = ended;
        Counted { in_flight, succeeded, redirected, refused, failed, abandoned }
    }
}
