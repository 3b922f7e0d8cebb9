//! Access tokens, good ones and bad ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use essaim_auth_contract::{Keys, PublicKey};
use serde_json::{Value, json};

/// When the tests take place, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

/// A key that signs.
pub struct Key {
    pub kid: &'static str,
    key: SigningKey,
}

impl Key {
    pub fn new(kid: &'static str, seed: u8) -> Self {
        Self { kid, key: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// The public half, in base64url.
    pub fn x(&self) -> String {
        encode(self.key.verifying_key().as_bytes())
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}), claims)
    }

    /// A token with this header and these claims.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", encode(&signature.to_bytes()))
    }
}

/// Claims that are accepted for a quarter of an hour.
pub fn claims() -> Value {
    json!({
        "iss": "essaim", "aud": "essaim", "sub": "user-1", "roles": ["customer"], "iat": NOW, "exp": NOW + 900,
        "jti": "1",
    })
}

/// The claims with one changed; `null` leaves it out.
pub fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// What `auth` publishes.
pub fn published(keys: &[&Key]) -> Keys {
    let keys = keys.iter().map(|k| PublicKey { kid: k.kid.into(), x: k.x() }).collect();
    Keys { issuer: "essaim".into(), audience: "essaim".into(), keys }
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The headers that present a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
