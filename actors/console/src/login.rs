//! Who is logged in, and logging in and out: with the accounts of `auth`, as an administrator of `users`.

use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use essaim::FromObjects;
use essaim::operators::{keep_act, refused};
use essaim_auth_contract::{Claims, Login, LoginError, Logout, Tokens};
use essaim_console_contract::EndSession;
use essaim_contract::AskError;
use serde::Deserialize;
use serde_json::json;

use crate::access::asker_at;
use crate::console::{Console, NoSession};
use crate::guard::{is_open_to, is_own, session_of};
use crate::session::{COOKIE, Session};

/// Checking a password takes longer than most asks.
const LIMIT: Duration = Duration::from_secs(10);

/// Who wants to log in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    email: String,
    password: String,
}

/// Who is logged in; nobody, where one would have to be.
pub(crate) async fn me(console: Data<Console>, http: HttpRequest) -> HttpResponse {
    if let Err(why) = is_own(&http) {
        return refused(StatusCode::FORBIDDEN, why);
    }
    match session_of(&console, &http).await {
        Ok(session) => HttpResponse::Ok().json(about(&console, Some(&session.email), false)),
        Err(_) if is_open_to(&console, &http) => HttpResponse::Ok().json(about(&console, None, true)),
        // No error: whoever opens the console asks this first.
        Err(NoSession::Ended) => HttpResponse::Ok().json(about(&console, None, false)),
        Err(NoSession::Unknown(why)) => refused(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// Logs an administrator in.
pub(crate) async fn login(
    console: Data<Console>,
    http: HttpRequest,
    Json(FromObjects(given)): Json<FromObjects<Credentials>>,
) -> HttpResponse {
    if let Err(why) = is_own(&http) {
        return refused(StatusCode::FORBIDDEN, why);
    }
    let Credentials { email, password } = given;
    let address = http.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default();
    let login = Login { email: email.clone(), password: password.into(), address };
    let tokens = match console.client.clone().within(LIMIT).ask(login).await {
        Ok(tokens) => tokens,
        Err(AskError::Rejected(error @ LoginError::BadCredentials)) => {
            return refused(StatusCode::UNAUTHORIZED, &error.to_string());
        }
        Err(AskError::Rejected(error)) => return refused(StatusCode::TOO_MANY_REQUESTS, &error.to_string()),
        Err(error) => return refused(StatusCode::SERVICE_UNAVAILABLE, &format!("you cannot log in now: {error}")),
    };
    let user = subject(&tokens);
    // The console has sessions of its own: the one that `auth` has opened ends again.
    let ended = console.client.ask(Logout { refresh_token: tokens.refresh_token }).await;
    let _ = ended.inspect_err(|error| tracing::warn!(%error, "a session of `auth` stays open until it ends by itself"));
    match console.is_admin(&user).await {
        Ok(true) => {}
        Ok(false) => return refused(StatusCode::FORBIDDEN, "only administrators may see the console"),
        Err(why) => return refused(StatusCode::SERVICE_UNAVAILABLE, &format!("you cannot log in now: {why}")),
    }
    let lasts = Duration::from_secs(u64::from(console.settings.session_minutes) * 60);
    let until_ms = console.env.wall_ms() + lasts.as_millis() as u64;
    let session = Session { id: console.env.id().to_string(), user, email, until_ms };
    let asker = asker_at(&http, session.email.clone(), "login");
    if let Err(refusal) = keep_act(&console.client, &asker, "logs in").await {
        return refusal.into();
    }
    let cookie = cookie(&console, console.signer.cookie(&session), lasts);
    HttpResponse::Ok().cookie(cookie).json(about(&console, Some(&session.email), false))
}

/// Ends a session.
pub(crate) async fn logout(console: Data<Console>, http: HttpRequest) -> HttpResponse {
    if let Err(why) = is_own(&http) {
        return refused(StatusCode::FORBIDDEN, why);
    }
    let mut answer = HttpResponse::Ok();
    answer.cookie(cookie(&console, String::new(), Duration::ZERO));
    let session = http.cookie(COOKIE).and_then(|cookie| console.signer.session(cookie.value()));
    if let Some(session) = session {
        console.end(&session);
        let Session { id, until_ms, .. } = session;
        if let Err(error) = console.client.send(EndSession { session: id, until_ms }).await {
            let why = format!("you are logged out until this node starts anew: {error}");
            answer.status(StatusCode::SERVICE_UNAVAILABLE);
            return answer.json(json!({ "error": why }));
        }
    }
    answer.json(json!({}))
}

/// The user of tokens that `auth` itself has just answered with.
fn subject(tokens: &Tokens) -> String {
    let claims = tokens.access_token.expose().split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Option<Claims> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    claims.map(|claims| claims.sub).unwrap_or_default()
}

fn about(console: &Console, user: Option<&str>, open: bool) -> serde_json::Value {
    json!({ "user": user, "open": open, "node": console.node, "version": env!("CARGO_PKG_VERSION") })
}

/// The cookie that keeps a session in the browser: no script reads it, and no other site sends it. Where the console is not
/// for this machine alone it goes over HTTPS only.
fn cookie(console: &Console, value: String, lasts: Duration) -> Cookie<'static> {
    let lasts = time::Duration::seconds(lasts.as_secs() as i64);
    let cookie = Cookie::build(COOKIE, value).path("/").http_only(true).same_site(SameSite::Strict).max_age(lasts);
    cookie.secure(!console.address.ip().is_loopback()).finish()
}
