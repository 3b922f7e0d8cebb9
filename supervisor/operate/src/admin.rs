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
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use essaim_base::task::{TaskName, Tasks};
use essaim_config::Settings;
use essaim_core::node::bus::Bus;
use essaim_core::node::operators::{JoinedBus, Listener, OperatorListeners};
use essaim_core::node::readiness::Readiness;
use futures_util::TryFutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use serde_json::json;

use crate::access::Access;
use crate::api::Act;
use crate::follow::Readers;
use crate::metrics::{Metrics, MetricsFormat};
use crate::routes::{Ends, OperatorRoutes};

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
        let (routes, ends) = self.routes(bus, &settings.node.operator_token);
        let server = HttpServer::new(move || App::new().configure(routes.clone()));
        Ok(Some(serve(tasks, server.workers(1).disable_signals().bind(address)?.run(), ends)))
    }

    fn listen_at_socket(&self, tasks: &Tasks, bus: &JoinedBus, path: &Path) -> io::Result<Box<dyn Listener>> {
        let (routes, ends) = self.routes(bus, "");
        let server = HttpServer::new(move || App::new().configure(routes.clone()));
        // A file of that name is left by a process that has ended: the name and the data directory are this one's.
        let server = server.workers(1).disable_signals().bind_uds(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(serve(tasks, server.run(), ends))
    }
}

impl AdminListeners {
    fn routes(&self, bus: &JoinedBus, token: &str) -> (impl FnOnce(&mut ServiceConfig) + Clone + Send + use<>, Ends) {
        let access = Arc::new(AdminAccess { token: token.into() });
        let (operators, ends) = OperatorRoutes::new(bus.clone(), access, self.readers.clone());
        let (bus, metrics) = (Data::new(bus.clone()), Data::new(self.metrics.clone()));
        let routes = move |config: &mut ServiceConfig| {
            config
                .app_data(bus)
                .app_data(metrics)
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(answer_metrics));
            operators.configure(config);
        };
        (routes, ends)
    }
}

/// A server that is running.
struct AdminListener {
    server: ServerHandle,
    ends: Ends,
}

impl Listener for AdminListener {
    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        self.ends.end();
        Box::pin(self.server.stop(true))
    }
}

fn serve(tasks: &Tasks, running: Server, ends: Ends) -> Box<dyn Listener> {
    let server = running.handle();
    tasks.vital(TaskName::of_node("admin"), running.map_err(|error| error.to_string()));
    Box::new(AdminListener { server, ends })
}

/// Everybody who reaches the listener may ask; for what may be personal they have to be the node's own user, at its socket, or to
/// have the token.
struct AdminAccess {
    token: String,
}

impl Access for AdminAccess {
    fn operator(&self, http: &HttpRequest, personal: bool) -> Result<String, String> {
        // A socket in the file system has no address.
        let Some(address) = http.peer_addr() else { return Ok("socket".into()) };
        let given = http.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let is_known = given.is_some_and(|given| !self.token.is_empty() && is_same(given, &self.token));
        let why = "records of messages and log lines may be personal";
        match (personal && !is_known, self.token.is_empty()) {
            (false, _) => Ok(address.ip().to_string()),
            (true, true) => Err(format!("{why}: ask at the node's socket, or set node.operator_token")),
            (true, false) => Err(format!("{why}: send node.operator_token as a bearer token")),
        }
    }

    fn audit<'a>(&'a self, operator: &'a str, act: &'a Act) -> LocalBoxFuture<'a, Result<(), String>> {
        act.log(operator);
        Box::pin(ready(Ok(())))
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
