//! The admin listener of a node: `/livez`, `/readyz` and `/status`, since most nodes have no gateway, `/metrics`, and what
//! operators ask about durable messages and have done about them.
//!
//! Who may ask it what is known by tokens (`askers`). The same is served at a socket in the data directory, which only the node's
//! own user may open, and who may is asked for no token. With a certificate the admin listener speaks TLS (`https`).

use std::fs::Permissions;
use std::io;
use std::net::ToSocketAddrs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::ACCEPT;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use essaim_base::file_identity::FileIdentity;
use essaim_base::task::{TaskName, Tasks};
use essaim_config::Settings;
use essaim_core::node::bus::Bus;
use essaim_core::node::operators::{JoinedBus, Listener, OperatorListeners};
use essaim_core::node::readiness::Readiness;
use futures_util::TryFutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::json;

use crate::access::Access;
use crate::askers::{ListenerAccess, SocketAccess, note_peer};
use crate::follow::Readers;
use crate::https;
use crate::metrics::{Metrics, MetricsFormat};
use crate::routes::{Ends, OperatorRoutes};
use crate::tls::AdminTls;

/// The admin listener of the configuration, and the one at a socket.
#[derive(Default)]
pub(crate) struct AdminListeners {
    tls: Option<AdminTls>,
    metrics: Metrics,
    readers: Readers,
}

impl OperatorListeners for AdminListeners {
    fn listen(&self, settings: &Settings, tasks: &Tasks, bus: &JoinedBus) -> io::Result<Option<Box<dyn Listener>>> {
        let address = &settings.node.admin_listen;
        if address.is_empty() {
            return Ok(None);
        }
        let access = ListenerAccess::of(&settings.node, address.to_socket_addrs()?);
        if let Some(warning) = access.warning() {
            tracing::warn!(address, "{warning}");
        }
        let (routes, ends) = self.routes(bus, Arc::new(access));
        let running = match &self.tls {
            Some(tls) => https::serve(address, tls, routes)?,
            None => {
                let server = HttpServer::new(move || App::new().configure(routes.clone()));
                server.workers(1).disable_signals().bind(address)?.run()
            }
        };
        Ok(Some(Box::new(serving(tasks, running, ends))))
    }

    fn listen_at_socket(&self, tasks: &Tasks, bus: &JoinedBus, path: &Path) -> io::Result<Box<dyn Listener>> {
        let (routes, ends) = self.routes(bus, Arc::new(SocketAccess));
        let server = HttpServer::new(move || App::new().configure(routes.clone())).on_connect(note_peer);
        // A file of that name is left by a process that has ended: the name and the data directory are this one's.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Of a listener that it binds itself the server does not tell who connects.
        let server = server.workers(1).disable_signals().listen_uds(UnixListener::bind(path)?)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Box::new(AdminListener { _socket: Some(SocketFile::at(path)), ..serving(tasks, server.run(), ends) }))
    }
}

impl AdminListeners {
    /// Listeners of which the one of the configuration speaks TLS.
    pub fn with(tls: Option<AdminTls>) -> Self {
        Self { tls, ..Self::default() }
    }

    fn routes(
        &self,
        bus: &JoinedBus,
        access: Arc<dyn Access>,
    ) -> (impl FnOnce(&mut ServiceConfig) + Clone + Send + use<>, Ends) {
        let (operators, ends) = OperatorRoutes::new(bus.clone(), access, self.readers.clone());
        let (bus, metrics) = (Data::new(bus.clone()), Data::new(self.metrics.clone()));
        let routes = move |config: &mut ServiceConfig| {
            config
                .app_data(bus)
                .app_data(metrics)
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(answer_metrics));
            operators.configure_own(config);
        };
        (routes, ends)
    }
}

/// A server that is running.
struct AdminListener {
    server: ServerHandle,
    ends: Ends,
    /// Removed when it is stopped.
    _socket: Option<SocketFile>,
}

/// The file of a socket that this process has made, which goes with the value.
struct SocketFile {
    path: PathBuf,
    /// `None` if it was gone before it could be looked at.
    file: Option<FileIdentity>,
}

impl SocketFile {
    /// The file at the path.
    fn at(path: &Path) -> Self {
        Self { path: path.into(), file: socket_at(path) }
    }
}

impl Drop for SocketFile {
    /// Removes it, unless a node that has started since has one of its own there.
    fn drop(&mut self) {
        if self.file.is_some()
            && socket_at(&self.path) == self.file
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, socket = %self.path.display(), "the socket could not be removed");
        }
    }
}

fn socket_at(path: &Path) -> Option<FileIdentity> {
    std::fs::symlink_metadata(path).ok().map(|metadata| FileIdentity::of(&metadata))
}

impl Listener for AdminListener {
    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        self.ends.end();
        Box::pin(self.server.stop(true))
    }
}

fn serving(tasks: &Tasks, running: Server, ends: Ends) -> AdminListener {
    let server = running.handle();
    tasks.vital(TaskName::of_node("admin"), running.map_err(|error| error.to_string()));
    AdminListener { server, ends, _socket: None }
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
