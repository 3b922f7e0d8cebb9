//! Every error on HTTP, as problem details (RFC 9457).
//!
//! What the outside is told and what is logged are separate: title and detail are for strangers and say nothing about
//! the inside; the cause is for operators, and the gateway logs it beside the trace id that the stranger was given.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered, SendError, Unknown};
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What a client waits, in seconds, before it tries again what surely did not run.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An error as a client sees it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Option<String>,
    stage: Option<&'static str>,
    trace_id: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// An error, as problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct Document<'a> {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:essaim:problem:not-found")]
    kind: fmt::Arguments<'a>,
    /// A short summary of the kind of problem.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
    /// How far the request came inside: `not_delivered`, `refused`, `queued`, `running`, `committing` or `unanswered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stage: Option<&'a str>,
    /// The trace in which operators find what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    trace_id: Option<&'a str>,
}

impl Problem {
    /// The media type of problem details.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem of the type `urn:essaim:problem:<slug>`. The title is the same for every problem of the type.
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        let (detail, stage, trace_id, cause) = (None, None, None, None);
        Self(Box::new(Inner { status, slug, title, detail, stage, trace_id, headers: Vec::new(), cause }))
    }

    /// This problem, with what is wrong with this very request.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// This problem, with the seconds after which trying again makes sense.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// This problem, with a header of the response.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// This problem, with what operators should know about it; it is logged, never sent.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// This problem, with how far the request came inside.
    pub fn stage(mut self, stage: &'static str) -> Self {
        self.0.stage = Some(stage);
        self
    }

    /// This problem, with the id of the trace it happened in; the gateway sets it.
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.0.trace_id = Some(trace_id.into());
        self
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood").detail(detail)
    }

    /// 401: nobody is logged in.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Authentication is needed")
            .detail(detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403: the one who is logged in may not do that.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed").detail(detail)
    }

    /// 404: there is no such thing, or it is none of the caller's business.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found").detail(detail)
    }

    /// 409: the state of things stands against it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The request conflicts with the current state").detail(detail)
    }

    /// 422: the request is understood, and its content is not acceptable.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "The content is not acceptable").detail(detail)
    }

    /// 500: something inside is broken, and nothing was changed; `cause` is logged, never sent.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "Something went wrong inside")
            .detail("Nothing was changed. The trace id helps operators to find out why.")
            .cause(cause)
    }

    /// 500: something inside is broken, and nobody knows how far it had come; `cause` is logged, never sent.
    pub fn broken(cause: impl Into<String>) -> Self {
        Self::internal(cause)
            .detail("It is not known whether the request took effect. The trace id helps operators to find out why.")
    }

    /// 408: the client took too long to send its request.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request took too long to arrive").detail(detail)
    }

    /// 503: it surely did not run, and trying again makes sense.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available at the moment")
            .detail("Nothing was changed. Try again later.")
            .retry_after(RETRY_AFTER_SECONDS)
            .cause(cause)
    }

    /// 504: it may have run.
    pub fn outcome_unknown(cause: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "outcome-unknown", "No answer came in time")
            .detail("It is not known whether the request took effect. Look before you repeat it.")
            .cause(cause)
    }

    /// The problem of an ask's error: `rejection` words the business error; not delivered is 503 with `Retry-After`, an
    /// unknown outcome 504, and a failure 500 unless something it needs is not available.
    pub fn from_ask<E>(error: AskError<E>, rejection: impl FnOnce(E) -> Self) -> Self {
        match error {
            AskError::Rejected(e) => rejection(e),
            AskError::NotDelivered(NotDelivered::Overloaded { capability, bound }) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too busy at the moment")
                    .detail("Nothing was changed. Try again later.")
                    .retry_after(RETRY_AFTER_SECONDS)
                    .cause(format!("`{capability}` is overloaded: {bound}"))
                    .stage("refused")
            }
            AskError::NotDelivered(reason) => {
                let stage = match reason {
                    NotDelivered::Expired { .. } => "queued",
                    NotDelivered::Cycle { .. } | NotDelivered::TooLarge { .. } => "refused",
                    _ => "not_delivered",
                };
                Self::unavailable(reason.to_string()).stage(stage)
            }
            AskError::Failed(Failure { kind: FailureKind::Unavailable, detail }) => Self::unavailable(detail),
            AskError::Failed(failure) => Self::internal(failure.to_string()),
            AskError::Unknown(reason) => {
                let stage = match reason {
                    Unknown::TimedOut { .. } | Unknown::FailedAfterCommit { .. } | Unknown::Downstream { .. } => {
                        "running"
                    }
                    Unknown::CommitUnanswered => "committing",
                    _ => "unanswered",
                };
                Self::outcome_unknown(reason.to_string()).stage(stage)
            }
        }
    }

    /// The problem of a message that was to be stored: surely not stored is 503 with `Retry-After`, unless it never can
    /// be (422), and an unknown outcome 504.
    pub fn from_send(error: &SendError) -> Self {
        match error {
            SendError::NotStored { .. } | SendError::Full { .. } => Self::unavailable(error.to_string()),
            SendError::Invalid { reason } => Self::unprocessable(reason.clone()),
            SendError::Unknown { .. } => Self::outcome_unknown(error.to_string()),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The last part of the type.
    pub fn slug(&self) -> &'static str {
        self.0.slug
    }

    /// What operators should know about it.
    pub fn logged_cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The response, with the id of the trace it happened in.
    pub fn response_in(&self, trace_id: Option<&str>) -> HttpResponse {
        let inner = &*self.0;
        let mut response = HttpResponse::build(inner.status);
        for (name, value) in &inner.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA_TYPE)));
        let body = serde_json::to_vec(&Document {
            kind: format_args!("urn:essaim:problem:{}", inner.slug),
            title: inner.title,
            status: inner.status.as_u16(),
            detail: inner.detail.as_deref(),
            stage: inner.stage,
            trace_id: trace_id.or(inner.trace_id.as_deref()),
        });
        response.body(body.unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{} {}", inner.status.as_u16(), inner.slug)?;
        for text in [&inner.detail, &inner.cause].into_iter().flatten() {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.response_in(None)
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> std::borrow::Cow<'static, str> {
        "Problem".into()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody;
    use serde_json::{Value, json};

    use super::*;

    fn body(problem: &Problem) -> Value {
        let response = problem.error_response();
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
        serde_json::from_slice(&response.into_body().try_into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_a_trace_id() {
        let problem = Problem::not_found("There is no such product.").trace_id("0af7");
        let expected = json!({
            "type": "urn:essaim:problem:not-found", "title": "Not found", "status": 404,
            "detail": "There is no such product.", "trace_id": "0af7",
        });
        assert_eq!(body(&problem), expected);
    }

    #[test]
    fn what_became_of_an_ask_decides_the_status() {
        let ask = |e: AskError<&str>| {
            let response = Problem::from_ask(e, Problem::conflict).error_response();
            (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER))
        };
        let failed = |kind| AskError::Failed(Failure { kind, detail: "inside".into() });
        let capability = "shop".to_string();
        let overloaded = NotDelivered::Overloaded { capability: capability.clone(), bound: "b".into() };
        assert_eq!(ask(AskError::Rejected("no")), (409, false));
        assert_eq!(ask(AskError::NotDelivered(NotDelivered::NoHost { capability })), (503, true));
        assert_eq!(ask(AskError::NotDelivered(overloaded)), (503, true));
        assert_eq!(ask(failed(FailureKind::Unavailable)), (503, true));
        assert_eq!(ask(failed(FailureKind::Database)), (500, false));
        assert_eq!(ask(failed(FailureKind::Panicked)), (500, false));
        assert_eq!(ask(AskError::Unknown(Unknown::CommitUnanswered)), (504, false));
    }

    #[test]
    fn what_became_of_a_send_decides_the_status() {
        let send = |e: SendError| {
            let response = Problem::from_send(&e).error_response();
            (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER))
        };
        let id = essaim_contract::MessageId::planned("a", 1).unwrap();
        assert_eq!(send(SendError::Full { capability: "shop".into(), bound: "b".into() }), (503, true));
        assert_eq!(send(SendError::NotStored { reason: "away".into() }), (503, true));
        assert_eq!(send(SendError::Invalid { reason: "too large".into() }), (422, false));
        assert_eq!(send(SendError::Unknown { id }), (504, false));
    }

    #[test]
    fn causes_are_kept_for_the_log_and_never_sent() {
        let failure = Failure { kind: FailureKind::Database, detail: "table users_v2".into() };
        let problem = Problem::from_ask(AskError::<&str>::Failed(failure), Problem::conflict);
        assert!(!body(&problem).to_string().contains("users_v2"));
        assert!(problem.logged_cause().is_some_and(|c| c.contains("users_v2")));
    }

    #[test]
    fn unauthorized_names_the_scheme() {
        let response = Problem::unauthorized("Log in first.").error_response();
        assert_eq!(response.headers().get(header::WWW_AUTHENTICATE).unwrap(), "Bearer");
    }

    #[test]
    fn a_client_is_told_how_far_its_request_came_and_nothing_of_the_inside() {
        let stage = |error: AskError<essaim_contract::Never>| {
            let response = Problem::from_ask(error, |never| match never {}).response_in(None);
            let body = response.into_body().try_into_bytes().expect("a problem is no stream");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
            assert!(!body.to_string().contains("shop"), "{body}");
            body["stage"].as_str().map(str::to_string)
        };
        let (behind, doing) = ("`shop.sell.v1`".to_string(), "waiting for the answer to `shop.sell.v1`".to_string());
        let expired = NotDelivered::Expired { queued_behind: 1, queued_ms: 5, behind };
        let chain = vec!["shop".to_string()];
        for (error, expected) in [
            (AskError::NotDelivered(expired), Some("queued")),
            (AskError::NotDelivered(NotDelivered::Cycle { chain }), Some("refused")),
            (AskError::NotDelivered(NotDelivered::NoHost { capability: "shop".into() }), Some("not_delivered")),
            (AskError::Unknown(Unknown::TimedOut { running_ms: 1, doing }), Some("running")),
            (AskError::Unknown(Unknown::NoAnswer { node: "shop".into() }), Some("unanswered")),
            (AskError::Unknown(Unknown::CommitUnanswered), Some("committing")),
        ] {
            assert_eq!(stage(error).as_deref(), expected);
        }
    }
}
