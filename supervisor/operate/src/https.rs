//! HTTP over TLS, at the admin listener. Who comes without TLS is told so in HTTP, since that is what they understand.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Server};
use actix_web::web::ServiceConfig;
use actix_web::{App, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::AdminTls;

/// How long a client may take to agree on keys, or to read why it is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes that are read at once of a request without TLS.
const READ_BYTES: usize = 4096;
/// The first byte of what a client of TLS says.
const HANDSHAKE: u8 = 0x16;
/// The end of the answer to who comes without TLS.
pub const WANTS_TLS: &str = r#"{"error":"TLS is spoken here: begin the URL with https://"}"#;

/// Serves these routes at an address.
///
/// # Errors
/// If it cannot be listened at.
pub(crate) fn serve<R>(address: &str, tls: &AdminTls, routes: R) -> io::Result<Server>
where
    R: FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
{
    let workers = Server::build().workers(1).disable_signals();
    let (acceptor, stopping) = (TlsAcceptor::from(tls.0.clone()), workers.graceful_shutdown_signal());
    // As `actix_web::HttpServer` does it, but for what comes before HTTP.
    let workers = workers.bind("admin", address, move || {
        let (acceptor, stopping) = (acceptor.clone(), stopping.clone());
        let application = App::new().configure(routes.clone());
        let application = application.into_factory().map_err(|error: Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .h1(map_config(application, |()| AppConfig::default()));
        fn_service(move |io: TcpStream| {
            let (peer, acceptor) = (io.peer_addr().ok(), acceptor.clone());
            async move { Ok((opened(io, acceptor).await?, peer)) }
        })
        .and_then(http)
    });
    Ok(workers?.run())
}

/// The connection, once both ends have agreed on keys.
async fn opened(io: TcpStream, acceptor: TlsAcceptor) -> io::Result<TlsStream<TcpStream>> {
    let opening = async {
        let mut first = [0];
        match io.peek(&mut first).await? {
            1 if first[0] != HANDSHAKE => refuse(io).await.map(|never| match never {}),
            _ => acceptor.accept(io).await,
        }
    };
    let opened = tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    opened
        .inspect_err(|error| tracing::debug!(%error, "a connection to node.admin_listen has ended before any request"))
}

/// Tells a client what to do, and waits until it has read that: what it still sends would otherwise cut the answer off.
async fn refuse(mut io: TcpStream) -> io::Result<Infallible> {
    let mut unread = [0; READ_BYTES];
    if io.read(&mut unread).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{WANTS_TLS}", WANTS_TLS.len());
    io.write_all(answer.as_bytes()).await?;
    io.shutdown().await?;
    while io.read(&mut unread).await? > 0 {}
    Err(io::Error::other("a client without TLS"))
}
