//! Where spans are sent: a receiver of OTLP over gRPC or HTTP.
//!
//! The libraries' own exporter tells neither why a receiver is away nor whether a request may be repeated, so requests are sent
//! with what it is built on.

use std::error::Error;
use std::time::Duration;

use essaim_config::{OtlpConfig, OtlpProtocol, pairs};
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, Request};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

/// The path of traces at a receiver over HTTP.
const PATH: &str = "/v1/traces";
/// The longest text of a cause, in bytes: a receiver may say anything.
const LONGEST_CAUSE: usize = 300;

/// Why records cannot be exported as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The endpoint is no URL, or there are no certificates to check it by.
    #[error("`trace.otlp.endpoint` must be the URL of a receiver of OTLP, and {endpoint} is not: {cause}")]
    Endpoint { endpoint: String, cause: String },
    /// A header has no such form; its value may be a secret.
    #[error("`trace.otlp.headers` must be headers of HTTP, and `{0}` is none")]
    Header(String),
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may be repeated later.
    #[error("{0}")]
    Away(String),
    /// It would be refused again.
    #[error("it refuses what it is sent: {0}")]
    Refused(String),
}

/// A receiver of spans.
pub struct Receiver {
    transport: Transport,
    timeout: Duration,
}

enum Transport {
    Grpc { client: TraceServiceClient<Channel>, headers: MetadataMap },
    Http { client: Box<dyn HttpClient>, url: String, headers: Vec<(String, String)> },
}

impl Receiver {
    /// The receiver that the configuration names; it is connected to when it is first used. Must be called inside a runtime.
    ///
    /// # Errors
    /// If there can be no such receiver.
    pub fn of(config: &OtlpConfig) -> Result<Self, OtlpError> {
        let timeout = Duration::from_millis(config.timeout_ms);
        // The configuration was validated.
        let headers = pairs(&config.headers).unwrap_or_default().into_iter().collect();
        let transport = match config.protocol {
            OtlpProtocol::Grpc => grpc(&config.endpoint, headers, timeout)?,
            OtlpProtocol::Http => http(&config.endpoint, headers, timeout)?,
        };
        Ok(Self { transport, timeout })
    }

    /// Sends a request. Returns how many of its spans the receiver did not take.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, request: ExportTraceServiceRequest) -> Result<u64, SendError> {
        let sent = async {
            match &self.transport {
                Transport::Grpc { client, headers } => send_grpc(client.clone(), headers, request).await,
                Transport::Http { client, url, headers } => send_http(&**client, url, headers, request).await,
            }
        };
        let timeout_ms = self.timeout.as_millis();
        let no_answer = |_| SendError::Away(format!("it did not answer within {timeout_ms} ms"));
        let answer = tokio::time::timeout(self.timeout, sent).await.map_err(no_answer)??;
        Ok(answer.partial_success.map_or(0, |partial| partial.rejected_spans.max(0) as u64))
    }
}

fn grpc(endpoint: &str, headers: Vec<(String, String)>, timeout: Duration) -> Result<Transport, OtlpError> {
    let wrong = |error: tonic::transport::Error| no_endpoint(endpoint, &error);
    let mut channel = Endpoint::from_shared(endpoint.to_string()).map_err(wrong)?.connect_timeout(timeout);
    if endpoint.starts_with("https://") {
        channel = channel.tls_config(ClientTlsConfig::new().with_enabled_roots()).map_err(wrong)?;
    }
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let pair = name.to_ascii_lowercase().parse::<MetadataKey<Ascii>>().ok().zip(value.parse().ok());
        let (key, value): (_, MetadataValue<Ascii>) = pair.ok_or(OtlpError::Header(name))?;
        metadata.insert(key, value);
    }
    Ok(Transport::Grpc { client: TraceServiceClient::new(channel.connect_lazy()), headers: metadata })
}

async fn send_grpc(
    mut client: TraceServiceClient<Channel>,
    headers: &MetadataMap,
    request: ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, SendError> {
    let mut request = tonic::Request::new(request);
    *request.metadata_mut() = headers.clone();
    client.export(request).await.map(tonic::Response::into_inner).map_err(|status| refusal(&status))
}

/// What a status means, by OTLP's specification.
fn refusal(status: &Status) -> SendError {
    let mut cause = format!("{:?}: {}", status.code(), status.message());
    if let Some(source) = status.source() {
        cause = format!("{:?}: {}", status.code(), chain(source));
    }
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => SendError::Away(short(cause)),
        // A connection that breaks ends with this one.
        Code::Unknown if status.source().is_some() => SendError::Away(short(cause)),
        _ => SendError::Refused(short(cause)),
    }
}

fn http(endpoint: &str, headers: Vec<(String, String)>, timeout: Duration) -> Result<Transport, OtlpError> {
    let base = endpoint.trim_end_matches('/');
    let url = if base.ends_with(PATH) { base.to_string() } else { format!("{base}{PATH}") };
    let client: Box<dyn HttpClient> = if url.starts_with("https://") {
        let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| no_endpoint(endpoint, &error))?;
        Box::new(HyperClient::new(tls.https_only().enable_http1().build(), timeout, None))
    } else {
        Box::new(HyperClient::with_default_connector(timeout, None))
    };
    let probe = |headers: &[(String, String)]| post(&url, headers, Bytes::new());
    probe(&[]).map_err(|error| no_endpoint(endpoint, &*error))?;
    for header in &headers {
        probe(std::slice::from_ref(header)).map_err(|_| OtlpError::Header(header.0.clone()))?;
    }
    Ok(Transport::Http { client, url, headers })
}

fn post(url: &str, headers: &[(String, String)], body: Bytes) -> Result<Request<Bytes>, Box<dyn Error>> {
    let request = Request::post(url).header("content-type", "application/x-protobuf");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    Ok(request.body(body)?)
}

async fn send_http(
    client: &dyn HttpClient,
    url: &str,
    headers: &[(String, String)],
    request: ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, SendError> {
    let request = post(url, headers, request.encode_to_vec().into());
    let request = request.map_err(|error| SendError::Refused(short(chain(&*error))))?;
    let answer = client.send_bytes(request).await.map_err(|error| SendError::Away(short(chain(&*error))))?;
    match answer.status().as_u16() {
        // An answer that cannot be read takes nothing back.
        200..300 => Ok(ExportTraceServiceResponse::decode(answer.into_body()).unwrap_or_default()),
        status @ (408 | 429 | 502..=504) => Err(SendError::Away(format!("status {status}"))),
        status => Err(SendError::Refused(format!("status {status}"))),
    }
}

fn no_endpoint(endpoint: &str, error: &(dyn Error + 'static)) -> OtlpError {
    OtlpError::Endpoint { endpoint: endpoint.into(), cause: chain(error) }
}

/// An error with what caused it, each cause once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// One line, of a bounded length.
fn short(text: String) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().find(|(at, _)| *at >= LONGEST_CAUSE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(protocol: OtlpProtocol, endpoint: &str, headers: &str) -> OtlpConfig {
        OtlpConfig { protocol, endpoint: endpoint.into(), headers: headers.into(), ..OtlpConfig::default() }
    }

    #[tokio::test]
    async fn what_cannot_be_a_receiver_is_refused_without_telling_secrets() {
        for protocol in [OtlpProtocol::Grpc, OtlpProtocol::Http] {
            let refused = |endpoint: &str, headers: &str| match Receiver::of(&config(protocol, endpoint, headers)) {
                Ok(_) => panic!("{endpoint} {headers} was taken"),
                Err(error) => error.to_string(),
            };
            assert!(Receiver::of(&config(protocol, "http://127.0.0.1:4317", "X-Tenant=a")).is_ok());
            assert!(refused("http://", "").contains("`trace.otlp.endpoint`"));
            let header = refused("http://127.0.0.1:4317", "x y=s3cret");
            assert!(header.contains("`x y`") && !header.contains("s3cret"), "{header}");
            let value = refused("http://127.0.0.1:4317", "authorization=s3cret%0Ax");
            assert!(value.contains("authorization") && !value.contains("s3cret"), "{value}");
        }
    }

    #[test]
    fn only_what_may_succeed_later_is_repeated() {
        let is_away = |code: Code| matches!(refusal(&Status::new(code, "no")), SendError::Away(_));
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted] {
            assert!(is_away(code), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented] {
            assert!(!is_away(code), "{code:?}");
        }
        let long = refusal(&Status::new(Code::Internal, "x\n".repeat(9_999)));
        assert!(long.to_string().len() < 2 * LONGEST_CAUSE && !long.to_string().contains('\n'));
    }
}
