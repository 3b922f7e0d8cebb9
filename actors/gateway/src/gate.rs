//! The one middleware: all that is done for every request is done here, in one pass.

use std::any::Any;
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{Error, HttpMessage};
use essaim_http::Problem;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tracing::Instrument;

use crate::GatewaySettings;
use crate::front::Front;
use crate::stream::Pulse;
use crate::visit::Visit;
use crate::{answer, cors, pages};

/// Wraps the application.
pub(crate) struct Gate(pub Arc<Front>);

impl<S> Transform<S, ServiceRequest> for Gate
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = GateService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(GateService { front: self.0.clone(), service: Rc::new(service) }))
    }
}

/// The gate in front of one worker's application.
pub(crate) struct GateService<S> {
    front: Arc<Front>,
    service: Rc<S>,
}

impl<S> Service<ServiceRequest> for GateService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

    forward_ready!(service);

    fn call(&self, req: ServiceRequest) -> Self::Future {
        let (front, service) = (self.front.clone(), self.service.clone());
        Box::pin(async move {
            let pulse = req.conn_data::<Rc<Pulse>>().cloned();
            pulse.as_deref().inspect(|p| p.request());
            let mut under_way = UnderWay { visit: Visit::begin(&front, &req), front, answered: false };
            let (front, visit) = (&under_way.front, &under_way.visit);
            let outcome = pass(front, &*service, visit, req).instrument(visit.span()).await;
            let answer = answer::finish(front, visit, outcome);
            pulse.as_deref().inspect(|p| p.answered());
            under_way.answered = true;
            answer
        })
    }
}

/// A request under way. One that is cut off, since the server stops at once, is logged and counted too.
struct UnderWay {
    front: Arc<Front>,
    visit: Visit,
    answered: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.answered {
            answer::abandoned(&self.front, &self.visit);
        }
    }
}

/// Lets a request in, or says why not.
async fn pass<S>(front: &Front, service: &S, visit: &Visit, mut req: ServiceRequest) -> Result<ServiceResponse, Problem>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    check_sizes(front, &req)?;
    if !pages::is_probe(req.path()) {
        front.rate.admit(visit.address, front.env.now()).map_err(too_many)?;
    }
    if cors::is_preflight(req.method(), req.headers()) {
        let answer = visit.cors.preflight()?;
        return Ok(req.into_response(answer));
    }
    // Only routes that need a token refuse one that is not accepted. Probes need no token.
    let principal = match pages::is_probe(req.path()) {
        true => Ok(None),
        false => front.tokens.principal(req.headers()).await,
    };
    if req.method() == Method::HEAD {
        // Routes answer GET; the connection leaves the body out, since it remembers what was asked.
        req.head_mut().method = Method::GET;
    }
    req.extensions_mut().insert(visit.edge(front, principal));
    let limit = Duration::from_millis(front.settings.request_timeout_ms);
    let running = AssertUnwindSafe(async { service.call(req).await }).catch_unwind();
    match tokio::time::timeout(limit, running).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(error))) => Err(Problem::broken(error.to_string())),
        Ok(Err(panic)) => Err(Problem::broken(format!("a route panicked: {}", panic_text(&*panic)))),
        Err(_) => Err(Problem::outcome_unknown(format!("gateway.request_timeout_ms ({}) passed", limit.as_millis()))),
    }
}

/// Refuses what is too large by its head alone.
fn check_sizes(front: &Front, req: &ServiceRequest) -> Result<(), Problem> {
    let (settings, headers) = (&front.settings, req.headers());
    let line = req.uri().path_and_query().map_or(0, |p| p.as_str().len());
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + line;
    if bytes > settings.header_limit_bytes || headers.len() > settings.header_limit_count {
        return Err(headers_too_large(settings));
    }
    if announced_bytes(headers).is_some_and(|bytes| bytes > settings.body_limit_bytes as u64) {
        return Err(front.body_limits().too_large());
    }
    Ok(())
}

/// The problem of headers that are too large, whether the parser or the gate has found it.
pub(crate) fn headers_too_large(settings: &GatewaySettings) -> Problem {
    let (bytes, count) = (settings.header_limit_bytes, settings.header_limit_count);
    let detail = format!(
        "The request's line and headers have at most {bytes} bytes together, and there are at most {count} headers."
    );
    let (status, title) = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large");
    Problem::new(status, "headers-too-large", title).detail(detail)
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
        .detail("You send more requests than you may. Wait before the next.")
        .retry_after(seconds.max(1))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
