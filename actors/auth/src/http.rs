//! The routes of auth.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use essaim_auth_contract::{
    Account, GetKeys, KEYS_MAX_AGE_SECONDS, Login, LoginError, Logout, Refresh, RefreshError, Register, RegisterError,
    Secret, Tokens,
};
use essaim_http::{Caller, Json, Problem, RouteConfig, Routes, Timestamp, text_schema};
use essaim_text::visible;
use essaim_users_contract::NAME_MAX;
use serde::{Deserialize, Serialize};
use utoipa::openapi::Object;
use utoipa::{OpenApi, ToSchema};

/// The routes of auth.
pub fn routes() -> Routes {
    Routes { name: "auth", configure, openapi: Doc::openapi }
}

fn configure(config: &mut RouteConfig) {
    config
        .post("/users", register)
        .post("/auth/login", login)
        .post("/auth/refresh", refresh)
        .post("/auth/logout", logout)
        .get("/.well-known/jwks.json", jwks);
}

#[derive(OpenApi)]
#[openapi(
    paths(register, login, refresh, logout, jwks),
    components(schemas(Registration, Registered, Credentials, RefreshToken, TokenPair, TokenType, KeySet, Key))
)]
struct Doc;

/// Who wants an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Registration {
    /// The e-mail address; unique, whatever its case and Unicode form, and however its domain is written.
    #[schema(format = "email", min_length = 3, max_length = 254, example = "ada@example.com")]
    email: String,
    /// The password. Its length is all that is asked for: a long one is hard to guess.
    #[schema(
        value_type = String,
        format = "password",
        pattern = r"^[^\x00]{8,128}$",
        min_length = 8,
        max_length = 128,
        example = "correct horse battery staple"
    )]
    password: Secret,
    /// The name.
    #[schema(schema_with = name)]
    name: String,
}

fn name() -> Object {
    let description = "The name, without control characters; something in it can be seen.";
    text_schema(description, visible::name_pattern(), NAME_MAX, "Ada Lovelace")
}

/// An account that was made.
#[derive(Debug, Serialize, ToSchema)]
struct Registered {
    /// The user's id.
    #[schema(format = "uuid")]
    id: String,
    /// The e-mail address, as it was given.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// The name.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What the user may do.
    #[schema(pattern = "^(customer|admin)$", example = "customer")]
    role: String,
    /// When the account was made.
    created_at: Timestamp,
}

/// Who wants to log in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The e-mail address, in any case and Unicode form.
    #[schema(pattern = r"^[^\x00]*$", example = "ada@example.com")]
    email: String,
    /// The password.
    #[schema(
        value_type = String,
        format = "password",
        pattern = r"^[^\x00]*$",
        example = "correct horse battery staple"
    )]
    password: Secret,
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    /// The token, as it was given out.
    #[schema(value_type = String, pattern = r"^[^\x00]*$")]
    refresh_token: Secret,
}

/// What proves who someone is.
#[derive(Debug, Serialize, ToSchema)]
struct TokenPair {
    /// A JWT, signed with EdDSA, for the header `Authorization`. It has the role that the user had when it was issued.
    #[schema(value_type = String)]
    access_token: Secret,
    /// Gives the next pair of tokens, once.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{43}$")]
    refresh_token: Secret,
    /// How the access token is presented.
    token_type: TokenType,
    /// How long the access token is valid, in seconds.
    #[schema(minimum = 1)]
    expires_in: u32,
}

/// How an access token is presented.
#[derive(Debug, Serialize, ToSchema)]
enum TokenType {
    /// In the header `Authorization`, after the word `Bearer`.
    Bearer,
}

/// The keys that verify access tokens (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
struct KeySet {
    /// The keys, newest first.
    #[schema(min_items = 1)]
    keys: Vec<Key>,
}

/// A public key (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
struct Key {
    /// The type of key.
    #[schema(pattern = "^OKP$", example = "OKP")]
    kty: &'static str,
    /// The curve.
    #[schema(pattern = "^Ed25519$", example = "Ed25519")]
    crv: &'static str,
    /// The algorithm.
    #[schema(pattern = "^EdDSA$", example = "EdDSA")]
    alg: &'static str,
    /// What the key is for.
    #[serde(rename = "use")]
    #[schema(pattern = "^sig$", example = "sig")]
    usage: &'static str,
    /// The key's id, as in the tokens it signed.
    kid: String,
    /// The key.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    x: String,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/users", request_body = Registration,
    responses(
        (status = 201, description = "The account that was made", body = Registered),
        (status = 409, description = "There is an account with this e-mail address"),
        (status = 422, description = "A value is missing or not valid, for example the password too short or too long")
    )
)]
async fn register(caller: Caller, body: Json<Registration>) -> Result<HttpResponse, Problem> {
    let Registration { email, password, name } = body.into_inner();
    let user_id = caller.client().env().id().to_string();
    let registered = caller.client().ask(Register { user_id, email, password, name }).await;
    let account = registered.map_err(|e| {
        Problem::from_ask(e, |error| match error {
            RegisterError::Invalid { .. } => Problem::unprocessable(format!("{error}.")),
            RegisterError::EmailTaken => {
                Problem::new(StatusCode::CONFLICT, "email-taken", "Another user has this e-mail address")
                    .detail("Log in, or take another one. Case and Unicode form make no difference.")
            }
        })
    })?;
    let Account { id, email, name, role, created_at_ms } = account;
    let registered = Registered { id, email, name, role, created_at: Timestamp(created_at_ms) };
    Ok(HttpResponse::Created().json(registered))
}

/// Logs in.
#[utoipa::path(
    post, path = "/auth/login", request_body = Credentials,
    responses(
        (status = 200, description = "The tokens of a new session", body = TokenPair),
        (status = 401, description = "The e-mail address or the password is wrong"),
        (status = 429, description = "Too many logins failed for this account or from this address",
            headers(("Retry-After" = u32, description = "When to try again, in seconds")))
    )
)]
async fn login(caller: Caller, body: Json<Credentials>) -> Result<HttpResponse, Problem> {
    let Credentials { email, password } = body.into_inner();
    let message = Login { email, password, address: caller.address().to_string() };
    let tokens = caller.client().ask(message).await.map_err(|e| {
        Problem::from_ask(e, |error| match error {
            LoginError::BadCredentials => {
                refused("bad-credentials", "The e-mail address or the password is wrong").detail("Check both.")
            }
            LoginError::Throttled { retry_after_s } => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "login-throttled", "Too many logins failed")
                    .detail("Too many logins failed for this account or from this address. Wait a little.")
                    .retry_after(retry_after_s.into())
            }
        })
    })?;
    Ok(pair(tokens))
}

/// Exchanges a refresh token for the next pair of tokens. Repeated at once it returns the same refresh token; later, the
/// whole session is revoked.
#[utoipa::path(
    post, path = "/auth/refresh", request_body = RefreshToken,
    responses(
        (status = 200, description = "The next tokens of the session", body = TokenPair),
        (status = 401, description = "The refresh token is unknown, expired, used before or revoked")
    )
)]
async fn refresh(caller: Caller, body: Json<RefreshToken>) -> Result<HttpResponse, Problem> {
    let message = Refresh { refresh_token: body.into_inner().refresh_token };
    let tokens = caller.client().ask(message).await.map_err(|e| {
        Problem::from_ask(e, |error| match error {
            RefreshError::Invalid => {
                refused("bad-refresh-token", "The refresh token is not valid").detail("Log in again.")
            }
        })
    })?;
    Ok(pair(tokens))
}

/// Logs out: ends the session that a refresh token belongs to. Its access tokens stay valid until they expire.
#[utoipa::path(
    post, path = "/auth/logout", request_body = RefreshToken,
    responses((status = 204, description = "There is no such session, now or before"))
)]
async fn logout(caller: Caller, body: Json<RefreshToken>) -> Result<HttpResponse, Problem> {
    let message = Logout { refresh_token: body.into_inner().refresh_token };
    caller.client().ask(message).await.map_err(|e| Problem::from_ask(e, |never| match never {}))?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads the keys that verify access tokens.
#[utoipa::path(
    get, path = "/.well-known/jwks.json",
    responses((status = 200, description = "The keys", body = KeySet))
)]
async fn jwks(caller: Caller) -> Result<HttpResponse, Problem> {
    let found = caller.client().ask(GetKeys {}).await.map_err(|e| Problem::from_ask(e, |never| match never {}))?;
    let key = |key: essaim_auth_contract::PublicKey| {
        let (kty, crv, alg, usage) = ("OKP", "Ed25519", "EdDSA", "sig");
        Key { kty, crv, alg, usage, kid: key.kid, x: key.x }
    };
    let keys = KeySet { keys: found.keys.into_iter().map(key).collect() };
    let for_a_while = format!("public, max-age={KEYS_MAX_AGE_SECONDS}");
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, for_a_while)).json(keys))
}

/// Tokens are for one client; nothing on the way may keep them (RFC 6749, section 5.1).
fn pair(tokens: Tokens) -> HttpResponse {
    let Tokens { access_token, refresh_token, expires_in, .. } = tokens;
    let pair = TokenPair { access_token, refresh_token, token_type: TokenType::Bearer, expires_in };
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(pair)
}

/// 401 for a secret that is not right; HTTP asks for the scheme's name with every 401.
fn refused(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, slug, title).header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
