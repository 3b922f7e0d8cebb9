//! Refresh tokens: exchanged once each, and useless to a thief.
//!
//! A session is a chain of tokens. Each is 32 bytes, of which only a hash is kept; exchanging one makes its successor.
//! A token that comes a second time is in two hands, and as nobody can tell whose are the right ones the whole session
//! is revoked. But the second time may be the same hand, when the answer was lost on its way: the token exchanged last
//! may come again for a while (`auth.refresh_repeat_seconds`) and gets the *same* successor.
//!
//! For that the successor must be found again though it is not kept. It is derived: HMAC-SHA256 of the token under a
//! secret of the session's own. The holder of a token cannot go on in the chain without the secret, and a reader of the
//! database has secrets and hashes and cannot make any token of them.
//!
//! All that is decided about a session is decided in a transaction that locks its row, so two exchanges at one moment,
//! in two instances or two nodes, come one after the other: one makes the successor, the other gets the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use essaim::contract::Never;
use essaim::{Cx, Env, Fault, Handle, fail, reject};
use essaim_auth_contract::{Logout, Refresh, RefreshError, Secret, Tokens};
use essaim_users_contract::GetUser;
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::{ConnectionTrait, DbErr};
use sha2::{Digest, Sha256};

use crate::actor::AuthActor;
use crate::settings::ms;
use crate::store::sessions::{self, Session};

/// A refresh token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken([u8; 32]);

impl RefreshToken {
    /// The first token of a session.
    pub fn random(env: &Env) -> Self {
        let mut bytes = [0; 32];
        env.fill_secret(&mut bytes);
        Self(bytes)
    }

    /// The token that a text stands for.
    pub fn parse(text: &Secret) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text.expose()).ok()?.try_into().ok().map(Self)
    }

    /// As it is given to the client.
    pub fn text(&self) -> Secret {
        crate::base64url(&self.0).into()
    }

    /// As it is kept.
    pub fn hash(&self) -> String {
        crate::base64url(&Sha256::digest(self.0))
    }

    /// The token that comes after this one.
    fn successor(&self, session_secret: &[u8]) -> Result<Self, String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(session_secret).map_err(|e| e.to_string())?;
        mac.update(&self.0);
        Ok(Self(mac.finalize().into_bytes().into()))
    }
}

/// Outcome of a token's exchange.
enum Turn {
    /// Its successor is valid, for the first time or again.
    Successor,
    /// It was exchanged before, and no longer may be: the session is revoked.
    Reused,
    /// The session has ended meanwhile.
    Ended,
}

impl Handle<Refresh> for AuthActor {
    async fn handle(&mut self, m: Refresh, cx: &mut Cx) -> Result<Tokens, Fault<RefreshError>> {
        let invalid = || reject(RefreshError::Invalid);
        let token = RefreshToken::parse(&m.refresh_token).ok_or_else(invalid)?;
        let now = cx.now_ms() as i64;
        let session = session_of(cx, &token, now).await?.ok_or_else(invalid)?;
        let Some(user) = cx.ask(GetUser { id: session.user_id.clone() }).await? else {
            let tx = cx.begin().await?;
            sessions::revoke_user(&tx, &session.user_id, now).await?;
            tx.commit().await?;
            return Err(invalid());
        };
        let successor = token.successor(&session.secret).map_err(fail)?;
        let tokens = self.shared.tokens(&user.id, user.role, successor.text()).map_err(fail)?;
        let repeat_ms = ms(self.shared.settings.refresh_repeat_seconds);
        let tx = cx.begin().await?;
        let turn = turn(&tx, &session, &token, &successor, repeat_ms, now).await?;
        tx.commit().await?;
        match turn {
            Turn::Successor => Ok(tokens),
            Turn::Ended => Err(invalid()),
            Turn::Reused => {
                let (session, user) = (session.id, user.id);
                tracing::warn!(session, user, "a refresh token came again after its successor; the session is revoked");
                Err(invalid())
            }
        }
    }
}

impl Handle<Logout> for AuthActor {
    async fn handle(&mut self, m: Logout, cx: &mut Cx) -> Result<(), Fault<Never>> {
        let Some(token) = RefreshToken::parse(&m.refresh_token) else { return Ok(()) };
        let now = cx.now_ms() as i64;
        if let Some(session) = session_of(cx, &token, now).await? {
            let tx = cx.begin().await?;
            sessions::revoke(&tx, &session.id, now).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// The live session that a token belongs to.
async fn session_of(cx: &Cx, token: &RefreshToken, now: i64) -> Result<Option<Session>, DbErr> {
    match sessions::token(cx.db(), &token.hash()).await? {
        Some(row) => sessions::live(cx.db(), &row.session_id, now).await,
        None => Ok(None),
    }
}

async fn turn(
    db: &impl ConnectionTrait,
    session: &Session,
    token: &RefreshToken,
    successor: &RefreshToken,
    repeat_ms: i64,
    now: i64,
) -> Result<Turn, DbErr> {
    if !sessions::lock(db, &session.id, now).await? {
        return Ok(Turn::Ended);
    }
    // Read again, now that nobody else can change it.
    let Some(row) = sessions::token(db, &token.hash()).await? else { return Ok(Turn::Ended) };
    let Some(used_at) = row.used_at else {
        sessions::use_token(db, &row.hash, now).await?;
        sessions::add_token(db, &session.id, row.sequence + 1, &successor.hash()).await?;
        return Ok(Turn::Successor);
    };
    let next = sessions::token_at(db, &session.id, row.sequence + 1).await?;
    if now - used_at <= repeat_ms && next.is_some_and(|next| next.used_at.is_none()) {
        return Ok(Turn::Successor);
    }
    sessions::revoke(db, &session.id, now).await?;
    Ok(Turn::Reused)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_successor_is_found_again_and_only_with_the_sessions_secret() {
        let token = RefreshToken::random(&Env::simulated(1, Duration::ZERO));
        let next = token.successor(&[1; 32]).unwrap();
        assert!(next == token.successor(&[1; 32]).unwrap());
        assert!(next != token.successor(&[2; 32]).unwrap());
        assert!(RefreshToken::parse(&next.text()).unwrap() == next);
        assert!(RefreshToken::parse(&"short".into()).is_none());
    }
}
