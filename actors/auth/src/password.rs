//! Passwords, as they are kept: Argon2id in PHC strings.
//!
//! Hashing takes tens of milliseconds and megabytes on purpose; it is for `cx.blocking`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::{Algorithm, Argon2, PasswordHasher, PasswordVerifier, Version};
use essaim::{Env, StartError, exit};
use essaim_auth_contract::{PASSWORD_MAX, PASSWORD_MIN, Secret};
use unicode_normalization::UnicodeNormalization;

use crate::settings::Argon2Settings;

/// Hashes and verifies passwords; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// Verified against when there is no account, so that an unknown address takes as long as a wrong password.
    nobody: String,
    /// Computations of Argon2 so far.
    computed: Arc<AtomicU64>,
}

/// What is wrong with a password; `None` if nothing is. Length is what makes a password hard to guess and is all that
/// is asked for, as NIST SP 800-63B advises.
pub(crate) fn weakness(password: &str) -> Option<&'static str> {
    match password.chars().count() {
        n if n < PASSWORD_MIN => Some("must have at least 8 characters"),
        n if n > PASSWORD_MAX => Some("must have at most 128 characters"),
        _ => None,
    }
}

/// A new random password of 24 characters.
pub(crate) fn random(env: &Env) -> Secret {
    let mut bytes = [0; 18];
    env.fill_secret(&mut bytes);
    Secret::from(crate::base64url(&bytes))
}

/// A new salt.
pub(crate) fn salt(env: &Env) -> [u8; 16] {
    let mut salt = [0; 16];
    env.fill_secret(&mut salt);
    salt
}

impl Hasher {
    /// # Errors
    /// If Argon2 does not take the settings.
    pub fn new(settings: &Argon2Settings, env: &Env) -> Result<Self, StartError> {
        let params = settings.params().map_err(|e| StartError::fatal(exit::CONFIG, e))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hasher = Self { argon2, nobody: String::new(), computed: Arc::default() };
        hasher.nobody = hasher.hash(&random(env), &salt(env)).map_err(StartError::new)?;
        Ok(hasher)
    }

    /// How many computations of Argon2 there were.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// If Argon2 refuses, which it does not for the sizes that occur.
    pub fn hash(&self, password: &Secret, salt: &[u8; 16]) -> Result<String, String> {
        let password = normal(password);
        self.computed.fetch_add(1, Ordering::Relaxed);
        let hash = self.argon2.hash_password_with_salt(password.as_bytes(), salt);
        hash.map(|h| h.to_string()).map_err(|e| format!("Argon2: {e}"))
    }

    /// Whether the password is the one of this PHC string. Without one the answer is no, and takes as long.
    pub fn verify(&self, password: &Secret, hash: Option<&str>) -> bool {
        let password = normal(password);
        self.computed.fetch_add(1, Ordering::Relaxed);
        let verified = self.argon2.verify_password(password.as_bytes(), hash.unwrap_or(&self.nobody)).is_ok();
        verified && hash.is_some()
    }
}

/// The same password typed on another keyboard can come in another Unicode form.
fn normal(password: &Secret) -> String {
    password.expose().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const QUICK: Argon2Settings = Argon2Settings { memory_kib: 8, iterations: 1, parallelism: 1 };

    #[tokio::test]
    async fn a_password_is_verified_in_any_unicode_form() {
        let env = Env::simulated(1, Duration::ZERO);
        let hasher = Hasher::new(&QUICK, &env).unwrap();
        let hash = hasher.hash(&"pässword".into(), &salt(&env)).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(hasher.verify(&"pa\u{308}ssword".into(), Some(&hash)));
        assert!(!hasher.verify(&"password".into(), Some(&hash)));
        assert!(!hasher.verify(&"pässword".into(), None), "nobody has no password");
    }

    #[test]
    fn a_password_has_8_to_128_characters() {
        assert!(weakness("1234567").is_some() && weakness(&"ä".repeat(129)).is_some());
        assert!(weakness("12345678").is_none() && weakness(&"ä".repeat(128)).is_none());
    }
}
