//! The HTTP server: its address, its routes, its end.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, Data, JsonConfig, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use essaim::StartError;
use essaim::operators::{Ends, OperatorRoutes};
use futures_util::TryFutureExt;

use crate::access::ConsoleAccess;
use crate::console::Console;
use crate::{assets, guard, login, overview, traces};

/// What may be loaded by a page: what this server serves, and nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The most seconds that a drain waits for requests under way.
const DRAIN_SECONDS: u64 = 5;

/// A running server.
pub(crate) struct Server {
    console: Arc<Console>,
    handle: ServerHandle,
    ends: Ends,
}

impl Server {
    /// Serves at a listener, on a thread of its own; and what is to be awaited meanwhile, which says why the server has ended
    /// if nobody ended it.
    ///
    /// # Errors
    /// If the server cannot be started.
    pub fn start(
        console: Arc<Console>,
        listener: TcpListener,
    ) -> Result<(Self, impl Future<Output = Result<(), String>> + use<>), StartError> {
        let (operators, ends) = OperatorRoutes::of(&console.client, Arc::new(ConsoleAccess));
        let data = Data::from(console.clone());
        let server = HttpServer::new(move || {
            let headers = DefaultHeaders::new()
                .add(("content-security-policy", CONTENT_SECURITY_POLICY))
                .add(("x-content-type-options", "nosniff"))
                .add(("referrer-policy", "no-referrer"))
                .add(("cache-control", "no-store"));
            let (data, operators) = (data.clone(), operators.clone());
            App::new().app_data(data).wrap(headers).configure(|config| routes(config, operators))
        });
        let server = server.workers(1).shutdown_timeout(DRAIN_SECONDS).disable_signals().listen(listener)?.run();
        let handle = server.handle();
        Ok((Self { console, handle, ends }, server.map_err(|error| error.to_string())))
    }

    pub fn console(&self) -> &Arc<Console> {
        &self.console
    }

    /// Lets requests under way finish, and takes no more.
    pub async fn drain(&self) {
        self.ends.end();
        self.console.draining.store(true, Ordering::Release);
        self.handle.stop(true).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The command is sent here and now; what is not awaited is only its end.
        drop(self.handle.stop(false));
    }
}

fn routes(config: &mut ServiceConfig, operators: OperatorRoutes) {
    let guarded = web::scope("/api")
        .wrap(from_fn(guard::administrators))
        .route("/overview", web::get().to(overview::show))
        .route("/traces/{id}", web::get().to(traces::show))
        .configure(traces::configure_export)
        .configure(|config| operators.configure(config))
        .default_service(web::to(HttpResponse::NotFound));
    config
        .app_data(JsonConfig::default())
        .route("/api/me", web::get().to(login::me))
        .route("/api/login", web::post().to(login::login))
        .route("/api/logout", web::post().to(login::logout))
        .service(guarded)
        .configure(assets::configure);
}
