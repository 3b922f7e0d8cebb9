//! A gateway with stub routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use essaim::{Harness, Stage, StartError, listen};
use essaim_auth_contract::{GetKeys, Keys};
use essaim_contract::AskError;
use essaim_http::{Caller, Json, Path, Problem, RouteConfig, RouteSet, Routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use super::http::{Reply, send};
use super::jwt::{Key, published};
use crate::front::Front;
use crate::server::Server;
use crate::{GatewayActor, GatewaySettings};

/// A running gateway.
pub struct Gate {
    pub stage: Stage<GatewayActor>,
    pub server: Server,
    pub at: SocketAddr,
}

impl Gate {
    /// Sends one request.
    pub async fn send(&self, line: &str, headers: &str, body: &str) -> Reply {
        self.stage.run(send(self.at, line, headers, body)).await
    }

    /// Gets a path.
    pub async fn get(&self, path: &str, headers: &str) -> Reply {
        self.send(&format!("GET {path}"), headers, "").await
    }

    /// Posts JSON to `/things`.
    pub async fn post(&self, body: &str) -> Reply {
        self.send("POST /things", "Content-Type: application/json\r\n", body).await
    }
}

/// The settings of tests: one worker and a free port.
pub fn settings() -> GatewaySettings {
    GatewaySettings { listen: "127.0.0.1:0".into(), workers: 1, body_limit_bytes: 1_000, ..GatewaySettings::default() }
}

/// A gateway with these settings, in front of an `auth` that publishes one key.
pub async fn gate(settings: GatewaySettings) -> Gate {
    gate_with_keys(settings, || Ok(published(&[&Key::new("k1", 1)]))).await
}

/// A gateway in front of an `auth` that answers so.
pub async fn gate_with_keys(
    settings: GatewaySettings,
    keys: impl FnMut() -> Result<Keys, AskError<essaim_contract::Never>> + Send + 'static,
) -> Gate {
    gate_with(settings, RouteSet::new([routes()]), keys).await
}

/// A gateway with these routes, in front of an `auth` that answers so.
pub async fn gate_with(
    settings: GatewaySettings,
    routes: RouteSet,
    mut keys: impl FnMut() -> Result<Keys, AskError<essaim_contract::Never>> + Send + 'static,
) -> Gate {
    let own = GatewaySettings { listen: "127.0.0.1:0".into(), keys_refresh_ms: 3_600_000, ..settings.clone() };
    let stage = Harness::<GatewayActor>::bare().settings(own).stub::<GetKeys>(move |_| keys()).start().await;
    let front = Arc::new(Front::new(settings, Arc::new(routes), stage.client()).unwrap());
    let listener = listen("gateway.listen", &front.settings.listen).unwrap();
    let (announce, within) = (Duration::from_millis(200), Duration::from_secs(10));
    let started = stage.run(async {
        let (server, serving) = Server::start(front, listener, announce, within)?;
        tokio::task::spawn_local(serving);
        Ok::<_, StartError>(server)
    });
    let server = started.await.unwrap();
    let at = server.address();
    Gate { stage, server, at }
}

/// Routes under the name of the one capability that there is.
pub fn routes() -> Routes {
    Routes { name: "auth", configure, openapi: Doc::openapi }
}

#[derive(OpenApi)]
#[openapi(paths(read, make, who, admin))]
struct Doc;

fn configure(config: &mut RouteConfig) {
    config
        .get("/things/{id}", read)
        .post("/things", make)
        .get("/who", who)
        .get("/admin", admin)
        .get("/panic", panics)
        .get("/slow", slow)
        .get("/bare", HttpResponse::NotFound)
        .get("/ask", ask);
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    name: String,
    count: u8,
}

/// Reads a thing.
#[utoipa::path(get, path = "/things/{id}", params(("id" = u32, Path)), responses((status = 200, body = Thing), (status = 404)))]
async fn read(id: Path<u32>) -> Result<Json<Thing>, Problem> {
    match *id {
        0 => Err(Problem::not_found("There is no such thing.")),
        id => Ok(Json(Thing { name: id.to_string(), count: 1 })),
    }
}

/// Makes a thing.
#[utoipa::path(post, path = "/things", request_body = Thing, responses((status = 201, body = Thing)))]
async fn make(thing: Json<Thing>) -> HttpResponse {
    HttpResponse::Created().json(thing.into_inner())
}

/// Tells who calls.
#[utoipa::path(get, path = "/who", responses((status = 200, body = Object)))]
async fn who(caller: Caller) -> Json<Value> {
    let client = caller.client();
    Json(json!({
        "subject": client.principal().map(|p| p.subject.clone()),
        "address": caller.address(),
        "trace": client.trace().map(|t| t.to_string()),
        "trace_state": client.trace_state().as_str(),
    }))
}

/// Lets admins in.
#[utoipa::path(get, path = "/admin", security(("bearer" = [])), responses((status = 204), (status = 403)))]
async fn admin(caller: Caller) -> Result<HttpResponse, Problem> {
    caller.require_role("admin")?;
    Ok(HttpResponse::NoContent().finish())
}

async fn panics() -> HttpResponse {
    panic!("the secret reason")
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(400)).await;
    "done"
}

async fn ask(caller: Caller) -> Result<HttpResponse, Problem> {
    let answer = caller.client().ask(essaim_auth_contract::Logout { refresh_token: "r".into() }).await;
    answer.map(|()| HttpResponse::NoContent().finish()).map_err(|e| Problem::from_ask(e, |e| match e {}))
}
