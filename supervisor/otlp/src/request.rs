//! Spans of nodes with their resources, as one request of OTLP. As JSON it is what OTLP's specification says: ids are hexadecimal
//! digits, enums numbers, and 64-bit numbers text.

use std::collections::{BTreeMap, HashSet};

use essaim_config::{OtlpConfig, pairs};
use essaim_trace::{MessageRecord, Text, TraceTree};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::attributes::Attributes;
use crate::span::span;

/// The version of the semantic conventions.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The request with these records: those of each node with a resource of its own.
pub fn of_records<'r>(
    config: &OtlpConfig,
    records: impl IntoIterator<Item = &'r MessageRecord>,
) -> ExportTraceServiceRequest {
    let mut nodes = BTreeMap::<&Text, Vec<Span>>::new();
    for record in records {
        nodes.entry(&record.node).or_default().push(span(record));
    }
    let resource_spans = nodes.into_iter().map(|(node, spans)| of_node(config, node, spans)).collect();
    ExportTraceServiceRequest { resource_spans }
}

/// The request with whole traces.
pub fn of_trees(config: &OtlpConfig, trees: &[TraceTree]) -> ExportTraceServiceRequest {
    let messages = trees.iter().flat_map(|tree| &tree.spans);
    let mut records: Vec<&MessageRecord> =
        messages.flat_map(|message| message.sent.iter().chain(&message.handled)).collect();
    // A message that several capabilities have handled has its sender's record in each of its places.
    let mut known = HashSet::new();
    records.retain(|record| known.insert((record.trace_id, crate::span::span_id(record), record.at_us)));
    of_records(config, records)
}

fn of_node(config: &OtlpConfig, node: &str, spans: Vec<Span>) -> ResourceSpans {
    let scope = InstrumentationScope { name: "essaim".into(), version: VERSION.into(), ..Default::default() };
    let resource = Resource { attributes: resource(config, node).into_inner(), ..Resource::default() };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.into() }],
        schema_url: SCHEMA.into(),
    }
}

/// What a node is; attributes that the configuration names win.
fn resource(config: &OtlpConfig, node: &str) -> Attributes {
    let own = [
        ("service.name", config.service_name.as_str()),
        ("service.instance.id", node),
        ("service.version", VERSION),
        ("deployment.environment.name", &config.environment),
    ];
    let mut all: BTreeMap<String, String> = own.map(|(name, value)| (name.into(), value.into())).into();
    all.retain(|_, value| !value.is_empty());
    all.extend(pairs(&config.attributes).unwrap_or_default());
    let mut attributes = Attributes::default();
    all.iter().for_each(|(name, value)| attributes.text(name, value));
    attributes
}
