//! What all requests share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use essaim::lock::Mutex;
use essaim::store::Reads;
use essaim::{Client, Env, Start};
use essaim_contract::AskError;
use essaim_users_contract::{GetUser, Role};
use tokio::time::Instant;

use crate::ConsoleSettings;
use crate::overview::Overviews;
use crate::readers::Readers;
use crate::session::{Session, Signer};
use crate::store::sessions;

/// How long it is taken for true that somebody is an administrator.
const TRUSTED: Duration = Duration::from_secs(60);

/// The console of one node.
pub(crate) struct Console {
    pub client: Client,
    pub env: Env,
    pub settings: ConsoleSettings,
    /// Its node's name.
    pub node: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether nobody has to log in.
    pub is_open: bool,
    pub signer: Signer,
    /// What the node says of itself in spans of OpenTelemetry.
    #[cfg(feature = "otlp")]
    pub otlp: essaim::config::OtlpConfig,
    pub reads: Reads,
    pub overviews: Overviews,
    pub readers: Readers,
    /// Whether the server is about to stop: it waits for the end of every answer.
    pub draining: AtomicBool,
    /// Sessions that were found to be an administrator's, and until when that is believed. Bounded by the logins of
    /// `console.session_minutes`.
    trusted: Mutex<HashMap<String, Instant>>,
    /// Sessions that were ended here, until they would have ended by themselves. Bounded alike.
    ended: Mutex<HashMap<String, u64>>,
}

/// Why a session is not accepted.
pub(crate) enum NoSession {
    /// There is none, it has ended, or it is no administrator's any more.
    Ended,
    /// It is not known whether it is still good, for this reason.
    Unknown(String),
}

impl Console {
    pub fn new(settings: ConsoleSettings, start: &Start, address: SocketAddr, secret: &[u8]) -> Self {
        let has_others = !start.settings().bridge.url.is_empty();
        Self {
            client: start.client(),
            env: start.env().clone(),
            node: start.node().to_string(),
            address,
            is_open: settings.is_open(address, has_others),
            signer: Signer::new(secret),
            #[cfg(feature = "otlp")]
            otlp: start.settings().trace.otlp.clone(),
            reads: start.db().clone(),
            overviews: Overviews::default(),
            readers: Readers::default(),
            draining: AtomicBool::new(false),
            trusted: Mutex::default(),
            ended: Mutex::default(),
            settings,
        }
    }

    /// The session of this cookie, if it is still an administrator's.
    pub async fn session(&self, cookie: &str) -> Result<Session, NoSession> {
        let session = self.signer.session(cookie).ok_or(NoSession::Ended)?;
        if session.until_ms <= self.env.wall_ms() || self.ended.lock().contains_key(&session.id) {
            return Err(NoSession::Ended);
        }
        let now = self.env.now();
        if self.trusted.lock().get(&session.id).is_some_and(|until| now < *until) {
            return Ok(session);
        }
        let unknown = |why: String| NoSession::Unknown(format!("whether you are logged in is not known: {why}"));
        if sessions::is_ended(&self.reads, &session.id).await.map_err(|e| unknown(e.to_string()))? {
            return Err(NoSession::Ended);
        }
        if !self.is_admin(&session.user).await.map_err(unknown)? {
            return Err(NoSession::Ended);
        }
        self.trusted.lock().insert(session.id.clone(), now + TRUSTED);
        Ok(session)
    }

    /// Whether a user is an administrator now.
    ///
    /// # Errors
    /// Why that is not known.
    pub async fn is_admin(&self, user: &str) -> Result<bool, String> {
        let found = self.client.ask(GetUser { id: user.to_string() }).await;
        let user = found.map_err(|error: AskError<_>| error.to_string())?;
        Ok(user.is_some_and(|user| user.role == Role::Admin))
    }

    /// From now on this session is not accepted here.
    pub fn end(&self, session: &Session) {
        self.trusted.lock().remove(&session.id);
        self.ended.lock().insert(session.id.clone(), session.until_ms);
    }

    /// Forgets sessions that have ended by themselves.
    pub fn forget_sessions(&self, now_ms: u64) {
        let now = self.env.now();
        self.trusted.lock().retain(|_, until| now < *until);
        self.ended.lock().retain(|_, until_ms| now_ms < *until_ms);
    }
}
