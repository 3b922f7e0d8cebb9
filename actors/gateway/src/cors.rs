//! Which pages of other origins may use the API (the CORS protocol of the Fetch standard).
//!
//! Only exact origins are allowed, and never with credentials of the browser's own: the API is used with a bearer
//! token, which a page must hold itself.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use essaim_http::Problem;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, traceparent, tracestate, x-request-id");
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static("location, retry-after, traceparent, x-request-id");
/// How long a browser may remember the answer to a preflight.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// The origins that are let in.
#[derive(Debug)]
pub(crate) enum Cors {
    /// None; the browser refuses by itself.
    Off,
    /// Any.
    Any,
    /// These.
    Origins(Vec<HeaderValue>),
}

/// An origin that no browser would send.
#[derive(Debug, thiserror::Error)]
#[error("gateway.cors_origins: `{0}` is no origin such as https://shop.example (scheme and host, no path)")]
pub(crate) struct NoOrigin(String);

impl Cors {
    /// These origins.
    ///
    /// # Errors
    /// If a text is no origin.
    pub fn new(origins: &[String]) -> Result<Self, NoOrigin> {
        if origins.iter().any(|o| o == "*") {
            return Ok(Self::Any);
        }
        let origin = |text: &String| {
            let host = text.split_once("://").map(|(_, host)| host);
            let well_formed = host.is_some_and(|h| !h.is_empty() && !h.contains(['/', '*', ' ']));
            let value = well_formed.then(|| HeaderValue::from_str(text).ok()).flatten();
            value.ok_or_else(|| NoOrigin(text.clone()))
        };
        match origins {
            [] => Ok(Self::Off),
            _ => origins.iter().map(origin).collect::<Result<_, _>>().map(Self::Origins),
        }
    }

    /// What the response to a request says about origins.
    pub fn allowed(&self, request: &HeaderMap) -> Allowed {
        let origin = request.get(header::ORIGIN);
        let allow = match (self, origin) {
            (Self::Off, _) | (_, None) => None,
            (Self::Any, Some(_)) => Some(HeaderValue::from_static("*")),
            (Self::Origins(allowed), Some(origin)) => allowed.contains(origin).then(|| origin.clone()),
        };
        Allowed { allow, varies: matches!(self, Self::Origins(_)) }
    }
}

/// What one response says about origins.
#[derive(Debug, Clone)]
pub(crate) struct Allowed {
    allow: Option<HeaderValue>,
    varies: bool,
}

impl Allowed {
    /// Writes it into the response.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = &self.allow {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }

    /// The answer to a preflight.
    ///
    /// # Errors
    /// 403 if the origin is not let in.
    pub fn preflight(&self) -> Result<HttpResponse, Problem> {
        if self.allow.is_none() {
            let detail = "Pages of this origin may not use the API.";
            return Err(
                Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", "The origin is not allowed").detail(detail)
            );
        }
        let mut response = HttpResponseBuilder::new(StatusCode::NO_CONTENT);
        let headers: [(HeaderName, HeaderValue); 3] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
        ];
        for header in headers {
            response.insert_header(header);
        }
        Ok(response.finish())
    }
}

/// Whether a browser asks first what it may send.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact_and_checked() {
        for text in ["shop.example", "https://shop.example/", "https://*.example", "https://", ""] {
            assert!(Cors::new(&[text.to_string()]).is_err(), "{text}");
        }
        assert!(matches!(Cors::new(&[]), Ok(Cors::Off)));
        assert!(matches!(Cors::new(&["*".into(), "https://a.b".into()]), Ok(Cors::Any)));
    }
}
