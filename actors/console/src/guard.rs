//! What every request for data passes: it comes from a page of the console, and from somebody who may.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{FORWARDED, HOST, HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use essaim::operators::refused;
use essaim_contract::Principal;
use essaim_users_contract::Role;

use crate::console::{Console, NoSession};
use crate::session::{COOKIE, Session};

/// What pages of the console send along. A page of somebody else cannot, without asking first whether it may.
const OWN_PAGE: &str = "x-essaim-console";

/// Who sends a request, as far as that is known: what the guard leaves in it.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    /// How the audit calls them.
    pub name: String,
    /// On whose behalf their messages are sent; nobody's where nobody has to log in.
    pub principal: Option<Principal>,
}

/// Lets a request pass that comes from an administrator, or says why not.
pub(crate) async fn administrators<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let console = request.app_data::<Data<Console>>().cloned();
    let operator = match console {
        Some(console) => operator(&console, request.request()).await,
        None => Err(refused(StatusCode::INTERNAL_SERVER_ERROR, "there is no console")),
    };
    match operator {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(answer) => Ok(request.into_response(answer).map_into_right_body()),
    }
}

/// Who sends this request.
async fn operator(console: &Console, request: &HttpRequest) -> Result<Operator, HttpResponse> {
    is_own(request).map_err(|why| refused(StatusCode::FORBIDDEN, why))?;
    if is_open_to(console, request) {
        let address = request.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        return Ok(Operator { name: address, principal: None });
    }
    match session_of(console, request).await {
        // Nobody else is logged in here.
        Ok(Session { user, email, .. }) => {
            Ok(Operator { name: email, principal: Some(Principal::new(user, [Role::Admin.as_str()])) })
        }
        Err(NoSession::Ended) => Err(refused(StatusCode::UNAUTHORIZED, "log in as an administrator")),
        Err(NoSession::Unknown(why)) => Err(refused(StatusCode::SERVICE_UNAVAILABLE, &why)),
    }
}

/// The session that a request bears.
pub(crate) async fn session_of(console: &Console, request: &HttpRequest) -> Result<Session, NoSession> {
    match request.cookie(COOKIE) {
        Some(cookie) => console.session(cookie.value()).await,
        None => Err(NoSession::Ended),
    }
}

/// Whether this request's sender need not log in, being on a machine of their own. What a proxy hands on is not from there, nor is
/// a page whose name was made to lead here.
pub(crate) fn is_open_to(console: &Console, request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_near = request.peer_addr().is_some_and(|address| address.ip().is_loopback());
    console.is_open && is_near && is_loopback_name(headers) && !is_handed_on(headers)
}

fn is_handed_on(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED) || headers.contains_key("x-forwarded-for") || headers.contains_key("x-real-ip")
}

fn is_loopback_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.parse::<u16>().is_ok() { name } else { host });
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a page of the console sends this request, as far as it changes or costs anything.
///
/// # Errors
/// Why it is taken for somebody else's.
pub(crate) fn is_own(request: &HttpRequest) -> Result<(), &'static str> {
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err("another site sends this: open the console itself");
    }
    if !request.method().is_safe() && !headers.contains_key(OWN_PAGE) {
        return Err("requests that are no GET need the header x-essaim-console");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        let is_own =
            |host: &str| is_loopback_name(TestRequest::get().insert_header((HOST, host)).to_http_request().headers());
        for host in ["127.0.0.1:8090", "localhost:8090", "LOCALHOST", "[::1]:8090", "[::1]", "127.0.0.1"] {
            assert!(is_own(host), "{host}");
        }
        for host in ["evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.7:8090", ""] {
            assert!(!is_own(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_asks_nothing() {
        let request = |post: bool, headers: &[(&'static str, &'static str)]| {
            let request = if post { TestRequest::post() } else { TestRequest::get() };
            is_own(&headers.iter().fold(request, |request, header| request.insert_header(*header)).to_http_request())
        };
        assert!(request(false, &[]).is_ok() && request(false, &[("sec-fetch-site", "same-origin")]).is_ok());
        assert!(request(false, &[("sec-fetch-site", "cross-site")]).is_err());
        assert!(request(true, &[]).is_err());
        assert!(request(true, &[("x-essaim-console", "1")]).is_ok());
        assert!(request(true, &[("x-essaim-console", "1"), ("sec-fetch-site", "same-site")]).is_err());
    }
}
