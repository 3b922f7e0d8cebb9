//! The export of records: what a receiver of OTLP is sent, over gRPC and over HTTP, and what happens while it is away.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use super::authority::Authority;
use super::receiver::{OtlpReceiver, TakenRequest, Transport};
use super::trace::said_at;
use crate::support::*;

/// A span as it is compared: trace, id, parent.
type Ids = (String, String, String);

const AWAY: &str = "the receiver of message records does not work";
const BACK: &str = "the receiver of message records works again";

/// The text attribute of this name.
fn text_of<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()?;
    match value {
        AnyValue::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ids(span: &Span) -> Ids {
    (hex(&span.trace_id), hex(&span.span_id), hex(&span.parent_span_id))
}

fn received(receiver: &OtlpReceiver) -> Vec<Span> {
    spans_of(receiver.requests())
}

fn spans_of(requests: Vec<TakenRequest>) -> Vec<Span> {
    let nodes = requests.into_iter().flat_map(|(_, request)| request.resource_spans);
    nodes.flat_map(|node| node.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn json_at(node: &ClusterNode, arguments: &[&str]) -> Value {
    serde_json::from_slice(&said_at(node, arguments).stdout).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// The handlers of a trace, as `essaim trace ID --json` tells them.
fn handlers_told(node: &ClusterNode, id: &str) -> BTreeSet<Ids> {
    let traces = json_at(node, &["trace", id, "--json"]);
    let spans = traces[0]["spans"].as_array().cloned().unwrap_or_default();
    let handled = spans.iter().map(|span| &span["handled"]).filter(|handled| !handled.is_null());
    handled.map(|handled| (text(&handled["trace"]), text(&handled["span"]), text(&handled["parent"]))).collect()
}

/// All spans of a trace, as `essaim trace ID --otlp` tells them.
fn spans_told(node: &ClusterNode, id: &str) -> BTreeSet<Ids> {
    let request = json_at(node, &["trace", id, "--otlp"]);
    let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
    spans.iter().map(|span| (text(&span["traceId"]), text(&span["spanId"]), text(&span["parentSpanId"]))).collect()
}

fn an_order_is_received_as_it_is_told(transport: Transport) {
    let receiver = OtlpReceiver::start(transport);
    let cluster = receiver.of(Cluster::single());
    let mut cluster = cluster
        .set("trace.otlp.interval_ms", 50)
        .set("trace.otlp.batch_spans", 3)
        .set("trace.otlp.headers", "authorization=Bearer s3cret")
        .set("trace.otlp.environment", "test")
        .set("trace.otlp.attributes", "service.namespace=shop")
        .start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let main = cluster.node("main");
    // The order is confirmed after it was answered.
    eventually("the order's trace to be whole and received", || {
        let (handlers, all) = (handlers_told(main, &order), spans_told(main, &order));
        let trace = &handlers.first()?.0;
        let spans: Vec<_> = received(&receiver).into_iter().filter(|span| hex(&span.trace_id) == *trace).collect();
        let handled = spans.iter().filter(|span| text_of(&span.attributes, "essaim.half") == Some("handled"));
        let is_whole = spans.iter().any(|span| span.name == "process catalog.stock_reserved.v1");
        let is_same = handled.map(ids).collect::<BTreeSet<_>>() == handlers
            && spans.iter().map(ids).collect::<BTreeSet<_>>() == all
            && spans.len() == all.len();
        (is_whole && is_same && all.len() > handlers.len()).then_some(())
    });
    for (token, request) in receiver.requests() {
        assert_eq!(token.as_deref(), Some("Bearer s3cret"));
        let [node] = &request.resource_spans[..] else { panic!("{request:?}") };
        let attributes = &node.resource.as_ref().expect("spans have a resource").attributes;
        for (name, value) in [
            ("service.name", "essaim"),
            ("service.instance.id", "main"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.namespace", "shop"),
            ("deployment.environment.name", "test"),
        ] {
            assert_eq!(text_of(attributes, name), Some(value), "{name}");
        }
        assert!(node.scope_spans[0].spans.len() <= 3, "batches are bounded");
    }
    // What it sends itself is no message.
    assert!(received(&receiver).iter().all(|span| !span.name.contains("/v1/traces")));
    assert!(!main.process().lines().iter().any(|line| line.contains("s3cret")));
    cluster.stop();
}

#[test]
fn an_order_is_received_over_grpc_as_the_command_tells_it() {
    an_order_is_received_as_it_is_told(Transport::Grpc);
}

#[test]
fn an_order_is_received_over_http_as_the_command_tells_it() {
    an_order_is_received_as_it_is_told(Transport::Http);
}

/// The value of a sample without labels, at the admin listener.
fn metric(node: &ClusterNode, name: &str) -> f64 {
    let text = node.admin().get("/metrics").text;
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    sample.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("there is no {name}: {text}"))
}

fn a_receiver_may_be_away(transport: Transport) {
    let mut receiver = OtlpReceiver::start(transport);
    let mut cluster =
        receiver.of(Cluster::single()).set("trace.otlp.interval_ms", 50).set("trace.otlp.backoff_most_ms", 100).start();
    let api = cluster.api();
    let asks = |path: &str| drop(api.get(path));
    let has =
        |receiver: &OtlpReceiver, name: &str| received(receiver).iter().any(|span| span.name == name).then_some(());
    asks("/products");
    eventually("the first request to be received", || has(&receiver, "GET /products"));
    receiver.stop();
    asks("/products");
    let main = cluster.node("main");
    main.process().wait_for_line(AWAY);
    eventually("exports to fail again and again", || {
        (metric(main, "essaim_records_export_failures_total") >= 3.0).then_some(())
    });
    for probed in [&api, &main.admin()] {
        probed.get("/readyz").is(200);
    }
    let status = main.admin().get("/status").is(200);
    assert_eq!(status["outages"][0]["dependency"], "the receiver of message records", "{status:?}");
    assert_eq!(status["reasons"], serde_json::json!([]), "{status:?}");
    asks("/status");
    receiver.start_again();
    main.process().wait_for_line(BACK);
    eventually("what was recorded meanwhile to be received", || has(&receiver, "GET /status"));
    for line in [AWAY, BACK] {
        assert_eq!(main.process().lines().iter().filter(|said| said.contains(line)).count(), 1, "{line}");
    }
    assert!(metric(main, "essaim_records_exported_total") >= 2.0);
    assert_eq!(metric(main, "essaim_records_missed_total"), 0.0);
    cluster.stop();
}

#[test]
fn a_receiver_over_grpc_may_be_away() {
    a_receiver_may_be_away(Transport::Grpc);
}

#[test]
fn a_receiver_over_http_may_be_away() {
    a_receiver_may_be_away(Transport::Http);
}

fn a_receiver_is_trusted_by_its_certificate(transport: Transport) {
    let (trusted, other) = (Authority::named("trusted"), Authority::named("other"));
    let mut receiver = OtlpReceiver::start_with(transport, Some(other.certificate()));
    let cluster = receiver.of(Cluster::single()).environment("SSL_CERT_FILE", trusted.file().display());
    let mut cluster = cluster.set("trace.otlp.interval_ms", 50).set("trace.otlp.backoff_most_ms", 100).start();
    let api = cluster.api();
    api.get("/products").is(200);
    let main = cluster.node("main");
    let line = main.process().wait_for_line(AWAY);
    assert!(line.contains("invalid peer certificate: UnknownIssuer"), "{line}");
    main.admin().get("/readyz").is(200);
    receiver.stop();
    assert!(receiver.requests().is_empty(), "nothing is sent to who cannot be trusted");
    receiver.certify(&trusted);
    receiver.start_again();
    main.process().wait_for_line(BACK);
    eventually("what was recorded meanwhile to be received", || {
        received(&receiver).iter().any(|span| span.name == "GET /products").then_some(())
    });
    cluster.stop();
}

#[test]
fn a_receiver_over_grpc_is_trusted_by_its_certificate() {
    a_receiver_is_trusted_by_its_certificate(Transport::Grpc);
}

#[test]
fn a_receiver_over_http_is_trusted_by_its_certificate() {
    a_receiver_is_trusted_by_its_certificate(Transport::Http);
}

#[test]
fn what_a_receiver_refuses_is_not_sent_again_and_a_node_that_drains_exports_the_rest() {
    let receiver = OtlpReceiver::start(Transport::Http);
    let mut cluster =
        receiver.of(Cluster::single()).set("trace.otlp.interval_ms", 50).set("trace.otlp.backoff_most_ms", 100).start();
    receiver.refuse(400);
    cluster.api().get("/products").is(200);
    let main = cluster.node("main");
    let line = main.process().wait_for_line(AWAY);
    assert!(line.contains("it refuses what it is sent: status 400"), "{line}");
    // The first that is refused may be something else.
    eventually("the request to be refused", || {
        spans_of(receiver.refused()).iter().any(|span| span.name == "GET /products").then_some(())
    });
    let refused = eventually("the refusal to be counted", || {
        let refused = metric(main, "essaim_records_refused_total");
        (refused > 0.0).then_some(refused)
    });
    receiver.refuse(0);
    cluster.api().get("/openapi.json").is(200);
    let main = cluster.node("main");
    main.process().wait_for_line(BACK);
    assert!(received(&receiver).iter().all(|span| span.name != "GET /products"), "{refused} were refused");
    main.set("trace.otlp.interval_ms", 60_000);
    main.set("trace.otlp.backoff_most_ms", 60_000);
    main.stop();
    main.restart();
    cluster.api().get("/products").is(200);
    cluster.stop();
    assert!(received(&receiver).iter().any(|span| span.name == "GET /products"), "the last export is at the end");
}

#[test]
fn a_receiver_that_there_cannot_be_ends_the_start_without_telling_secrets() {
    let data = Scratch::new("export");
    let data = data.path().display().to_string();
    for (settings, why) in [
        (&["trace.otlp.endpoint=otel:4317"][..], "must begin with http://"),
        (&["trace.otlp.endpoint=http://", "trace.otlp.headers=a=s3cret"], "`trace.otlp.endpoint`"),
        (&["trace.otlp.endpoint=http://127.0.0.1:1", "trace.otlp.headers=x y=s3cret"], "`x y`"),
        (&["trace.otlp.endpoint=http://127.0.0.1:1", "trace.otlp.headers=s3cret"], "`trace.otlp.headers`"),
        (&["trace.otlp.endpoint=http://127.0.0.1:1", "trace.ring_bytes=0"], "`trace.ring_bytes` is 0"),
    ] {
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        let output = essaim().args(["run", "--data-dir", &data]).args(set).output().expect("essaim runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{settings:?}: {error}");
        assert!(error.contains(why) && !error.contains("s3cret"), "{settings:?}: {error}");
    }
}
