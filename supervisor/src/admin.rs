//! The admin listener of a node: `/livez`, `/readyz` and `/status`, since most nodes have no gateway, and what operators ask
//! about durable messages and have done about them.
//!
//! It has no authentication: let it listen where only operators and probes can reach it. The same is served at a socket in
//! the data directory, which only the node's own user may open.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use actix_web::dev::Server;
pub(crate) use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data, JsonConfig, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::TryFutureExt;
use serde_json::json;

use crate::bus::Bus;
use crate::config::Settings;
use crate::durable::operations::{
    Answers, AskLedger, DropDead, DropSubscription, ListDead, ListSubscriptions, Refusal, ReplayDead, Retire, ShowDead,
};
use crate::readiness::{NOT_JOINED, Readiness};
use crate::status::NodeStatus;
use crate::task::{TaskName, Tasks};

/// The longest question, in bytes: as many ids as may be named, each as long as an id may be.
const LARGEST_QUESTION: usize = 128 << 10;

/// The bus, once the node has joined. Until then it is alive and not ready, and answers no operator.
pub(crate) type JoinedBus = Arc<OnceLock<Arc<Bus>>>;

/// Begins to listen; an empty address: no listener.
///
/// # Errors
/// If the address cannot be listened at.
pub(crate) fn listen(settings: &Settings, tasks: &Tasks, bus: &JoinedBus) -> std::io::Result<Option<ServerHandle>> {
    let address = &settings.node.admin_listen;
    if address.is_empty() {
        return Ok(None);
    }
    let routes = routes(bus);
    let server = HttpServer::new(move || App::new().configure(routes.clone()));
    Ok(Some(serve(tasks, server.workers(1).disable_signals().bind(address)?.run())))
}

/// Begins to listen at a socket that only this process's user may open.
///
/// # Errors
/// If there can be no socket of that name.
pub(crate) fn listen_at_socket(tasks: &Tasks, bus: &JoinedBus, path: &Path) -> std::io::Result<ServerHandle> {
    let routes = routes(bus);
    let server = HttpServer::new(move || App::new().configure(routes.clone()));
    // Whatever is left there is of a process that has ended: the name and the data directory are this one's.
    let server = server.workers(1).disable_signals().bind_uds(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(serve(tasks, server.run()))
}

fn serve(tasks: &Tasks, server: Server) -> ServerHandle {
    let handle = server.handle();
    tasks.vital(TaskName::of_node("admin"), server.map_err(|error| error.to_string()));
    handle
}

fn routes(bus: &JoinedBus) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    let data = Data::new(bus.clone());
    move |config| {
        config
            .app_data(data)
            .app_data(JsonConfig::default().limit(LARGEST_QUESTION))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/status", web::get().to(status));
        route::<ListDead>(config);
        route::<ShowDead>(config);
        route::<ReplayDead>(config);
        route::<DropDead>(config);
        route::<AskLedger>(config);
        route::<ListSubscriptions>(config);
        route::<DropSubscription>(config);
        route::<Retire>(config);
    }
}

fn route<Q: Answers + 'static>(config: &mut ServiceConfig) {
    config.route(Q::PATH, web::post().to(ask::<Q>));
}

/// Answers an operator. It takes JSON that says that it is JSON and nothing else, so that no page which an operator happens
/// to visit can have their browser ask: a browser asks first whether it may, and is not told that it may.
async fn ask<Q: Answers>(bus: Data<JoinedBus>, question: web::Json<Q>) -> HttpResponse {
    let Some(bus) = bus.get() else { return not_joined() };
    match question.into_inner().answer(bus).await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(Refusal::Wrong(why)) => HttpResponse::BadRequest().json(json!({ "error": why })),
        Err(Refusal::Away(why)) => HttpResponse::ServiceUnavailable().json(json!({ "error": why })),
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok")
}

async fn readyz(bus: Data<JoinedBus>) -> HttpResponse {
    let Readiness { is_ready, reasons } = bus.get().map_or_else(Readiness::not_joined, |bus| Readiness::of(bus));
    let mut answer = if is_ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if reasons.is_empty() {
        answer.json(json!({ "ready": is_ready }))
    } else {
        answer.json(json!({ "ready": is_ready, "reasons": reasons }))
    }
}

async fn status(bus: Data<JoinedBus>) -> HttpResponse {
    let Some(bus) = bus.get() else { return not_joined() };
    HttpResponse::Ok().json(NodeStatus::of(bus).await)
}

fn not_joined() -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": NOT_JOINED }))
}
