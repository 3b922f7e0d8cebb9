//! A receiver of OTLP, over gRPC or HTTP, with TLS or without, that can be stopped and started again at its port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::sync::oneshot;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::authority::Authority;
use crate::support::*;

/// A transport of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    Http,
}

/// The receiver.
pub struct OtlpReceiver {
    pub transport: Transport,
    port: u16,
    /// Its certificate and key, if it speaks TLS.
    certificate: Option<(String, String)>,
    taken: Taken,
    running: Option<Running>,
}

/// What ends a receiver, and its thread.
struct Running {
    stop: Box<dyn FnOnce()>,
    thread: JoinHandle<()>,
}

/// A request, and its header `authorization`.
pub type TakenRequest = (Option<String>, ExportTraceServiceRequest);

/// What a receiver was sent, with the header `authorization` of each request.
#[derive(Clone, Default)]
struct Taken {
    requests: Arc<Mutex<Vec<TakenRequest>>>,
    /// What it has refused.
    refused: Arc<Mutex<Vec<TakenRequest>>>,
    /// The status that requests over HTTP are answered with instead; 0: none.
    refuses: Arc<AtomicU16>,
}

impl OtlpReceiver {
    /// A receiver that runs.
    pub fn start(transport: Transport) -> Self {
        Self::start_with(transport, None)
    }

    /// A receiver that runs, over TLS if it has a certificate.
    pub fn start_with(transport: Transport, certificate: Option<(String, String)>) -> Self {
        let mut receiver = Self { transport, port: free_port(), certificate, taken: Taken::default(), running: None };
        receiver.start_again();
        receiver
    }

    /// Has it show the certificate of this authority when it is started again.
    pub fn certify(&mut self, by: &Authority) {
        self.certificate = Some(by.certificate());
    }

    /// Starts it at the port where it was before.
    pub fn start_again(&mut self) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let taken = self.taken.clone();
        self.running = Some(match self.transport {
            Transport::Grpc => grpc(address, self.certificate.clone(), taken),
            Transport::Http => http(address, self.certificate.clone(), taken),
        });
    }

    /// Ends it, with its connections.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            stop();
            thread.join().expect("the receiver ends in order");
        }
    }

    /// Has it answer with this status over HTTP from now on; 0: as it should.
    pub fn refuse(&self, status: u16) {
        self.taken.refuses.store(status, Ordering::SeqCst);
    }

    /// The cluster with an export to it.
    pub fn of(&self, cluster: ClusterBuilder) -> ClusterBuilder {
        let protocol = match self.transport {
            Transport::Grpc => "grpc",
            Transport::Http => "http",
        };
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let cluster = cluster.set("trace.otlp.endpoint", format!("{scheme}://127.0.0.1:{}", self.port));
        cluster.set("trace.otlp.protocol", protocol)
    }

    /// All requests, with the header `authorization` of each one.
    pub fn requests(&self) -> Vec<TakenRequest> {
        self.taken.requests.lock().expect("no receiver panics").clone()
    }

    /// All requests that it has refused.
    pub fn refused(&self) -> Vec<TakenRequest> {
        self.taken.refused.lock().expect("no receiver panics").clone()
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.stop();
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok().map(String::from));
        self.requests.lock().expect("no receiver panics").push((token, request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn grpc(address: SocketAddr, certificate: Option<(String, String)>, taken: Taken) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (listening, listens) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let incoming = tonic::transport::server::TcpIncoming::bind(address).expect("the port is free");
            listening.send(()).expect("the test waits");
            let mut server = tonic::transport::Server::builder();
            if let Some((certificate, key)) = certificate {
                let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
                server = server.tls_config(tls).expect("the certificate is right");
            }
            let server = server.add_service(TraceServiceServer::new(taken));
            // Connections end with the runtime.
            tokio::select! {
                served = server.serve_with_incoming(incoming) => served.expect("it serves"),
                _ = stopped => {}
            }
        });
    });
    listens.recv().expect("the receiver listens");
    Running { stop: Box::new(move || stop.send(()).expect("the receiver runs")), thread }
}

fn http(address: SocketAddr, certificate: Option<(String, String)>, taken: Taken) -> Running {
    let tls = certificate.map(|(certificate, key)| Arc::new(tls(&certificate, &key)));
    let listener = TcpListener::bind(address).expect("the port is free");
    let stopped = Arc::new(AtomicBool::new(false));
    let ends = stopped.clone();
    let thread = std::thread::spawn(move || {
        for connection in listener.incoming() {
            if ends.load(Ordering::SeqCst) {
                return;
            }
            let connection = connection.expect("the receiver listens");
            // A node that was killed leaves half a request, and one that does not trust the certificate none.
            let _ = match &tls {
                None => answer(connection, &taken),
                Some(tls) => {
                    let session = ServerConnection::new(tls.clone()).expect("the certificate is right");
                    answer(StreamOwned::new(session, connection), &taken)
                }
            };
        }
    });
    let stop = move || {
        stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(address));
    };
    Running { stop: Box::new(stop), thread }
}

fn tls(certificate: &str, key: &str) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it is a certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("the provider has them").with_no_client_auth();
    config.with_single_cert(vec![certificate], key).expect("the key is the certificate's")
}

/// Answers the one request of a connection.
fn answer(connection: impl Read + Write, taken: &Taken) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut lines, mut token, mut length) = (Vec::new(), None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(("authorization", _)) => token = line.trim().split_once(": ").map(|(_, value)| value.to_string()),
            _ if line.trim().is_empty() => break,
            _ => {}
        }
        lines.push(line.trim().to_string());
    }
    assert_eq!(lines[0], "POST /v1/traces HTTP/1.1");
    assert!(lines.iter().any(|line| line.eq_ignore_ascii_case("content-type: application/x-protobuf")), "{lines:?}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = ExportTraceServiceRequest::decode(&*body).expect("it is a request");
    let (kept, status) = match taken.refuses.load(Ordering::SeqCst) {
        0 => (&taken.requests, 200),
        status => (&taken.refused, status),
    };
    kept.lock().expect("no receiver panics").push((token, request));
    let mut connection = reader.into_inner();
    write!(connection, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    connection.flush()
}
