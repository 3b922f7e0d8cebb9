//! Who is logged in: access tokens (JWT, RFC 7519, used as RFC 6750 says), verified here and nowhere else.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use essaim::Env;
use essaim::lock::Mutex;
use essaim_contract::Principal;
use essaim_http::Problem;
use jsonwebtoken::{Algorithm, decode, decode_header};
use serde::Deserialize;

use crate::bounded::Bounded;
use crate::keys::{KeyRing, NoKey};

/// Longer than any token that `auth` makes.
const LONGEST_TOKEN_BYTES: usize = 8 << 10;

/// What is read of a token's claims; `iss` and `aud` are checked while it is decoded.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    roles: Vec<String>,
    exp: u64,
    #[serde(default)]
    nbf: Option<u64>,
}

/// A token that was found valid.
#[derive(Clone)]
struct Verified {
    principal: Arc<Principal>,
    /// When it is no longer believed without verifying it again, in milliseconds since 1970.
    until_ms: u64,
}

/// Verifies tokens and remembers those that are valid for a while, since a signature costs more than all the rest.
pub(crate) struct Tokens {
    env: Env,
    keys: Arc<KeyRing>,
    leeway_ms: u64,
    remember_ms: u64,
    verified: Mutex<Bounded<Box<str>, Verified>>,
}

/// What makes a token invalid, in words for its bearer.
type Reason = &'static str;

enum Refusal {
    Invalid(Reason),
    NoKeys(String),
}

impl Tokens {
    /// Verifies with these keys; remembers at most `limit` tokens for at most `remember_ms` each.
    pub fn new(env: Env, keys: Arc<KeyRing>, leeway_s: u64, limit: usize, remember_ms: u64) -> Self {
        let verified = Mutex::new(Bounded::new(limit));
        Self { env, keys, leeway_ms: leeway_s.saturating_mul(1_000), remember_ms, verified }
    }

    /// Who is logged in, by the header `Authorization`; `None` if there is none.
    ///
    /// # Errors
    /// 401 if the token is not valid, 503 if the keys cannot be fetched.
    pub async fn principal(&self, headers: &HeaderMap) -> Result<Option<Arc<Principal>>, Problem> {
        let mut given = headers.get_all(header::AUTHORIZATION);
        let Some(first) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(invalid("There is more than one `Authorization` header."));
        }
        let token = bearer(first).ok_or_else(|| invalid("Send `Authorization: Bearer <token>`."))?;
        match self.verify(token).await {
            Ok(principal) => Ok(Some(principal)),
            Err(Refusal::Invalid(reason)) => Err(invalid(reason)),
            Err(Refusal::NoKeys(cause)) => Err(Problem::unavailable(format!("no keys to verify tokens: {cause}"))),
        }
    }

    async fn verify(&self, token: &str) -> Result<Arc<Principal>, Refusal> {
        if let Some(principal) = self.remembered(token) {
            return Ok(principal);
        }
        let kid = key_id(token).map_err(Refusal::Invalid)?;
        let keys = self.keys.with(&kid).await.map_err(|error| match error {
            NoKey::Unknown => Refusal::Invalid("The token is not valid."),
            NoKey::Unavailable(cause) => Refusal::NoKeys(cause),
        })?;
        let (key, validation) = keys.get(&kid).ok_or(Refusal::Invalid("The token is not valid."))?;
        let claims =
            decode::<Claims>(token, key, validation).map_err(|_| Refusal::Invalid("The token is not valid."))?;
        self.check_times(&claims.claims).map_err(Refusal::Invalid)?;
        Ok(self.remember(token, claims.claims))
    }

    fn check_times(&self, claims: &Claims) -> Result<(), Reason> {
        let now_ms = self.env.wall_ms();
        if now_ms >= claims.exp.saturating_mul(1_000).saturating_add(self.leeway_ms) {
            return Err("The token has expired.");
        }
        match claims.nbf {
            Some(nbf) if now_ms.saturating_add(self.leeway_ms) < nbf.saturating_mul(1_000) => {
                Err("The token is not valid yet.")
            }
            _ => Ok(()),
        }
    }

    fn remembered(&self, token: &str) -> Option<Arc<Principal>> {
        let mut verified = self.verified.lock();
        let known = verified.get(token)?;
        if self.env.wall_ms() < known.until_ms {
            return Some(known.principal.clone());
        }
        verified.remove(token);
        None
    }

    fn remember(&self, token: &str, claims: Claims) -> Arc<Principal> {
        let expiry_ms = claims.exp.saturating_mul(1_000).saturating_add(self.leeway_ms);
        let until_ms = expiry_ms.min(self.env.wall_ms().saturating_add(self.remember_ms));
        let principal = Arc::new(Principal { subject: claims.sub, roles: claims.roles });
        let entry = Verified { principal: principal.clone(), until_ms };
        self.verified.lock().insert(token.into(), entry);
        principal
    }
}

/// The token in a header's value.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start_matches(' '))
}

/// The id of the key that a token claims to be signed with. Only EdDSA is accepted: what a token says about its
/// algorithm never chooses how it is verified. Nor is a token with extensions that have to be understood (`crit`, RFC 7515): none is.
fn key_id(token: &str) -> Result<String, Reason> {
    if token.len() > LONGEST_TOKEN_BYTES {
        return Err("The token is too long.");
    }
    let header = decode_header(token).map_err(|_| "The token is not valid.")?;
    match (header.alg, header.kid, header.crit) {
        (Algorithm::EdDSA, Some(kid), None) => Ok(kid),
        _ => Err("The token is not valid."),
    }
}

fn invalid(reason: Reason) -> Problem {
    const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "The access token is not accepted")
        .detail(reason)
        .header(header::WWW_AUTHENTICATE, CHALLENGE)
}
