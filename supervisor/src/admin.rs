//! The admin listener of a node: `/livez`, `/readyz` and `/status`, since most nodes have no gateway.
//!
//! It has no authentication: let it listen where only operators and probes can reach it.

use std::sync::Arc;

pub(crate) use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;

use crate::bus::Bus;
use crate::status::{NodeStatus, not_ready};

/// Begins to listen; an empty address: no listener.
///
/// # Errors
/// If the address cannot be listened at.
pub(crate) fn listen(bus: &Arc<Bus>) -> std::io::Result<Option<ServerHandle>> {
    let address = &bus.settings.node.admin_listen;
    if address.is_empty() {
        return Ok(None);
    }
    let data = Data::new(bus.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/status", web::get().to(status))
    })
    .workers(1)
    .disable_signals()
    .bind(address)?
    .run();
    let handle = server.handle();
    tokio::task::spawn_local(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    Ok(Some(handle))
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok")
}

async fn readyz(bus: Data<Arc<Bus>>) -> HttpResponse {
    let reasons = not_ready(&bus);
    if reasons.is_empty() {
        HttpResponse::Ok().json(json!({ "ready": true }))
    } else {
        HttpResponse::ServiceUnavailable().json(json!({ "ready": false, "reasons": reasons }))
    }
}

async fn status(bus: Data<Arc<Bus>>) -> HttpResponse {
    HttpResponse::Ok().json(NodeStatus::of(&bus).await)
}
