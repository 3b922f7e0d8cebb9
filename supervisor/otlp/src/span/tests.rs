use std::sync::Arc;

use essaim_base::measure::Outcome;
use essaim_trace::TraceId;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;

/// What its handler writes of a message that crossed the wire.
pub fn handled(kind: MessageKind) -> MessageRecord {
    let trace_id = TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    MessageRecord {
        span_id: 0xab,
        parent_id: 0xcd,
        sender: Some("gateway".into()),
        peer: Some("front".into()),
        link: 9,
        key: Some("order-7".into()),
        payload: Some("{}".into()),
        instance: Some(3),
        at_us: 1_000_000,
        waited_us: 2_000,
        ran_us: 30_000,
        database_us: 4_000,
        bytes: 20,
        attributes: Some(Arc::new([("request_id".to_string(), "r1".to_string())].into())),
        ..MessageRecord::of(Half::Handled, kind, trace_id, "orders.place.v1", "orders", "shop")
    }
}

/// What its sender writes of it.
fn sent(kind: MessageKind) -> MessageRecord {
    MessageRecord { half: Half::Sent, span_id: 0, node: "front".into(), peer: Some("shop".into()), ..handled(kind) }
}

fn stored(record: MessageRecord) -> MessageRecord {
    MessageRecord { message_id: Some("order-7/pay".into()), link: 0, peer: None, attempt: 2, ..record }
}

fn request(path: &str, outcome: Outcome, error: Option<&str>) -> MessageRecord {
    let name = format!("GET {path}");
    MessageRecord {
        name: name.as_str().into(),
        outcome,
        error: error.map(Into::into),
        peer: None,
        link: 0,
        ..handled(MessageKind::Request)
    }
}

/// An attribute as text; numbers are told apart by a `#`.
fn attribute(span: &Span, name: &str) -> Option<String> {
    let pair = span.attributes.iter().find(|pair| pair.key == name)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(format!("#{number}")),
        other => panic!("{name}: {other:?}"),
    }
}

fn assert_attributes(record: &MessageRecord, expected: &[(&str, &str)]) {
    let span = span(record);
    for (name, value) in expected {
        assert_eq!(attribute(&span, name).as_deref(), Some(*value), "{name} of {span:?}");
    }
    let mut names: Vec<_> = span.attributes.iter().map(|pair| &pair.key).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), span.attributes.len(), "names are unique: {names:?}");
    assert!(!names.iter().any(|name| name.contains("payload")), "payloads stay in the nodes: {names:?}");
}

#[test]
fn a_handlers_span_has_the_ids_the_parent_and_the_moments_of_its_record() {
    let span = span(&handled(MessageKind::Ask));
    assert_eq!(span.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!((span.span_id, span.parent_span_id), (0xab_u64.to_be_bytes().into(), 0xcd_u64.to_be_bytes().into()));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_000_000_000, 1_032_000_000));
    let root = MessageRecord { parent_id: 0, ..request("/", Outcome::Ok, None) };
    assert!(super::span(&root).parent_span_id.is_empty());
}

#[test]
fn both_halves_know_the_span_of_the_sender_and_the_handlers_is_linked_to_it() {
    for (sent, handled) in [
        (sent(MessageKind::Ask), handled(MessageKind::Ask)),
        (stored(sent(MessageKind::Command)), stored(handled(MessageKind::Command))),
        (sent(MessageKind::Broadcast), handled(MessageKind::Broadcast)),
    ] {
        let (sent, handled) = (span(&sent), span(&handled));
        assert_eq!(handled.links.len(), 1);
        assert_eq!(handled.links[0].span_id, sent.span_id);
        assert_eq!(sent.parent_span_id, handled.parent_span_id, "it is beside the handler's");
        assert!(sent.links.is_empty() && sent.span_id != [0; 8] && sent.span_id != handled.span_id);
    }
    // The ids are the same in all versions: two nodes of a rolling upgrade name one span.
    assert_eq!(format!("{:016x}", span_id(&sent(MessageKind::Ask))), "99163031a78633d2");
    let attempts = [9, 10].map(|link| span_id(&MessageRecord { link, ..sent(MessageKind::Ask) }));
    assert_ne!(attempts[0], attempts[1]);
    let nobody = MessageRecord { link: 0, peer: None, ..sent(MessageKind::Ask) };
    assert_ne!(span_id(&nobody), span_id(&MessageRecord { at_us: 7, ..nobody.clone() }));
    // A schedule sends itself: there is no half of its sender.
    assert!(span(&stored(handled(MessageKind::Schedule))).links.is_empty());
    assert!(span(&MessageRecord { link: 0, peer: None, ..handled(MessageKind::Ask) }).links.is_empty());
}

#[test]
fn kinds_tell_who_waits_for_whom() {
    let local = MessageRecord { link: 0, peer: None, ..handled(MessageKind::Ask) };
    for (record, kind, name) in [
        (request("/orders", Outcome::Ok, None), SpanKind::Server, "GET /orders"),
        (sent(MessageKind::Ask), SpanKind::Client, "orders.place.v1"),
        (handled(MessageKind::Ask), SpanKind::Server, "orders.place.v1"),
        (local, SpanKind::Internal, "orders.place.v1"),
        (stored(sent(MessageKind::Event)), SpanKind::Producer, "send orders.place.v1"),
        (stored(handled(MessageKind::Event)), SpanKind::Consumer, "process orders.place.v1"),
        (sent(MessageKind::Broadcast), SpanKind::Producer, "send orders.place.v1"),
        (handled(MessageKind::Broadcast), SpanKind::Consumer, "process orders.place.v1"),
        (stored(handled(MessageKind::Schedule)), SpanKind::Consumer, "process orders.place.v1"),
        (handled(MessageKind::Timer), SpanKind::Internal, "orders.place.v1"),
    ] {
        let span = span(&record);
        assert_eq!((span.kind, &*span.name), (kind as i32, name), "{record:?}");
    }
}

#[test]
fn flags_tell_whether_the_parent_is_elsewhere_where_that_is_known() {
    let flags = |record: &MessageRecord| span(record).flags;
    assert_eq!(flags(&handled(MessageKind::Ask)), 0x301);
    assert_eq!(flags(&sent(MessageKind::Ask)), 0x101);
    assert_eq!(flags(&request("/", Outcome::Ok, None)), 0x301);
    assert_eq!(flags(&MessageRecord { parent_id: 0, ..request("/", Outcome::Ok, None) }), 0x101);
    assert_eq!(flags(&stored(handled(MessageKind::Event))), 0x001);
}

#[test]
fn names_of_requests_are_few() {
    let name = |path: &str, error: Option<&str>| span(&request(path, Outcome::Rejected, error)).name;
    assert_eq!(name("/orders/0199-ab/items/7", None), "GET /orders/{id}/items/{id}");
    assert_eq!(name("/orders/0199-ab", Some("status 409")), "GET /orders/{id}");
    assert_eq!(name("/wp-login.php", Some("status 404")), "GET");
}

#[test]
fn attributes_follow_the_conventions_and_tell_the_rest_as_our_own() {
    assert_attributes(
        &stored(handled(MessageKind::Event)),
        &[
            ("messaging.system", "essaim"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "orders.place.v1"),
            ("messaging.consumer.group.name", "orders"),
            ("messaging.message.id", "order-7/pay"),
            ("messaging.message.body.size", "#20"),
            ("essaim.attempt", "#2"),
            ("essaim.queue_us", "#2000"),
            ("essaim.run_us", "#30000"),
            ("essaim.database_us", "#4000"),
            ("essaim.instance", "#3"),
            ("essaim.key", "order-7"),
            ("essaim.outcome", "ok"),
            ("essaim.attr.request_id", "r1"),
        ],
    );
    assert_attributes(&stored(sent(MessageKind::Command)), &[("messaging.operation.type", "send")]);
    assert_attributes(
        &sent(MessageKind::Ask),
        &[
            ("rpc.system", "essaim"),
            ("rpc.service", "orders"),
            ("rpc.method", "orders.place.v1"),
            ("essaim.peer", "shop"),
        ],
    );
    assert_attributes(
        &request("/orders/7", Outcome::Failed, Some("status 503")),
        &[
            ("http.request.method", "GET"),
            ("url.path", "/orders/7"),
            ("http.response.status_code", "#503"),
            ("error.type", "503"),
        ],
    );
}

#[test]
fn what_did_not_go_well_is_an_error_and_a_rejection_is_none() {
    let status = |outcome| {
        let record = MessageRecord { outcome, error: Some("no stock".into()), ..handled(MessageKind::Ask) };
        let span = span(&record);
        let Status { code, message } = span.status.clone().expect("every span has one");
        (code, message, attribute(&span, "error.type"))
    };
    for outcome in [Outcome::Ok, Outcome::Rejected] {
        assert_eq!(status(outcome), (StatusCode::Unset as i32, String::new(), None));
    }
    for outcome in Outcome::ALL.into_iter().filter(|outcome| !matches!(outcome, Outcome::Ok | Outcome::Rejected)) {
        let expected = (StatusCode::Error as i32, "no stock".into(), Some(outcome.as_str().to_string()));
        assert_eq!(status(outcome), expected);
    }
}

#[test]
fn json_is_as_the_specification_says() {
    let config = essaim_config::OtlpConfig {
        environment: "test".into(),
        attributes: "service.namespace=shop,service.version=7".into(),
        ..Default::default()
    };
    let records = [handled(MessageKind::Ask), sent(MessageKind::Ask)];
    let json = serde_json::to_value(crate::request::of_records(&config, &records)).unwrap();
    let nodes = json["resourceSpans"].as_array().unwrap();
    assert_eq!(nodes.len(), 2, "each node is a resource: {json}");
    let resource = nodes[1]["resource"]["attributes"].as_array().unwrap();
    let text = |name: &str| {
        let pairs = resource.iter().filter(|pair| pair["key"] == name);
        pairs.map(|pair| pair["value"]["stringValue"].as_str().unwrap()).collect::<Vec<_>>()
    };
    for (name, value) in [
        ("service.name", "essaim"),
        ("service.instance.id", "shop"),
        ("service.version", "7"),
        ("service.namespace", "shop"),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(text(name), [value], "{name}");
    }
    let span = &nodes[1]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&span["spanId"], &span["parentSpanId"]), (&"00000000000000ab".into(), &"00000000000000cd".into()));
    assert_eq!((&span["kind"], &span["startTimeUnixNano"]), (&2.into(), &"1000000000".into()));
    let run = span["attributes"].as_array().unwrap().iter().find(|pair| pair["key"] == "essaim.run_us").unwrap();
    assert_eq!(run["value"]["intValue"], "30000");
}
