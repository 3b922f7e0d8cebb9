//! The actor, and what its instances share.

use std::sync::Arc;
use std::time::Duration;

use essaim::config::ConfigError;
use essaim::contract::{Capability, Never};
use essaim::lock::{Mutex, RwLock};
use essaim::store::Schema;
use essaim::{Actor, Cx, Env, Fault, Handle, Handles, Start, StartError};
use essaim_auth_contract::{Auth, Claims, GetKeys, Keys, Login, Logout, Refresh, Register, Secret, Tokens};
use essaim_users_contract::{Role, UserDeleted, Users};
use serde_json::{Value, json};

use crate::first_admin::{self, FirstAdmin};
use crate::keys::{self, Ring};
use crate::password::Hasher;
use crate::settings::AuthSettings;
use crate::{store, sweep};

const KEYS: &str = "keys";
const SWEEP: &str = "sweep";
pub(crate) const FIRST_ADMIN: &str = "first-admin";

/// Answers the contract of `auth`.
#[derive(Debug)]
pub struct AuthActor {
    pub(crate) shared: Arc<AuthShared>,
}

/// What the instances of one node share.
pub struct AuthShared {
    pub(crate) settings: AuthSettings,
    pub(crate) hasher: Hasher,
    pub(crate) first_admin: FirstAdmin,
    /// Up to which user id the sweep has come.
    pub(crate) swept: Mutex<String>,
    ring: RwLock<Arc<Ring>>,
    env: Env,
}

impl Actor for AuthActor {
    type Capability = Auth;
    type Settings = AuthSettings;
    type Shared = Arc<AuthShared>;

    const ASKS: &'static [&'static str] = &[Users::NAME];

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    fn check(settings: &AuthSettings) -> Result<(), ConfigError> {
        settings.check()
    }

    async fn share(settings: AuthSettings, start: &mut Start) -> Result<Arc<AuthShared>, StartError> {
        let env = start.env().clone();
        let (argon2, hasher_env) = (settings.argon2.clone(), env.clone());
        let hasher = start.blocking(move || Hasher::new(&argon2, &hasher_env)).await??;
        let tx = start.begin().await?;
        let ring = keys::keep(&tx, &settings, &env).await?;
        let has_admin = store::first_admin::read(&tx).await?.is_some_and(|row| row.done_at.is_some());
        tx.commit().await?;
        let every = |seconds: u32| Duration::from_secs(seconds.into());
        start.every(KEYS, every(settings.keys.refresh_seconds));
        start.every(SWEEP, every(settings.sweep_seconds));
        start.every(FIRST_ADMIN, every(settings.first_admin.retry_seconds));
        Ok(Arc::new(AuthShared {
            settings,
            hasher,
            first_admin: FirstAdmin::begin(!has_admin, start),
            swept: Mutex::default(),
            ring: RwLock::new(Arc::new(ring)),
            env,
        }))
    }

    async fn start(shared: &Arc<AuthShared>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { shared: shared.clone() })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Register>().ask::<Login>().ask::<Refresh>().ask::<Logout>().ask::<GetKeys>();
        h.event::<UserDeleted>();
    }

    async fn tick(&mut self, timer: &'static str, cx: &mut Cx) -> Result<(), Fault> {
        match timer {
            KEYS => self.keep_keys(cx).await,
            SWEEP => sweep::sweep(&self.shared, cx).await,
            FIRST_ADMIN => first_admin::make(&self.shared, cx).await,
            _ => Ok(()),
        }
    }

    fn status(shared: &Arc<AuthShared>) -> Value {
        let ring = shared.ring();
        let signing_kid = ring.signing_kid(shared.env.wall_ms() as i64);
        let computed = shared.hasher.computed();
        json!({ "signing_kid": signing_kid, "published_keys": ring.len(), "password_computations": computed })
    }
}

impl AuthActor {
    async fn keep_keys(&self, cx: &mut Cx) -> Result<(), Fault> {
        let env = cx.env().clone();
        let tx = cx.begin().await?;
        let ring = keys::keep(&tx, &self.shared.settings, &env).await?;
        tx.commit().await?;
        *self.shared.ring.write() = Arc::new(ring);
        Ok(())
    }
}

impl Handle<GetKeys> for AuthActor {
    async fn handle(&mut self, _: GetKeys, cx: &mut Cx) -> Result<Keys, Fault<Never>> {
        // From the database, not from this node's ring: another node may have made the first key a moment ago.
        let keys = keys::public(cx.db()).await?;
        let AuthSettings { issuer, audience, .. } = self.shared.settings.clone();
        Ok(Keys { issuer, audience, keys })
    }
}

impl AuthShared {
    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.ring.read().clone()
    }

    /// The answer to a login or a refresh: a new access token beside this refresh token.
    pub(crate) fn tokens(&self, user_id: &str, role: Role, refresh_token: Secret) -> Result<Tokens, String> {
        let now_ms = self.env.wall_ms() as i64;
        let now = now_ms / 1_000;
        let expires_in = self.settings.access_token_seconds;
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            sub: user_id.to_owned(),
            roles: vec![role.to_string()],
            iat: now,
            exp: now + i64::from(expires_in),
            jti: self.env.id().to_string(),
        };
        let access_token = self.ring().sign(&claims, now_ms)?;
        Ok(Tokens { access_token, refresh_token, token_type: "Bearer".into(), expires_in })
    }
}

impl std::fmt::Debug for AuthShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthShared").field("settings", &self.settings).field("ring", &self.ring).finish_non_exhaustive()
    }
}
