//! A login: what the browser keeps of it, signed so that nobody else can make one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use essaim::Env;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The cookie's name.
pub(crate) const COOKIE: &str = "essaim_console";

/// A login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub id: String,
    /// The user's id.
    pub user: String,
    pub email: String,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: u64,
}

/// A new secret to sign with, as text.
pub(crate) fn new_secret(env: &Env) -> String {
    let mut bytes = [0; 32];
    env.fill_secret(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs sessions, and knows those that it has signed.
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// A session as a cookie's value: itself and its signature.
    pub fn cookie(&self, session: &Session) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(session).unwrap_or_default());
        let signature = URL_SAFE_NO_PAD.encode(self.over(&body).finalize().into_bytes());
        format!("{body}.{signature}")
    }

    /// The session of a cookie's value; `None` if it was not signed here.
    pub fn session(&self, cookie: &str) -> Option<Session> {
        let (body, signature) = cookie.split_once('.')?;
        // In a time that tells nothing of where they differ.
        self.over(body).verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }

    fn over(&self, body: &str) -> Hmac<Sha256> {
        let mut signing = self.0.clone();
        signing.update(body.as_bytes());
        signing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_who_signed_it_as_it_was() {
        let session = Session { id: "1".into(), user: "u".into(), email: "a@b".into(), until_ms: 7 };
        let (own, other) = (Signer::new(b"one"), Signer::new(b"two"));
        let cookie = own.cookie(&session);
        assert_eq!(own.session(&cookie), Some(session.clone()));
        assert_eq!(other.session(&cookie), None);
        let longer = other.cookie(&Session { until_ms: 8, ..session });
        let (body, _) = longer.split_once('.').unwrap();
        let (_, signature) = cookie.split_once('.').unwrap();
        for forged in [format!("{body}.{signature}"), format!("{body}."), body.to_string(), String::new()] {
            assert_eq!(own.session(&forged), None, "{forged}");
        }
    }
}
