//! The keys that sign access tokens.
//!
//! A key lives through three times: *published* (verifiers can fetch it, nothing is signed with it yet), *signing*, and
//! *kept* (its successor signs; it stays published until the last token it signed has expired). The key that signs at a
//! moment follows from the `activates_at` of all keys, so the nodes agree without talking to each other, and one that
//! has not yet read of a rotation signs with a key that is still kept.
//!
//! Keys are numbered, and the number is unique in the database: of several nodes that find a key due at one moment, one
//! inserts it and the others read it.

use std::fmt;

use ed25519_dalek::SigningKey;
use essaim::Env;
use essaim_auth_contract::{Claims, PublicKey, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sea_orm::{ConnectionTrait, DbErr};
use sha2::{Digest, Sha256};

use crate::settings::{AuthSettings, days_ms, ms};
use crate::store::keys::{self as store, Row};

/// What stands before the 32 bytes of an Ed25519 key in its PKCS #8 form (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The keys as one node read them last, newest first.
pub(crate) struct Ring(Vec<Key>);

struct Key {
    kid: String,
    activates_at: i64,
    encoding: EncodingKey,
}

impl Ring {
    /// The key that signs now: the newest that has been published long enough, or the first one of all.
    fn signing(&self, now: i64) -> Option<&Key> {
        self.0.iter().find(|k| k.activates_at <= now).or(self.0.last())
    }

    /// The id of the key that signs now.
    pub fn signing_kid(&self, now: i64) -> Option<&str> {
        self.signing(now).map(|k| k.kid.as_str())
    }

    /// How many keys are published.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Signs an access token.
    ///
    /// # Errors
    /// If there is no key, or it cannot be used.
    pub fn sign(&self, claims: &Claims, now: i64) -> Result<Secret, String> {
        let key = self.signing(now).ok_or("there is no signing key")?;
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &key.encoding).map(Secret::from).map_err(|e| format!("signing: {e}"))
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|k| &k.kid)).finish()
    }
}

/// Makes the key that is due, drops those that nobody needs any more, and reads the rest.
pub(crate) async fn keep(db: &impl ConnectionTrait, settings: &AuthSettings, env: &Env) -> Result<Ring, DbErr> {
    let now = env.wall_ms() as i64;
    let mut rows = store::all(db).await?;
    if let Some((generation, activates_at)) = due(&rows, settings, now) {
        let (kid, seed, x) = generate(env);
        store::insert(db, Row { generation, kid, seed, x, created_at: now, activates_at }).await?;
        rows = store::all(db).await?;
    }
    let needless = needless(&rows, settings, now);
    if !needless.is_empty() {
        store::delete(db, &needless).await?;
        rows.retain(|row| !needless.contains(&row.generation));
    }
    Ok(Ring(rows.into_iter().map(key).collect()))
}

/// The public halves of all keys, newest first.
pub(crate) async fn public(db: &impl ConnectionTrait) -> Result<Vec<PublicKey>, DbErr> {
    Ok(store::all(db).await?.into_iter().map(|row| PublicKey { kid: row.kid, x: row.x }).collect())
}

/// The number and the activation of the key to be made now, if one is due. The first key signs at once: there is no
/// other, and no verifier that could have read the keys before it.
fn due(rows: &[Row], settings: &AuthSettings, now: i64) -> Option<(i64, i64)> {
    let publish = ms(settings.keys.publish_seconds);
    match rows.first() {
        None => Some((1, now)),
        Some(newest) if newest.activates_at + days_ms(settings.keys.rotate_days) <= now + publish => {
            Some((newest.generation + 1, now + publish))
        }
        Some(_) => None,
    }
}

/// The keys whose tokens have all expired: the successor has been signing for longer than a token lasts.
fn needless(rows: &[Row], settings: &AuthSettings, now: i64) -> Vec<i64> {
    let lasts = ms(settings.access_token_seconds) + ms(settings.keys.keep_seconds) + ms(settings.keys.refresh_seconds);
    let superseded = rows.windows(2).filter(|pair| pair[0].activates_at + lasts <= now);
    superseded.map(|pair| pair[1].generation).collect()
}

fn generate(env: &Env) -> (String, Vec<u8>, String) {
    let mut seed = [0; 32];
    env.fill_secret(&mut seed);
    let x = crate::base64url(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
    // The members in this order and without blanks: RFC 7638 hashes the text.
    let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    (crate::base64url(&thumbprint), seed.to_vec(), x)
}

fn key(row: Row) -> Key {
    let der = [&PKCS8_HEAD[..], &row.seed].concat();
    Key { kid: row.kid, activates_at: row.activates_at, encoding: EncodingKey::from_ed_der(&der) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(generation: i64, activates_at: i64) -> Row {
        Row {
            generation,
            kid: generation.to_string(),
            seed: vec![7; 32],
            x: String::new(),
            created_at: 0,
            activates_at,
        }
    }

    const DAY: i64 = 86_400_000;

    #[test]
    fn the_next_key_is_published_before_it_signs() {
        let settings = AuthSettings::default();
        let publish = ms(settings.keys.publish_seconds);
        assert_eq!(due(&[], &settings, 5), Some((1, 5)), "the first key signs at once");
        let rows = [row(3, 0)];
        assert_eq!(due(&rows, &settings, 30 * DAY - publish - 1), None);
        assert_eq!(due(&rows, &settings, 30 * DAY - publish), Some((4, 30 * DAY)));
        assert_eq!(due(&rows, &settings, 90 * DAY), Some((4, 90 * DAY + publish)), "also after a long rest");
        let ring = Ring([row(4, 30 * DAY), row(3, 0)].into_iter().map(key).collect());
        assert_eq!(ring.signing_kid(30 * DAY - 1), Some("3"));
        assert_eq!(ring.signing_kid(30 * DAY), Some("4"));
    }

    #[test]
    fn an_old_key_is_kept_until_its_tokens_have_expired() {
        let settings = AuthSettings::default();
        let rows = [row(3, 2 * DAY), row(2, DAY), row(1, 0)];
        let lasts = ms(15 * 60 + 300 + 30);
        assert_eq!(needless(&rows, &settings, DAY + lasts - 1), Vec::<i64>::new());
        assert_eq!(needless(&rows, &settings, DAY + lasts), [1]);
        assert_eq!(needless(&rows, &settings, 100 * DAY), [2, 1], "the newest is always kept");
    }
}
