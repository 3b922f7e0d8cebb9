//! Every error is a problem.

use super::http::Connection;
use super::stage::{gate, settings};
use crate::GatewaySettings;

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn what_no_route_takes_is_404_or_405_with_the_methods_there_are() {
    let gate = gate(settings()).await;
    gate.get("/nowhere", "").await.problem(404, "not-found");
    gate.get("/nowhere%00", "").await.problem(404, "not-found");
    // One of these is registered as a resource, the other with a macro that guards the method.
    for (line, allow) in [("DELETE /things", "POST"), ("DELETE /things/1", "GET, HEAD"), ("PUT /livez", "GET, HEAD")] {
        let reply = gate.send(line, "", "").await;
        reply.problem(405, "method-not-allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{line}");
    }
}

#[tokio::test]
async fn what_a_route_answers_becomes_a_problem_with_its_trace() {
    let gate = gate(settings()).await;
    let problem = gate.get("/things/0", "").await.problem(404, "not-found");
    assert_eq!(problem["detail"], "There is no such thing.");
    gate.get("/things/x", "").await.problem(404, "not-found");
    gate.get("/bare", "").await.problem(404, "not-found");
    gate.get("/admin", "").await.problem(401, "unauthorized");
    let unavailable = gate.get("/ask", "").await;
    unavailable.problem(503, "unavailable");
    assert_eq!(unavailable.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_panicking_route_is_a_500_without_its_reason_and_the_server_lives() {
    let gate = gate(settings()).await;
    for _ in 0..3 {
        let reply = gate.get("/panic", "").await;
        let problem = reply.problem(500, "internal-error");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("not known whether")), "{}", reply.body);
        assert!(!reply.body.contains("secret"), "{}", reply.body);
    }
    assert_eq!(gate.get("/things/7", "").await.status, 200);
}

#[tokio::test]
async fn a_route_that_takes_too_long_is_a_504() {
    let gate = gate(GatewaySettings { request_timeout_ms: 50, ..settings() }).await;
    gate.get("/slow", "").await.problem(504, "outcome-unknown");
    assert_eq!(gate.get("/things/7", "").await.status, 200);
}

#[tokio::test]
async fn bodies_are_json_of_the_declared_form_and_size() {
    let gate = gate(settings()).await;
    assert_eq!(gate.post(r#"{"name":"a","count":255}"#).await.status, 201);
    gate.post("{").await.problem(400, "malformed-json");
    gate.post(r#"{"name":"a","count":256}"#).await.problem(422, "unprocessable");
    gate.post(r#"{"name":"a","count":1,"x":1}"#).await.problem(422, "unprocessable");
    gate.send("POST /things", "Content-Type: text/plain\r\n", "{}").await.problem(415, "unsupported-media-type");
    gate.send("POST /things", "", "{}").await.problem(415, "unsupported-media-type");
    gate.post(&format!("{:1001}", "{}")).await.problem(413, "body-too-large");
    let chunks = "1f4\r\n".to_string() + &" ".repeat(500) + "\r\n";
    let chunked = format!("{JSON}Transfer-Encoding: chunked\r\n\r\n{chunks}{chunks}{chunks}0\r\n");
    gate.send("POST /things", &chunked, "").await.problem(413, "body-too-large");
}

#[tokio::test]
async fn a_large_body_that_was_announced_is_refused_before_it_is_read() {
    let gate = gate(settings()).await;
    let head = format!("POST /things HTTP/1.1\r\nHost: t\r\n{JSON}Content-Length: 100000000\r\n\r\n");
    let reply = async {
        let mut connection = Connection::open(gate.at).await.unwrap();
        connection.write(&head).await;
        connection.read().await.unwrap()
    };
    gate.stage.run(reply).await.problem(413, "body-too-large");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let gate = gate(GatewaySettings { client_body_timeout_ms: 50, ..settings() }).await;
    let head = format!("POST /things HTTP/1.1\r\nHost: t\r\n{JSON}Content-Length: 100\r\n\r\n{{");
    let reply = async {
        let mut connection = Connection::open(gate.at).await.unwrap();
        connection.write(&head).await;
        connection.read().await.unwrap()
    };
    gate.stage.run(reply).await.problem(408, "request-timeout");
}

#[tokio::test]
async fn headers_have_bounds() {
    let gate = gate(GatewaySettings { header_limit_bytes: 2_000, header_limit_count: 20, ..settings() }).await;
    let large = format!("X-Large: {}\r\n", "x".repeat(2_000));
    gate.get("/things/1", &large).await.problem(431, "headers-too-large");
    let many: String = (0..30).map(|i| format!("X-{i}: 1\r\n")).collect();
    gate.get("/things/1", &many).await.problem(431, "headers-too-large");
    gate.get(&format!("/things/{}", "1".repeat(2_000)), "").await.problem(431, "headers-too-large");
    assert_eq!(gate.get("/things/1", "").await.status, 200);
}
