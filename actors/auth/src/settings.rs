//! `[auth]`; `config/default.toml` gives every key its unit and meaning.

use argon2::Params;
use essaim::config::ConfigError;
use essaim_auth_contract::{KEYS_MAX_AGE_SECONDS, PASSWORD_MAX, PASSWORD_MIN, Secret};
use serde::{Deserialize, Serialize};

/// `[auth]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// The `iss` of access tokens.
    pub issuer: String,
    /// The `aud` of access tokens.
    pub audience: String,
    /// How long an access token is valid.
    pub access_token_seconds: u32,
    /// How long a session lasts, however often it is refreshed.
    pub session_days: u32,
    /// How long the refresh token just exchanged may be sent again.
    pub refresh_repeat_seconds: u32,
    /// Sessions that one user may have; a further login ends the oldest.
    pub sessions_per_user: u32,
    /// How often what has expired is deleted.
    pub sweep_seconds: u32,
    /// How long the password of a user that there is not (any more) is kept.
    pub orphan_days: u32,
    /// The work that one password costs.
    pub argon2: Argon2Settings,
    /// The keys that sign access tokens.
    pub keys: KeySettings,
    /// Slowing down those who guess passwords.
    pub throttle: ThrottleSettings,
    /// The admin that is made when there is none.
    pub first_admin: FirstAdminSettings,
}

/// `[auth.argon2]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Argon2Settings {
    /// Memory of one computation, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

/// `[auth.keys]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// How long a key signs.
    pub rotate_days: u32,
    /// How long a key is published before it signs.
    pub publish_seconds: u32,
    /// How often a node reads the keys and looks whether one is due.
    pub refresh_seconds: u32,
    /// How long a key is kept after the last token it may have signed has expired.
    pub keep_seconds: u32,
}

/// `[auth.throttle]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleSettings {
    /// Failures of one account that cost nothing.
    pub account_free: u32,
    /// The longest wait for one account.
    pub account_wait_most_seconds: u32,
    /// Failures from one address that cost nothing.
    pub address_free: u32,
    /// The longest wait for one address.
    pub address_wait_most_seconds: u32,
    /// The first wait; each further failure doubles it.
    pub wait_first_seconds: u32,
    /// Failures are forgotten when there was none for this long.
    pub forget_seconds: u32,
    /// How long an address from which the password was right counts as known to the account.
    pub known_address_days: u32,
    /// Known addresses of one account.
    pub known_addresses: u32,
    /// Counters kept at a time; beyond it the ones least recently used are dropped.
    pub counters_most: u32,
}

/// `[auth.first_admin]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirstAdminSettings {
    /// The e-mail address.
    pub email: String,
    /// The password; empty: a random one is made and printed once.
    pub password: Secret,
    /// How often it is tried until it is done.
    pub retry_seconds: u32,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            issuer: "essaim".into(),
            audience: "essaim".into(),
            access_token_seconds: 15 * 60,
            session_days: 30,
            refresh_repeat_seconds: 20,
            sessions_per_user: 50,
            sweep_seconds: 60,
            orphan_days: 7,
            argon2: Argon2Settings::default(),
            keys: KeySettings::default(),
            throttle: ThrottleSettings::default(),
            first_admin: FirstAdminSettings::default(),
        }
    }
}

impl Default for Argon2Settings {
    /// The least that OWASP's Password Storage Cheat Sheet recommends for Argon2id.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { rotate_days: 30, publish_seconds: 600, refresh_seconds: 30, keep_seconds: 300 }
    }
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            account_free: 10,
            account_wait_most_seconds: 60,
            address_free: 50,
            address_wait_most_seconds: 900,
            wait_first_seconds: 5,
            forget_seconds: 900,
            known_address_days: 90,
            known_addresses: 10,
            counters_most: 100_000,
        }
    }
}

impl Default for FirstAdminSettings {
    fn default() -> Self {
        Self { email: "admin@example.com".into(), password: Secret::default(), retry_seconds: 1 }
    }
}

impl AuthSettings {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key that cannot be, and why.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let (keys, throttle) = (&self.keys, &self.throttle);
        let most_wait = throttle.account_wait_most_seconds.max(throttle.address_wait_most_seconds);
        let password = self.first_admin.password.expose();
        let problems = [
            (self.access_token_seconds == 0, "auth.access_token_seconds must be at least 1"),
            (self.session_days == 0, "auth.session_days must be at least 1"),
            (self.sessions_per_user == 0, "auth.sessions_per_user must be at least 1"),
            (self.sweep_seconds == 0, "auth.sweep_seconds must be at least 1"),
            (keys.rotate_days == 0, "auth.keys.rotate_days must be at least 1"),
            (keys.refresh_seconds == 0, "auth.keys.refresh_seconds must be at least 1"),
            (self.first_admin.retry_seconds == 0, "auth.first_admin.retry_seconds must be at least 1"),
            (
                keys.publish_seconds < KEYS_MAX_AGE_SECONDS.max(2 * keys.refresh_seconds),
                "auth.keys.publish_seconds must be at least 60 and twice auth.keys.refresh_seconds, so that every \
                 verifier knows a key before it signs",
            ),
            (
                throttle.forget_seconds < most_wait,
                "auth.throttle.forget_seconds must be at least as long as the longest wait, or waiting would reset it",
            ),
            (
                !password.is_empty() && !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.chars().count()),
                "auth.first_admin.password must have 8 to 128 characters",
            ),
        ];
        match problems.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, problem)) => Err(ConfigError::new(problem)),
            None => self.argon2.params().map(drop),
        }
    }
}

impl Argon2Settings {
    /// The parameters of the computation.
    ///
    /// # Errors
    /// If Argon2 does not take them.
    pub(crate) fn params(&self) -> Result<Params, ConfigError> {
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, None);
        params.map_err(|e| ConfigError::new(format!("[auth.argon2]: {e}")))
    }
}

/// Seconds of a setting as the milliseconds that the database counts in.
pub(crate) fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000
}

/// Days of a setting in milliseconds.
pub(crate) fn days_ms(days: u32) -> i64 {
    i64::from(days) * 86_400_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent() {
        AuthSettings::default().check().unwrap();
    }

    #[test]
    fn a_short_password_of_the_first_admin_is_named_by_its_key() {
        let first_admin = FirstAdminSettings { password: "short".into(), ..FirstAdminSettings::default() };
        let error = AuthSettings { first_admin, ..AuthSettings::default() }.check().unwrap_err();
        assert!(error.to_string().contains("auth.first_admin.password"), "{error}");
        assert!(!error.to_string().contains("short"));
    }
}
