//! Login.
//!
//! A wrong password, an unknown address and a user who was deleted take the same way: the same reads, the same work of
//! Argon2, the same answer.

use essaim::{Cx, Fault, Handle, fail, reject};
use essaim_auth_contract::{Login, LoginError, Tokens};
use essaim_users_contract::{FindByEmail, User};

use crate::actor::AuthActor;
use crate::refresh::RefreshToken;
use crate::settings::days_ms;
use crate::store::credentials;
use crate::store::sessions::{self, Session};
use crate::throttle::{Parties, Wait};

impl Handle<Login> for AuthActor {
    async fn handle(&mut self, m: Login, cx: &mut Cx) -> Result<Tokens, Fault<LoginError>> {
        let policy = &self.shared.settings.throttle;
        let parties = Parties::of(&m.email, &m.address);
        let now = cx.now_ms() as i64;
        let known = parties.known(cx.db(), policy, now).await?;
        if let Some(wait) = parties.check(cx.db(), known, now).await? {
            return Err(throttled(wait));
        }
        let user = cx.ask(FindByEmail { email: m.email }).await?;
        let hash = credentials::hash_of(cx.db(), user.as_ref().map_or("", |u| &u.id)).await?;
        let (hasher, password) = (self.shared.hasher.clone(), m.password);
        let right = cx.blocking(move || hasher.verify(&password, hash.as_deref())).await?;
        match user {
            Some(user) if right => self.open_session(user, &parties, known, cx).await,
            _ => {
                let now = cx.now_ms() as i64;
                let tx = cx.begin().await?;
                if let Some(wait) = parties.failed(&tx, known, policy, now).await? {
                    return Err(throttled(wait));
                }
                tx.commit().await?;
                Err(reject(LoginError::BadCredentials))
            }
        }
    }
}

impl AuthActor {
    async fn open_session(
        &self,
        user: User,
        parties: &Parties,
        known: bool,
        cx: &mut Cx,
    ) -> Result<Tokens, Fault<LoginError>> {
        let settings = &self.shared.settings;
        let now = cx.now_ms() as i64;
        let first = RefreshToken::random(cx.env());
        let mut secret = vec![0; 32];
        cx.env().fill_secret(&mut secret);
        let session = Session {
            id: cx.new_id().to_string(),
            user_id: user.id.clone(),
            secret,
            created_at: now,
            expires_at: now + days_ms(settings.session_days),
            revoked_at: None,
        };
        // Signed first: what can fail comes before what is committed.
        let tokens = self.shared.tokens(&user.id, user.role, first.text()).map_err(fail)?;
        let tx = cx.begin().await?;
        if let Some(wait) = parties.succeeded(&tx, known, &settings.throttle, now).await? {
            return Err(throttled(wait));
        }
        sessions::open(&tx, session, &first.hash()).await?;
        sessions::revoke_oldest(&tx, &user.id, settings.sessions_per_user.into(), now).await?;
        tx.commit().await?;
        Ok(tokens)
    }
}

fn throttled(wait: Wait) -> Fault<LoginError> {
    reject(LoginError::Throttled { retry_after_s: wait.seconds() })
}
