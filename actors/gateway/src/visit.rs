//! What the gateway knows of one request.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use essaim::Env;
use essaim::trace::{self, TraceContext, TraceHeaders, TraceState};
use essaim_contract::{Metadata, Principal};
use essaim_http::{Edge, Problem};
use tokio::time::Instant;
use tracing::{Level, Span};

use crate::cors::Allowed;
use crate::front::Front;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static(trace::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(trace::TRACESTATE);
const LONGEST_REQUEST_ID: usize = 128;

/// One request on its way through the gateway.
pub(crate) struct Visit {
    pub method: Method,
    pub uri: Uri,
    /// The request's own span.
    pub trace: TraceContext,
    /// What the client sends along with its trace.
    trace_state: TraceState,
    /// The client's span, if it is in a trace.
    pub parent: Option<u64>,
    pub request_id: HeaderValue,
    pub address: IpAddr,
    pub cors: Allowed,
    pub begun: Instant,
}

impl Visit {
    pub fn begin(front: &Front, req: &ServiceRequest) -> Self {
        let headers = req.headers();
        let peer = req.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
        front.counts.begin();
        let (trace, client) = trace_of(headers, &front.env, front.settings.trace_sample);
        let (parent, trace_state) = client.map(|client| (client.context.span_id, client.state)).unzip();
        let trace = front.client.recorder().decide(trace);
        Self {
            method: req.method().clone(),
            uri: req.uri().clone(),
            trace,
            trace_state: trace_state.unwrap_or_default(),
            parent,
            request_id: request_id_of(headers, &front.env),
            address: front.proxies.client(peer, headers),
            cors: front.cors.allowed(headers),
            begun: front.env.now(),
        }
    }

    /// The span of the request; as with messages, those of traces that are not sampled have the level `debug`.
    pub fn span(&self) -> Span {
        // The level of a span is part of its call site, so there are two.
        macro_rules! at {
            ($level:expr) => {
                tracing::span!(
                    target: "essaim::request",
                    parent: None,
                    $level,
                    "request",
                    method = %self.method,
                    path = self.uri.path(),
                    trace_id = format_args!("{:032x}", self.trace.trace_id),
                    span_id = format_args!("{:016x}", self.trace.span_id),
                    parent = self.parent.map(|p| tracing::field::display(format!("{p:016x}"))),
                )
            };
        }
        if self.trace.sampled { at!(Level::INFO) } else { at!(Level::DEBUG) }
    }

    /// The id of the trace, as operators look for it.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace.trace_id)
    }

    /// What its record tells beside the rest.
    pub fn attributes(&self) -> Option<Arc<Metadata>> {
        let request_id = self.request_id.to_str().ok()?;
        Some(Arc::new(Metadata::from([(Edge::REQUEST_ID.to_string(), request_id.to_string())])))
    }

    /// What routes are told.
    pub fn edge(&self, front: &Front, principal: Result<Option<Arc<Principal>>, Problem>) -> Edge {
        // Request ids are visible ASCII, or they would not have been accepted.
        let request_id = self.request_id.to_str().unwrap_or_default().into();
        let (client, trace_state) = (front.client.clone(), self.trace_state.clone());
        Edge { client, trace: self.trace, trace_state, principal, request_id, address: self.address }
    }

    /// How long the request has taken, in milliseconds.
    pub fn elapsed_ms(&self, env: &Env) -> f64 {
        let micros = env.now().saturating_duration_since(self.begun).as_micros();
        micros as f64 / 1_000.0
    }
}

/// A span of the trace that the client is in, and what the client says of that; or of a new trace. A client that is in a
/// trace decides whether it is sampled.
fn trace_of(headers: &HeaderMap, env: &Env, share: f64) -> (TraceContext, Option<TraceHeaders>) {
    let fields = |name| headers.get_all(name).map(HeaderValue::as_bytes);
    match TraceHeaders::read(fields(TRACEPARENT), fields(TRACESTATE)) {
        Some(client) => (client.context.child(env), Some(client)),
        None => (TraceContext { sampled: share >= 1.0 || env.fraction() < share, ..TraceContext::root(env) }, None),
    }
}

/// The id that the client gave the request if it is sane, else a new one.
fn request_id_of(headers: &HeaderMap, env: &Env) -> HeaderValue {
    let sane = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    match headers.get(REQUEST_ID) {
        Some(id) if (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(sane) => id.clone(),
        _ => request_id(env),
    }
}

/// A new id.
pub(crate) fn request_id(env: &Env) -> HeaderValue {
    let mut text = [0; 36];
    let text = env.id().hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::test::TestRequest;

    use super::*;

    fn id_for(given: &str) -> String {
        let req = TestRequest::default().insert_header((REQUEST_ID, given)).to_http_request();
        request_id_of(req.headers(), &Env::system()).to_str().unwrap().to_string()
    }

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("job-7_a.b:c"), "job-7_a.b:c");
        for id in ["", "two words", "<script>", &"x".repeat(129)] {
            assert_eq!(id_for(id).len(), 36, "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_goes_on_as_the_client_began_it() {
        let env = Env::simulated(1, Duration::ZERO);
        let trace = |given: &[&str], share| {
            let req = given.iter().fold(TestRequest::default(), |r, g| r.append_header((TRACEPARENT, *g)));
            trace_of(req.to_http_request().headers(), &env, share).0
        };
        let (yes, no) = (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        );
        let joined = trace(&[yes], 0.0);
        assert_eq!((joined.trace_id, joined.sampled), (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, true));
        assert_ne!(joined.span_id, 0x00f0_67aa_0ba9_02b7, "the gateway is a span of its own");
        assert!(!trace(&[no], 1.0).sampled);
        assert_ne!(trace(&[yes, no], 1.0).trace_id, joined.trace_id, "two parents are none");
        assert!(trace(&["nonsense"], 1.0).sampled && !trace(&[], 0.0).sampled);
        assert!((400..600).contains(&(0..1_000).filter(|_| trace(&[], 0.5).sampled).count()));
    }
}
