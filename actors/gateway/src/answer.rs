//! The form of every response: errors are problems, and some headers are on all of them.

use actix_web::dev::ServiceResponse;
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{Error, HttpResponse};
use essaim::trace::TraceContext;
use essaim_http::Problem;

use crate::front::Front;
use crate::unmatched;
use crate::visit::{REQUEST_ID, TRACEPARENT, Visit, request_id};
use crate::{pages, record};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Content policy of JSON: it loads nothing, and no page may frame it.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The documentation has scripts and styles of its own, some of them inline.
const DOCS_CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'",
);

/// The status in the access log of a request that was never answered, as other servers have it.
const CUT_OFF: u16 = 499;

/// Brings the outcome of a request into its form, and tells the log and the counts.
pub(crate) fn finish(
    front: &Front,
    visit: &Visit,
    outcome: Result<ServiceResponse, Problem>,
) -> Result<ServiceResponse, Error> {
    match outcome {
        Ok(response) if is_error(response.status()) => {
            let mut response = as_problem(front, visit, response);
            dress(front, visit, response.response_mut());
            Ok(response)
        }
        Ok(mut response) => {
            dress(front, visit, response.response_mut());
            Ok(response)
        }
        Err(problem) => {
            let mut response = problem.response_in(Some(&visit.trace_id()));
            note(visit, &problem);
            dress(front, visit, &mut response);
            // The request is gone with the route that had it, so the response travels as an error.
            Err(InternalError::from_response(problem, response).into())
        }
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The same response as a problem that names its trace.
fn as_problem(front: &Front, visit: &Visit, response: ServiceResponse) -> ServiceResponse {
    let trace_id = visit.trace_id();
    if let Some(problem) = response.response().error().and_then(|e| e.as_error::<Problem>()) {
        note(visit, problem);
        let told = problem.response_in(Some(&trace_id));
        return response.into_response(told);
    }
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == Problem::MEDIA_TYPE) {
        return response;
    }
    let problem = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => unmatched::problem(front, visit.uri.path(), &visit.method),
        status => of_bare_status(front, status),
    };
    note(visit, &problem);
    let mut told = problem.response_in(Some(&trace_id));
    for (name, value) in response.headers() {
        let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING].contains(name);
        if !of_body && !told.headers().contains_key(name) {
            told.headers_mut().append(name.clone(), value.clone());
        }
    }
    response.into_response(told)
}

/// The problem that a bare status stands for.
pub(crate) fn of_bare_status(front: &Front, status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found("Nothing has this path."),
        StatusCode::PAYLOAD_TOO_LARGE => front.body_limits().too_large(),
        StatusCode::UNAUTHORIZED => Problem::unauthorized("Log in and send the access token."),
        StatusCode::FORBIDDEN => Problem::forbidden("You may not do that."),
        StatusCode::BAD_REQUEST => Problem::bad_request("The request cannot be understood."),
        StatusCode::INTERNAL_SERVER_ERROR => Problem::broken("a route answered with a bare 500"),
        other => Problem::new(other, "error", other.canonical_reason().unwrap_or("The request failed"))
            .detail("The request was not answered as it should be."),
    }
}

/// Logs what a client is not told.
fn note(visit: &Visit, problem: &Problem) {
    let (status, cause) = (problem.status(), problem.logged_cause());
    let trace_id = format_args!("{:032x}", visit.trace.trace_id);
    let (problem, path) = (problem.slug(), visit.uri.path());
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(trace_id, method = %visit.method, path, problem, cause, "a request failed");
    } else if status.is_server_error() && cause.is_some() {
        let status = status.as_u16();
        tracing::warn!(trace_id, method = %visit.method, path, status, problem, cause, "a request was not answered");
    }
}

/// The request was cut off before it had its answer.
pub(crate) fn abandoned(front: &Front, visit: &Visit) {
    front.counts.abandon();
    log_access(front, visit, CUT_OFF);
    record::write(front, visit, None);
}

fn log_access(front: &Front, visit: &Visit, status: u16) {
    tracing::info!(
        target: "essaim::access",
        method = %visit.method,
        // Never the query string: it may hold what nobody else should read.
        path = visit.uri.path(),
        status,
        ms = visit.elapsed_ms(&front.env),
        trace_id = format_args!("{:032x}", visit.trace.trace_id),
        client = %visit.address,
    );
}

/// Adds what all responses have, and tells the log and the counts.
fn dress(front: &Front, visit: &Visit, response: &mut HttpResponse) {
    let status = response.status();
    front.counts.end(status);
    log_access(front, visit, status.as_u16());
    record::write(front, visit, Some(status.as_u16()));
    if front.is_draining() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let headers = response.headers_mut();
    visit.cors.write(headers);
    if pages::is_docs(visit.uri.path()) {
        set_if_absent(headers, header::CONTENT_SECURITY_POLICY, DOCS_CONTENT_POLICY);
    }
    identify(headers, &visit.trace, visit.request_id.clone());
}

/// The answer to bytes that were no request, so without a method and a path.
pub(crate) fn refusal(front: &Front, trace: &TraceContext, problem: Problem) -> HttpResponse {
    let status = problem.status();
    front.counts.begin();
    front.counts.end(status);
    let trace_id = format!("{:032x}", trace.trace_id);
    tracing::info!(target: "essaim::access", method = "-", path = "-", status = status.as_u16(), trace_id);
    let mut response = problem.response_in(Some(&trace_id));
    identify(response.headers_mut(), trace, request_id(&front.env));
    response
}

/// The headers of every response: which request and trace it belongs to, and what browsers must not do with it.
fn identify(headers: &mut HeaderMap, trace: &TraceContext, request_id: HeaderValue) {
    if let Ok(traceparent) = HeaderValue::try_from(trace.to_string()) {
        headers.insert(TRACEPARENT, traceparent);
    }
    headers.insert(REQUEST_ID, request_id);
    set_if_absent(headers, header::CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    set_if_absent(headers, header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    set_if_absent(headers, header::X_FRAME_OPTIONS, DENY);
    set_if_absent(headers, header::REFERRER_POLICY, NO_REFERRER);
    set_if_absent(headers, header::CACHE_CONTROL, NO_STORE);
}

fn set_if_absent(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, value);
    }
}
