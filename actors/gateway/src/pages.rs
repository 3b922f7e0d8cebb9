//! The gateway's own pages: health, status and documentation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use essaim_http::{Caller, Json, Problem};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::front::Front;
use crate::{home, unmatched};

pub(crate) const DOCUMENT: &str = "/openapi.json";
pub(crate) const DOCS: &str = "/docs/";
const LIVE: &str = "/livez";
const READY: &str = "/readyz";
const STATUS: &str = "/status";
const HOME: &str = "/";
const DOCS_WITHOUT_SLASH: &str = "/docs";
const DOCS_TAIL: &str = "/docs/{_:.*}";

/// The paths of the pages; all answer GET.
pub(crate) const PATHS: &[&str] = &[LIVE, READY, STATUS, DOCUMENT, HOME, DOCS_WITHOUT_SLASH, DOCS_TAIL];

/// Describes the pages.
#[derive(OpenApi)]
#[openapi(paths(livez, readyz, status))]
pub(crate) struct Doc;

/// Whether the path is a health probe; probes are not counted against the rate limit.
pub(crate) fn is_probe(path: &str) -> bool {
    path == LIVE || path == READY
}

/// Whether the path belongs to the browsable documentation.
pub(crate) fn is_docs(path: &str) -> bool {
    path.starts_with(DOCS)
}

/// Registers the pages, and what answers when nothing else does.
pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .route(LIVE, web::get().to(livez))
        .route(READY, web::get().to(readyz))
        .route(STATUS, web::get().to(status))
        .route(DOCUMENT, web::get().to(openapi_json))
        .route(HOME, web::get().to(home::page))
        .route(DOCS_WITHOUT_SLASH, web::get().to(to_docs))
        .service(SwaggerUi::new(DOCS_TAIL).config(Config::new([DOCUMENT])))
        .default_service(web::to(nothing_here));
}

/// Tells that the process runs and serves.
#[utoipa::path(get, path = "/livez", responses((status = 200, description = "The process serves")))]
async fn livez() -> HttpResponse {
    plain("ok")
}

/// Tells whether requests should be sent here.
///
/// A gateway is ready as soon as each capability behind its routes has been up once, here or in another node. It stays
/// ready while some of them are away, since the others can be used; but not while all of them are, nor while it drains.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "Send requests here"),
    (status = 503, description = "Do not send requests here"),
))]
async fn readyz(front: Data<Arc<Front>>) -> Result<HttpResponse, Problem> {
    match readiness(&front) {
        Ok(()) => Ok(plain("ready")),
        Err(why) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready").detail(why).retry_after(1))
        }
    }
}

/// Shows how the nodes of the cluster and their capabilities are.
///
/// This gateway's node tells of itself, how it hears the others, and what they report of themselves. Only admins are told
/// where databases are, why something does not work or a task has panicked, and the capabilities' own figures.
#[utoipa::path(get, path = "/status", responses(
    (status = 200, description = "The cluster, as this gateway sees it", content_type = "application/json", body = Object),
))]
async fn status(caller: Caller, front: Data<Arc<Front>>) -> Json<Value> {
    let mut status = front.status().await;
    if caller.require_role("admin").is_err() {
        hide_inside(&mut status);
    }
    Json(status)
}

/// Takes out of a status what admins alone are told.
fn hide_inside(status: &mut Value) {
    let remove = |of: &mut Value, inside: &[&str]| {
        inside.iter().for_each(|key| drop(of.as_object_mut().and_then(|map| map.remove(*key))));
    };
    remove(status, &["reasons"]);
    let capabilities = status["capabilities"].as_object_mut().into_iter().flat_map(|all| all.values_mut());
    capabilities.for_each(|capability| remove(capability, &["database", "reason", "figures"]));
    let listed = |status: &'_ mut Value, list: &str, each: &dyn Fn(&mut Value)| {
        status[list].as_array_mut().into_iter().flatten().for_each(each);
    };
    listed(status, "tasks", &|task| remove(task, &["last_panic"]));
    listed(status, "outages", &|outage| remove(outage, &["cause"]));
    listed(status, "members", &|member| {
        remove(member, &["problem"]);
        if member["report"].is_object() {
            hide_inside(&mut member["report"]);
        }
    });
}

/// The gateway's own figures.
pub(crate) fn figures(front: &Front) -> Value {
    json!({
        "requests": front.counts.read(),
        "draining": front.is_draining(),
        "keys": front.keys.len(),
        "rate_limited_clients": front.rate.clients(),
    })
}

/// Whether requests should be sent here; if not, why.
pub(crate) fn readiness(front: &Front) -> Result<(), String> {
    if front.is_draining() {
        return Err("This gateway is about to stop.".into());
    }
    if !front.client.trouble().is_empty() {
        return Err("Something in this node has failed and is not back yet.".into());
    }
    let is_away = |name: &&str| !front.client.reaches(name);
    let mut capabilities = front.routes.iter().map(|r| r.name);
    if front.was_complete.load(Ordering::Acquire) {
        return match capabilities.all(|name| is_away(&name)) && front.routes.iter().next().is_some() {
            true => Err("None of the capabilities can be reached.".into()),
            false => Ok(()),
        };
    }
    let missing: Vec<&str> = capabilities.filter(is_away).collect();
    if missing.is_empty() {
        front.was_complete.store(true, Ordering::Release);
        Ok(())
    } else {
        Err(format!("Not up yet: {}.", missing.join(", ")))
    }
}

async fn openapi_json(front: Data<Arc<Front>>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(front.document.json.clone())
}

async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, DOCS)).finish()
}

async fn nothing_here(req: HttpRequest, front: Data<Arc<Front>>) -> Result<HttpResponse, Problem> {
    Err(unmatched::problem(&front, req.path(), req.method()))
}

fn plain(text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)
}
