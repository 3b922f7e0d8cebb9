//! What the capability `auth` answers: registration, login, tokens and the keys that verify them.
//!
//! # Layout
//!
//! - [`Register`], [`Login`], [`Refresh`], [`Logout`]: what a person does.
//! - [`GetKeys`]: what a verifier of access tokens needs; [`Claims`]: what is in one.
//! - [`Secret`]: text that is never shown.

use std::fmt;

use essaim_contract::{Ask, Capability, Message, Never, ask_schemas};
use serde::{Deserialize, Serialize};

mod secret;
pub use secret::Secret;

/// The fewest characters of a password.
pub const PASSWORD_MIN: usize = 8;
/// The most characters of a password; more would only cost time to hash.
pub const PASSWORD_MAX: usize = 128;
/// How long a verifier may keep what [`GetKeys`] told it, in seconds; a key is published for longer before it signs.
pub const KEYS_MAX_AGE_SECONDS: u32 = 60;

/// The capability.
#[derive(Debug, Clone, Copy)]
pub struct Auth;

impl Capability for Auth {
    const NAME: &'static str = "auth";
}

macro_rules! ask {
    ($message:ty, $name:literal, $reply:ty, $error:ty, idempotent: $idempotent:literal) => {
        impl Message for $message {
            type To = Auth;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
            const SECRETS: &'static [&'static str] = &["password", "refresh_token", "access_token"];
            ask_schemas!();
        }
        impl Ask for $message {
            type Reply = $reply;
            type Error = $error;
            const IDEMPOTENT: bool = $idempotent;
        }
    };
}

/// Makes an account: a user and a password. Repeating it with the same `user_id` is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Register {
    /// The id of the user to be: a new UUID (version 7) that the caller makes, once for each request of a person.
    pub user_id: String,
    /// The e-mail address.
    pub email: String,
    /// The password: [`PASSWORD_MIN`] to [`PASSWORD_MAX`] characters.
    pub password: Secret,
    /// The person's name.
    pub name: String,
}
ask!(Register, "register", Account, RegisterError, idempotent: true);

/// An account that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Account {
    /// The user's id.
    pub id: String,
    /// The e-mail address, as it was given.
    pub email: String,
    /// The name.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// Why no account was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RegisterError {
    /// A value is not valid.
    Invalid {
        /// The field's name.
        field: String,
        /// What is wrong with it, for the one who sent it.
        reason: String,
    },
    /// There is an account with this e-mail address.
    EmailTaken,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { field, reason } => write!(f, "`{field}` {reason}"),
            Self::EmailTaken => f.write_str("there is an account with this e-mail address"),
        }
    }
}

/// Opens a session. Not idempotent: each one is a session of its own, and each failure counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Login {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: Secret,
    /// The client's IP address, in text.
    pub address: String,
}
ask!(Login, "login", Tokens, LoginError, idempotent: false);

/// What proves who someone is: now (the access token) and for a while (the refresh token).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// A JWT, signed with EdDSA.
    pub access_token: Secret,
    /// Gives the next pair of tokens, once.
    pub refresh_token: Secret,
    /// How the access token is presented: `Bearer`.
    pub token_type: String,
    /// How long the access token is valid, in seconds.
    pub expires_in: u32,
}

/// Why no session was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoginError {
    /// No account has this e-mail address and this password; which of them is wrong is not told.
    BadCredentials,
    /// Too many logins failed for this account or from this address.
    Throttled {
        /// When to try again, in seconds from now; at least 1.
        retry_after_s: u32,
    },
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadCredentials => f.write_str("the e-mail address or the password is wrong"),
            Self::Throttled { retry_after_s } => write!(f, "too many failed logins; wait {retry_after_s} s"),
        }
    }
}

/// Exchanges a refresh token for the next pair. Repeated at once, it returns the same refresh token again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Refresh {
    /// The refresh token.
    pub refresh_token: Secret,
}
ask!(Refresh, "refresh", Tokens, RefreshError, idempotent: true);

/// Why a refresh token was not exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefreshError {
    /// It is unknown, expired, used before or revoked; which of these is not told.
    Invalid,
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("the refresh token is not valid"),
        }
    }
}

/// Ends the session that a refresh token belongs to; nothing happens if there is none. Access tokens of the session stay
/// valid until they expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Logout {
    /// Any refresh token of the session.
    pub refresh_token: Secret,
}
ask!(Logout, "logout", (), Never, idempotent: true);

/// Reads what verifies access tokens: all keys that a valid token may be signed with, and those about to be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GetKeys {}
ask!(GetKeys, "keys", Keys, Never, idempotent: true);

/// What verifies access tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Keys {
    /// The `iss` that every token has.
    pub issuer: String,
    /// The `aud` that every token has.
    pub audience: String,
    /// The public keys, newest first.
    pub keys: Vec<PublicKey>,
}

/// The public half of a signing key (Ed25519).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PublicKey {
    /// The key's id, as in a token's header: its thumbprint (RFC 7638).
    pub kid: String,
    /// The key's 32 bytes in base64url without padding (the `x` of RFC 8037).
    pub x: String,
}

/// The claims of an access token (RFC 7519).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The user's id.
    pub sub: String,
    /// The roles that the user had when it was issued; a change shows in the next token.
    pub roles: Vec<String>,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// The token's own id.
    pub jti: String,
}

#[cfg(test)]
mod tests {
    use essaim_contract::wire_name;

    use super::*;

    #[test]
    fn wire_names_stay_as_they_are() {
        assert_eq!(wire_name::<Register>(), "auth.register.v1");
        assert_eq!(wire_name::<GetKeys>(), "auth.keys.v1");
    }

    #[test]
    fn a_password_does_not_show_in_a_log_line() {
        let login = Login { email: "a@b.c".into(), password: "hunter22".into(), address: "::1".into() };
        assert!(!format!("{login:?}").contains("hunter22"));
    }
}
