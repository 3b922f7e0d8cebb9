//! What the gateway does for every request.

use std::sync::atomic::Ordering;

use essaim_http::{RouteSet, Routes};
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use super::jwt::{Key, bearer, claims_with, published};
use super::stage::{gate, gate_with, routes, settings};
use crate::GatewaySettings;

#[tokio::test]
async fn a_request_joins_the_trace_of_its_client_and_keeps_its_id() {
    let gate = gate(settings()).await;
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let lines = format!("Traceparent: 00-{trace}-{parent}-01\r\nX-Request-Id: job-7\r\n");
    let reply = gate.get("/who", &lines).await;
    assert_eq!(reply.header("x-request-id"), Some("job-7"));
    let out = reply.header("traceparent").unwrap();
    assert!(out.starts_with(&format!("00-{trace}-")) && out.ends_with("-01") && !out.contains(parent), "{out}");
    assert_eq!(reply.json()["trace"], out, "the route's client sends within the same span");
    let alone = gate.get("/who", "").await;
    assert_eq!(alone.header("x-request-id").map(str::len), Some(36));
    assert_ne!(alone.header("traceparent"), Some(out));
}

#[tokio::test]
async fn the_tracestate_of_all_fields_goes_on_with_a_trace_that_is_joined() {
    let gate = gate(settings()).await;
    let (ids, states) =
        ("4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "TraceState: foo=1 ,bar=2\r\ntracestate:\t, baz=3 \r\n");
    let seen = async |lines: String| {
        let reply = gate.get("/who", &lines).await;
        let out = reply.header("traceparent").unwrap().to_string();
        let state = reply.json()["trace_state"].as_str().unwrap().to_string();
        assert_eq!(reply.header("tracestate"), None, "it is the client's own");
        (out.contains(&ids[..32]).then(|| out[..2].to_string() + &out[52..]), state)
    };
    let joined = |out: &str, state: &str| (Some(out.to_string()), state.to_string());
    for (name, version) in [("traceparent", "00"), ("TRACEPARENT", "cc"), ("TrAcEpArEnT", "01")] {
        let lines = format!("{name}:\t {version}-{ids}-03 \t\r\n{states}");
        assert_eq!(seen(lines).await, joined("00-03", "foo=1,bar=2,baz=3"), "{name}");
    }
    let parent = format!("traceparent: 00-{ids}-00\r\n");
    assert_eq!(seen(parent.clone()).await, joined("00-00", ""));
    assert_eq!(
        seen(format!("{parent}{states}tracestate: A=1\r\n")).await,
        joined("00-00", ""),
        "all of it is discarded"
    );
    assert_eq!(seen(format!("{parent}trace-state: foo=1\r\n")).await, joined("00-00", ""));
    for no in
        [states.to_string(), format!("{parent}{parent}{states}"), format!("trace-parent: 00-{ids}-01\r\n{states}")]
    {
        assert_eq!(seen(no.clone()).await, (None, String::new()), "{no}");
    }
}

#[tokio::test]
async fn every_response_has_the_headers_that_keep_browsers_careful() {
    let gate = gate(settings()).await;
    for path in ["/who", "/nowhere", "/panic", "/livez"] {
        let reply = gate.get(path, "").await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert!(reply.header("content-security-policy").is_some_and(|p| p.starts_with("default-src 'none'")));
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_use_the_api_and_others_not() {
    let origins = vec!["https://shop.example".to_string()];
    let gate = gate(GatewaySettings { cors_origins: origins, ..settings() }).await;
    let preflight = |origin: &str| format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
    let yes = gate.send("OPTIONS /things", &preflight("https://shop.example"), "").await;
    assert_eq!((yes.status, yes.header("access-control-allow-origin")), (204, Some("https://shop.example")));
    assert!(yes.header("access-control-allow-methods").is_some_and(|m| m.contains("PATCH")));
    assert!(yes.header("access-control-allow-headers").is_some_and(|h| h.contains("authorization")));
    let no = gate.send("OPTIONS /things", &preflight("https://mallory.example"), "").await;
    no.problem(403, "origin-not-allowed");
    assert_eq!(no.header("access-control-allow-origin"), None);
    let simple = gate.get("/who", "Origin: https://shop.example\r\n").await;
    assert_eq!(simple.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(simple.header("vary"), Some("Origin"));
    let foreign = gate.get("/who", "Origin: https://mallory.example\r\n").await;
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (200, None));
    let refused = gate.get("/nowhere", "Origin: https://shop.example\r\n").await;
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://shop.example"), "pages may read problems");
}

#[tokio::test]
async fn a_client_over_its_rate_waits_and_probes_do_not() {
    let limits = GatewaySettings {
        rate_limit_per_second: 1,
        rate_limit_burst: 2,
        trusted_proxies: vec!["127.0.0.1".into()],
        ..settings()
    };
    let gate = gate(limits).await;
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    for _ in 0..2 {
        assert_eq!(gate.get("/who", &from("198.51.100.1")).await.status, 200);
    }
    let refused = gate.get("/who", &from("198.51.100.1")).await;
    refused.problem(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(gate.get("/livez", &from("198.51.100.1")).await.status, 200);
    assert_eq!(gate.get("/who", &from("198.51.100.2")).await.status, 200, "another client");
}

#[tokio::test]
async fn a_forwarded_address_is_believed_of_trusted_proxies_only() {
    let trusting = gate(GatewaySettings { trusted_proxies: vec!["127.0.0.0/8".into()], ..settings() }).await;
    let strict = gate(settings()).await;
    let lines = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n";
    assert_eq!(trusting.get("/who", lines).await.json()["address"], "198.51.100.7");
    assert_eq!(strict.get("/who", lines).await.json()["address"], "127.0.0.1");
}

#[tokio::test]
async fn a_gateway_is_ready_once_each_capability_was_up_and_while_one_is() {
    let absent = Routes { name: "orders", configure: |_| {}, openapi: OpenApi::default };
    let keys = || Ok(published(&[]));
    let gate = gate_with(settings(), RouteSet::new([routes(), absent]), keys).await;
    let problem = gate.get("/readyz", "").await.problem(503, "not-ready");
    assert_eq!(problem["detail"], "Not up yet: orders.");
    assert_eq!(gate.get("/livez", "").await.status, 200);
    gate.server.front().was_complete.store(true, Ordering::Release);
    assert_eq!(gate.get("/readyz", "").await.status, 200, "auth can be reached");
    let alone = gate_with(settings(), RouteSet::new([absent]), keys).await;
    alone.server.front().was_complete.store(true, Ordering::Release);
    alone.get("/readyz", "").await.problem(503, "not-ready");
}

#[tokio::test]
async fn status_shows_the_node_and_keeps_what_is_inside_for_admins() {
    let gate = gate(GatewaySettings { status_cache_ms: 0, ..settings() }).await;
    let status = gate.get("/status", "").await.json();
    assert_eq!(status["capabilities"]["gateway"]["state"], "running");
    assert!(status["members"].is_array());
    for inside in ["database", "reason", "figures"] {
        assert_eq!(status["capabilities"]["gateway"].get(inside), None, "{inside}");
    }
    let admin = bearer(&Key::new("k1", 1).sign(&claims_with("roles", json!(["admin"]))));
    let told = gate.get("/status", &admin).await.json();
    assert!(told["capabilities"]["gateway"].get("database").is_some());
    assert!(told["capabilities"]["gateway"]["figures"]["listen"].is_string());
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let gate = gate(settings()).await;
    let reply = gate.send("HEAD /things/7", "Connection: close\r\n", "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-length"), Some(r#"{"name":"7","count":1}"#.len().to_string().as_str()));
    assert_eq!(reply.body, "");
}

#[tokio::test]
async fn the_document_describes_all_routes_and_their_problems() {
    let gate = gate(settings()).await;
    let document = gate.get("/openapi.json", "").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let make = &document["paths"]["/things"]["post"];
    assert_eq!((make["operationId"].as_str(), &make["tags"][0]), (Some("auth_make"), &Value::from("auth")));
    for status in ["400", "413", "415", "422", "429", "500", "503", "504"] {
        let schema = &make["responses"][status]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Problem", "{status}");
    }
    assert!(document["paths"]["/admin"]["get"]["responses"]["401"].is_object());
    assert!(document["paths"]["/readyz"]["get"].is_object());
    assert_eq!(document["components"]["schemas"]["Problem"]["properties"]["status"]["type"], "integer");
}

#[tokio::test]
async fn the_documentation_is_served_from_the_binary() {
    let gate = gate(settings()).await;
    assert_eq!(gate.get("/docs", "").await.header("location"), Some("/docs/"));
    let page = gate.get("/docs/", "").await;
    assert_eq!((page.status, page.header("content-type").map(|t| t.starts_with("text/html"))), (200, Some(true)));
    assert!(!page.body.contains("//cdn") && !page.body.contains("https://"), "{}", page.body);
    assert!(gate.get("/docs/swagger-initializer.js", "").await.body.contains("/openapi.json"));
    gate.get("/docs/nothing.js", "").await.problem(404, "not-found");
}
