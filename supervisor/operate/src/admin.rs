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
use actix_web::guard::{GuardContext, fn_guard};
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
use tokio::sync::watch;

use crate::NodeStatus;
use crate::api::{
    ApiRequest, AskLedger, DropDead, DropSubscription, ExplainMessage, FindLogs, FindRecords, Followed, ListDead,
    ListParked, ListSubscriptions, ReplayDead, Retire, RetryParked, ShowDead, ShowTrace,
};
use crate::follow::{MOST_READERS, Readers};
use crate::metrics::{Metrics, MetricsFormat};
use crate::requests::{Operator, OperatorRequest, Refusal};

/// The longest question, in bytes: as many ids as may be named, each as long as an id may be.
const LARGEST_QUESTION: usize = 128 << 10;
/// What is accepted by who wants all that comes, and not a page.
const EVENT_STREAM: &str = "text/event-stream";

/// The admin listener of the configuration, and the one at a socket.
#[derive(Default)]
pub(crate) struct AdminListeners {
    metrics: Metrics,
    readers: Readers,
}

impl OperatorListeners for AdminListeners {
    fn listen(&self, settings: &Settings, tasks: &Tasks, bus: &JoinedBus) -> io::Result<Option<Box<dyn Listener>>> {
        let address = &settings.node.admin_listen;
        if address.is_empty() {
            return Ok(None);
        }
        let (ends, routes) = self.routes(bus);
        let server = HttpServer::new(move || App::new().configure(routes.clone()));
        Ok(Some(serve(tasks, server.workers(1).disable_signals().bind(address)?.run(), ends)))
    }

    fn listen_at_socket(&self, tasks: &Tasks, bus: &JoinedBus, path: &Path) -> io::Result<Box<dyn Listener>> {
        let (ends, routes) = self.routes(bus);
        let server = HttpServer::new(move || App::new().configure(routes.clone()));
        // A file of that name is left by a process that has ended: the name and the data directory are this one's.
        let server = server.workers(1).disable_signals().bind_uds(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(serve(tasks, server.run(), ends))
    }
}

impl AdminListeners {
    /// What a listener answers, and what tells its readers of endless answers that they end.
    fn routes(&self, bus: &JoinedBus) -> (watch::Sender<bool>, impl FnOnce(&mut ServiceConfig) + Clone + Send + use<>) {
        let (ends, ending) = watch::channel(false);
        let (bus, ending) = (Data::new(bus.clone()), Data::new(ending));
        let (metrics, readers) = (Data::new(self.metrics.clone()), Data::new(self.readers.clone()));
        let routes = move |config: &mut ServiceConfig| {
            config.app_data(bus).app_data(ending).app_data(metrics).app_data(readers);
            routes(config);
        };
        (ends, routes)
    }
}

/// A server that is running.
struct AdminListener {
    server: ServerHandle,
    ends: watch::Sender<bool>,
}

impl Listener for AdminListener {
    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        // The server waits for the end of every answer.
        self.ends.send_replace(true);
        Box::pin(self.server.stop(true))
    }
}

fn serve(tasks: &Tasks, running: Server, ends: watch::Sender<bool>) -> Box<dyn Listener> {
    let server = running.handle();
    tasks.vital(TaskName::of_node("admin"), running.map_err(|error| error.to_string()));
    Box::new(AdminListener { server, ends })
}

fn routes(config: &mut ServiceConfig) {
    config
        .app_data(JsonConfig::default().limit(LARGEST_QUESTION))
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .route("/status", web::get().to(status))
        .route("/metrics", web::get().to(answer_metrics));
    route_followed::<FindRecords>(config);
    route_followed::<FindLogs>(config);
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
    route::<ShowTrace>(config);
}

fn route<Q: OperatorRequest + 'static>(config: &mut ServiceConfig) {
    config.route(Q::PATH, web::post().to(ask::<Q>));
}

/// Answered with a page, or with all that come, as the reader accepts.
fn route_followed<Q: OperatorRequest + Followed + Clone + 'static>(config: &mut ServiceConfig) {
    let follows = |http: &GuardContext<'_>| {
        let accepted = http.head().headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
        accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
    };
    config.route(Q::PATH, web::post().guard(fn_guard(follows)).to(follow::<Q>));
    route::<Q>(config);
}

/// Answers an operator. It takes JSON that says that it is JSON and nothing else, so that no page which an operator happens
/// to visit can have their browser ask: a browser asks first whether it may, and is not told that it may.
async fn ask<Q: OperatorRequest>(bus: Data<JoinedBus>, http: HttpRequest, request: web::Json<Q>) -> HttpResponse {
    let Some(bus) = joined(&bus) else { return not_joined() };
    let request = request.into_inner();
    if let Err(why) = may_ask(&bus, &http, &request) {
        return forbidden(why);
    }
    match request.answer(&Operator::of(&bus)).await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(Refusal::Wrong(why)) => HttpResponse::BadRequest().json(json!({ "error": why })),
        Err(Refusal::Away(why)) => HttpResponse::ServiceUnavailable().json(json!({ "error": why })),
    }
}

/// Answers an operator with what comes, as it comes.
async fn follow<Q: OperatorRequest + Followed + Clone + 'static>(
    bus: Data<JoinedBus>,
    (readers, ending): (Data<Readers>, Data<watch::Receiver<bool>>),
    http: HttpRequest,
    request: web::Json<Q>,
) -> HttpResponse {
    let Some(node) = joined(&bus) else { return not_joined() };
    let request = request.into_inner();
    if let Err(why) = may_ask(&node, &http, &request) {
        return forbidden(why);
    }
    match readers.events(request, bus.get_ref().clone(), ending.get_ref().clone()) {
        Some(events) => HttpResponse::Ok().content_type(EVENT_STREAM).streaming(events),
        None => {
            let why = format!("{MOST_READERS} readers follow already at this node: end one, or ask another node");
            HttpResponse::ServiceUnavailable().json(json!({ "error": why }))
        }
    }
}

/// Whether this reader may ask this; one who reads what may be personal is audited.
fn may_ask<Q: ApiRequest>(bus: &Bus, http: &HttpRequest, request: &Q) -> Result<(), &'static str> {
    if !Q::IS_PERSONAL {
        return Ok(());
    }
    let reader = reader_of(http, &bus.settings.node.operator_token)?;
    if let Some(reads) = request.reads() {
        tracing::info!(target: "essaim::audit", reader, reads, "an operator reads message records or log lines");
    }
    Ok(())
}

fn forbidden(why: &str) -> HttpResponse {
    HttpResponse::Forbidden().json(json!({ "error": why }))
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
