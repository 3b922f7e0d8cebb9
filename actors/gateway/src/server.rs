//! The HTTP server: its address, its workers, its end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Server as Workers, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{Data, PayloadConfig, ServiceConfig};
use actix_web::{App, Error};
use essaim::StartError;
use futures_util::TryFutureExt;
use tokio::net::TcpStream;

use crate::front::Front;
use crate::gate::Gate;
use crate::pages;
use crate::stream::Stream;

/// The server's own clock moves in such steps, so what it times may end that much too early. A client that relies on
/// `gateway.keep_alive_ms` would send its next request into a connection that is being closed.
pub(crate) const SERVER_CLOCK_STEP: Duration = Duration::from_millis(500);

/// A running server.
pub(crate) struct Server {
    front: Arc<Front>,
    handle: ServerHandle,
    address: SocketAddr,
    announce: Duration,
    stop_within: Duration,
}

impl Server {
    /// Serves at a listener, on threads of its own; and what is to be awaited meanwhile, which says why the server has ended
    /// if nobody ended it.
    ///
    /// # Errors
    /// If the workers cannot be started.
    pub fn start(
        front: Arc<Front>,
        listener: TcpListener,
        announce: Duration,
        stop_within: Duration,
    ) -> Result<(Self, impl Future<Output = Result<(), String>> + use<>), StartError> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let settings = &front.settings;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if settings.workers == 0 { cores } else { settings.workers };
        let millis = Duration::from_millis;
        let workers = Workers::build()
            .workers(workers)
            .max_concurrent_connections(settings.max_connections.div_ceil(workers).max(1))
            .shutdown_timeout(stop_within.as_secs() + 1)
            .disable_signals();
        let (shared, stopping) = (front.clone(), workers.graceful_shutdown_signal());
        // As `actix_web::HttpServer` does it, but over streams of our own.
        let server = workers.listen("gateway", listener, move || {
            let (front, stopping) = (shared.clone(), stopping.clone());
            let settings = &front.settings;
            let service = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KeepAlive::Timeout(millis(settings.keep_alive_ms) + SERVER_CLOCK_STEP))
                .client_request_timeout(millis(settings.client_header_timeout_ms))
                .client_disconnect_timeout(millis(settings.client_close_timeout_ms))
                .local_addr(address)
                .on_connect_ext(|stream: &Stream, connection| {
                    connection.insert(stream.pulse());
                    connection.insert(stream.watch());
                });
            let application = application(&front).into_factory().map_err(|error| error.error_response());
            let http = service.h1(map_config(application, |()| AppConfig::default()));
            let opened = move |io: TcpStream| {
                let (peer, front) = (io.peer_addr().ok(), front.clone());
                async move { Ok((Stream::new(io, front), peer)) }
            };
            fn_service(opened).and_then(http)
        });
        let server = server?.run();
        let handle = server.handle();
        let serving = server.map_err(|error| error.to_string());
        Ok((Self { front, handle, address, announce, stop_within }, serving))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state behind it.
    pub fn front(&self) -> &Arc<Front> {
        &self.front
    }

    /// Announces the end, keeps serving while it is heard of, then takes no more connections and lets the requests
    /// under way finish.
    pub async fn drain(&self) {
        self.front.draining.store(true, Ordering::Release);
        tokio::time::sleep(self.announce).await;
        let graceful = self.handle.stop(true);
        if tokio::time::timeout(self.stop_within, graceful).await.is_err() {
            tracing::warn!("drain.timeout_ms passed: requests under way are cut off");
            self.handle.stop(false).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The command is sent here and now; what is not awaited is only its end.
        drop(self.handle.stop(false));
    }
}

/// The routes of one worker, behind the gate.
fn application(
    front: &Arc<Front>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()> + use<>,
> {
    App::new()
        .app_data(Data::new(front.clone()))
        .app_data(front.body_limits())
        .app_data(PayloadConfig::new(front.settings.body_limit_bytes))
        .configure(|config| mount(config, front))
        .wrap(Gate(front.clone()))
}

fn mount(config: &mut ServiceConfig, front: &Front) {
    for routes in front.routes.iter() {
        routes.mount(config);
    }
    pages::configure(config);
}
