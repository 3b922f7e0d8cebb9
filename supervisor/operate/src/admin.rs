//! The admin listener of a node: `/livez`, `/readyz` and `/status`, since most nodes have no gateway, `/metrics`, and what
//! operators ask about durable messages and have done about them.
//!
//! It has no authentication, except for what may tell personal data: that needs `node.operator_token`. Let it listen where only
//! operators and probes can reach it. The same is served at a socket in the data directory, which only the node's own user
//! may open, and who may is asked for no token.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::{ACCEPT, AUTHORIZATION};
use actix_web::web::{self, Data, JsonConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use essaim_base::task::{TaskName, Tasks};
use essaim_config::Settings;
use essaim_core::node::bus::Bus;
use essaim_core::node::operators::{JoinedBus, Listener, OperatorListeners};
use essaim_core::node::readiness::{NOT_JOINED, Readiness};
use futures_util::TryFutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::json;

use crate::NodeStatus;
use crate::api::{
    AskLedger, DropDead, DropSubscription, ExplainMessage, FindLogs, FindRecords, ListDead, ListParked,
    ListSubscriptions, ReplayDead, Retire, RetryParked, ShowDead, ShowTrace,
};
use crate::metrics::{Metrics, MetricsFormat};
use crate::requests::{Operator, OperatorRequest, Refusal};

/// The longest question, in bytes: as many ids as may be named, each as long as an id may be.
const LARGEST_QUESTION: usize = 128 << 10;

/// The admin listener of the configuration, and the one at a socket.
#[derive(Default)]
pub(crate) struct AdminListeners {
    metrics: Metrics,
}

impl OperatorListeners for AdminListeners {
    fn listen(&self, settings: &Settings, tasks: &Tasks, bus: &JoinedBus) -> io::Result<Option<Box<dyn Listener>>> {
        let address = &settings.node.admin_listen;
        if address.is_empty() {
            return Ok(None);
        }
        let routes = routes(bus, &self.metrics);
        let server = HttpServer::new(move || App::new().configure(routes.clone()));
        Ok(Some(serve(tasks, server.workers(1).disable_signals().bind(address)?.run())))
    }

    fn listen_at_socket(&self, tasks: &Tasks, bus: &JoinedBus, path: &Path) -> io::Result<Box<dyn Listener>> {
        let routes = routes(bus, &self.metrics);
        let server = HttpServer::new(move || App::new().configure(routes.clone()));
        // A file of that name is left by a process that has ended: the name and the data directory are this one's.
        let server = server.workers(1).disable_signals().bind_uds(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(serve(tasks, server.run()))
    }
}

/// A server that is running.
struct AdminListener(ServerHandle);

impl Listener for AdminListener {
    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(self.0.stop(true))
    }
}

fn serve(tasks: &Tasks, server: Server) -> Box<dyn Listener> {
    let handle = server.handle();
    tasks.vital(TaskName::of_node("admin"), server.map_err(|error| error.to_string()));
    Box::new(AdminListener(handle))
}

fn routes(bus: &JoinedBus, metrics: &Metrics) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    let (data, metrics) = (Data::new(bus.clone()), Data::new(metrics.clone()));
    move |config| {
        config
            .app_data(data)
            .app_data(metrics)
            .app_data(JsonConfig::default().limit(LARGEST_QUESTION))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/status", web::get().to(status))
            .route("/metrics", web::get().to(answer_metrics));
        route::<ListDead>(config);
        route::<ShowDead>(config);
        route::<ReplayDead>(config);
        route::<DropDead>(config);
        route::<AskLedger>(config);
        route::<ListSubscriptions>(config);
        route::<DropSubscription>(config);
        route::<Retire>(config);
        route::<ListParked>(config);
        route::<RetryParked>(config);
        route::<ExplainMessage>(config);
        route::<FindRecords>(config);
        route::<FindLogs>(config);
        route::<ShowTrace>(config);
    }
}

fn route<Q: OperatorRequest + 'static>(config: &mut ServiceConfig) {
    config.route(Q::PATH, web::post().to(ask::<Q>));
}

/// Answers an operator. It takes JSON that says that it is JSON and nothing else, so that no page which an operator happens
/// to visit can have their browser ask: a browser asks first whether it may, and is not told that it may.
async fn ask<Q: OperatorRequest>(bus: Data<JoinedBus>, http: HttpRequest, request: web::Json<Q>) -> HttpResponse {
    let Some(bus) = joined(&bus) else { return not_joined() };
    let request = request.into_inner();
    if Q::IS_PERSONAL {
        let reader = match reader_of(&http, &bus.settings.node.operator_token) {
            Ok(reader) => reader,
            Err(why) => return HttpResponse::Forbidden().json(json!({ "error": why })),
        };
        if let Some(reads) = request.reads() {
            tracing::info!(target: "essaim::audit", reader, reads, "an operator reads message records or log lines");
        }
    }
    match request.answer(&Operator::of(&bus)).await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(Refusal::Wrong(why)) => HttpResponse::BadRequest().json(json!({ "error": why })),
        Err(Refusal::Away(why)) => HttpResponse::ServiceUnavailable().json(json!({ "error": why })),
    }
}

/// Who asks for what may be personal: the node's own user, at its socket, or one who has the token.
///
/// # Errors
/// Why it is refused, and what would be right.
fn reader_of(http: &HttpRequest, token: &str) -> Result<String, &'static str> {
    // A socket in the file system has no address.
    let Some(address) = http.peer_addr() else { return Ok("socket".into()) };
    if token.is_empty() {
        return Err(
            "records of messages and log lines may be personal: ask at the node's socket, or set node.operator_token",
        );
    }
    let given = http.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match given {
        Some(given) if is_same(given, token) => Ok(address.ip().to_string()),
        _ => Err("records of messages and log lines may be personal: send node.operator_token as a bearer token"),
    }
}

/// Compares in a time that tells nothing of where they differ.
fn is_same(given: &str, token: &str) -> bool {
    let differing = given.bytes().zip(token.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
    given.len() == token.len() && differing == 0
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok")
}

async fn readyz(bus: Data<JoinedBus>) -> HttpResponse {
    let Readiness { is_ready, reasons } = joined(&bus).map_or_else(Readiness::not_joined, |bus| Readiness::of(&bus));
    let mut answer = if is_ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if reasons.is_empty() {
        answer.json(json!({ "ready": is_ready }))
    } else {
        answer.json(json!({ "ready": is_ready, "reasons": reasons }))
    }
}

async fn status(bus: Data<JoinedBus>) -> HttpResponse {
    let Some(bus) = joined(&bus) else { return not_joined() };
    HttpResponse::Ok().json(NodeStatus::of_bus(&bus).await)
}

/// Answers a scrape; also before the node has joined the others.
async fn answer_metrics(bus: Data<JoinedBus>, metrics: Data<Metrics>, request: HttpRequest) -> HttpResponse {
    let format = MetricsFormat::accepted(request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    match metrics.text(joined(&bus).as_deref(), format).await {
        Ok(text) => HttpResponse::Ok().content_type(format.content_type()).body(text),
        Err(error) => HttpResponse::InternalServerError().json(json!({ "error": error.to_string() })),
    }
}

fn joined(bus: &JoinedBus) -> Option<Arc<Bus>> {
    bus.borrow().clone()
}

fn not_joined() -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": NOT_JOINED }))
}
