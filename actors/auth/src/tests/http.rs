use std::net::{IpAddr, Ipv4Addr};

use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpMessage};
use essaim_http::Edge;
use essaim_supervisor::trace::TraceContext;
use serde_json::{Value, json};

use super::*;

struct Answer {
    status: StatusCode,
    retry_after: Option<u32>,
    cache_control: Option<String>,
    body: Value,
}

/// Sends one request, as the gateway would pass it on.
async fn send(t: &Stage<AuthActor>, (method, path): (Method, &str), body: Option<Value>) -> Answer {
    t.run(async {
        let client = t.client();
        let edge = Edge {
            trace: TraceContext::root(client.env()),
            client,
            principal: None,
            request_id: "r".into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let app = init_service(App::new().configure(crate::http::routes().configure)).await;
        let mut request = TestRequest::default().method(method).uri(path);
        if let Some(body) = body {
            request = request.set_json(body);
        }
        let request = request.to_request();
        request.extensions_mut().insert(edge);
        let response = call_service(&app, request).await;
        let text = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status();
        let retry_after = text(header::RETRY_AFTER).map(|s| s.parse().unwrap());
        let cache_control = text(header::CACHE_CONTROL);
        assert_eq!(text(header::WWW_AUTHENTICATE).is_some(), status == 401);
        let body = serde_json::from_slice(&read_body(response).await).unwrap_or_default();
        Answer { status, retry_after, cache_control, body }
    })
    .await
}

async fn post(t: &Stage<AuthActor>, path: &str, body: Value) -> Answer {
    send(t, (Method::POST, path), Some(body)).await
}

fn registration() -> Value {
    json!({"email": "Ada@Example.com", "password": PASSWORD, "name": "Ada"})
}

#[tokio::test]
async fn a_person_registers_logs_in_refreshes_and_logs_out() {
    let t = People::default().stage(|_| {}).start().await;
    let registered = post(&t, "/users", registration()).await;
    assert_eq!(registered.status, 201);
    let body = registered.body;
    let expected = json!({
        "id": body["id"], "email": "Ada@Example.com", "name": "Ada", "role": "customer",
        "created_at": "1970-01-01T00:00:00.000Z",
    });
    assert_eq!(body, expected);

    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    let logged_in = post(&t, "/auth/login", credentials).await;
    assert_eq!((logged_in.status, logged_in.cache_control.as_deref()), (StatusCode::OK, Some("no-store")));
    let tokens = logged_in.body;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));

    let token = |body: &Value| json!({"refresh_token": body["refresh_token"]});
    let refreshed = post(&t, "/auth/refresh", token(&tokens)).await;
    assert_eq!((refreshed.status, refreshed.cache_control.as_deref()), (StatusCode::OK, Some("no-store")));
    assert_eq!(post(&t, "/auth/logout", token(&refreshed.body)).await.status, 204);
    let refused = post(&t, "/auth/refresh", token(&refreshed.body)).await;
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (401, &json!("urn:essaim:problem:bad-refresh-token")));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_decides_its_status() {
    let t = People::default().stage(|_| {}).start().await;
    assert_eq!(post(&t, "/users", registration()).await.status, 201);
    let with = |key: &str, value: Value| {
        let mut body = registration();
        body[key] = value;
        body
    };
    for (path, body, status, slug) in [
        ("/users", registration(), 409, "email-taken"),
        ("/users", with("password", json!("1234567")), 422, "unprocessable"),
        ("/users", with("password", json!("x".repeat(129))), 422, "unprocessable"),
        ("/users", with("email", json!("nobody")), 422, "unprocessable"),
        ("/users", with("role", json!("admin")), 422, "unprocessable"),
        ("/auth/login", json!({"email": "ada@example.com", "password": "wrong"}), 401, "bad-credentials"),
        ("/auth/login", json!({"email": "nobody", "password": ""}), 401, "bad-credentials"),
        ("/auth/login", json!({"email": "ada@example.com"}), 422, "unprocessable"),
        ("/auth/refresh", json!({"refresh_token": ""}), 401, "bad-refresh-token"),
    ] {
        let answer = post(&t, path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        assert_eq!(answer.body["type"], format!("urn:essaim:problem:{slug}"), "{path} {body}");
    }
    assert_eq!(post(&t, "/auth/logout", json!({"refresh_token": ""})).await.status, 204);
}

#[tokio::test]
async fn a_throttled_login_is_told_when_to_try_again() {
    let t = People::default().stage(|settings| settings.throttle.account_free = 1).start().await;
    let wrong = json!({"email": "ada@example.com", "password": "wrong"});
    assert_eq!(post(&t, "/auth/login", wrong.clone()).await.status, 401);
    let refused = post(&t, "/auth/login", wrong).await;
    assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(5)));
}

#[tokio::test]
async fn the_keys_are_a_json_web_key_set() {
    let t = People::default().stage(|_| {}).start().await;
    let answer = send(&t, (Method::GET, "/.well-known/jwks.json"), None).await;
    let published = t.ask(GetKeys {}).await.unwrap().keys;
    let expected = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": published[0].kid, "x": published[0].x,
    }]});
    assert_eq!((answer.status, answer.body), (StatusCode::OK, expected));
    assert_eq!(answer.cache_control.as_deref(), Some("public, max-age=60"));
}
