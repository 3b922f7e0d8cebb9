//! The capability `auth`: registration, login, tokens and the keys that verify them. It asks `users`, which owns the
//! e-mail addresses and roles; auth owns passwords, sessions and keys, by user id.
//!
//! # Layout
//!
//! - [`AuthActor`]: what answers the contract; a file for each longer message: `register`, `login`, `refresh`.
//! - [`AuthSettings`]: the section `[auth]`.
//! - [`http`]: its routes.
//! - `password`, `keys`, `throttle`: Argon2id, signing keys and their rotation, slowing down those who guess.
//! - `deleted`: a user was deleted. `first_admin`, `sweep`: what timers do.
//! - `store`: the tables.

mod actor;
pub use actor::{AuthActor, AuthShared};

mod settings;
pub use settings::{Argon2Settings, AuthSettings, FirstAdminSettings, KeySettings, ThrottleSettings};

pub mod http;

mod deleted;
mod first_admin;
mod keys;
mod login;
mod password;
mod refresh;
mod register;
mod store;
mod sweep;
mod throttle;

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes as the text that tokens, keys and hashes are written in.
fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
