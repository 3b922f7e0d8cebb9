use actix_web::http::Method;
use essaim_http::testing::{self, Answer};
use serde_json::{Value, json};

use super::*;

async fn send(t: &Stage<AuthActor>, (method, path): (Method, &str), body: Option<Value>) -> Answer {
    let answer = testing::send(t, crate::http::routes(), None, testing::request(method, path, body)).await;
    assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401);
    answer
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
    assert_eq!((logged_in.status, logged_in.header("cache-control")), (200, Some("no-store")));
    let tokens = logged_in.body;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));

    let token = |body: &Value| json!({"refresh_token": body["refresh_token"]});
    let refreshed = post(&t, "/auth/refresh", token(&tokens)).await;
    assert_eq!((refreshed.status, refreshed.header("cache-control")), (200, Some("no-store")));
    assert_eq!(post(&t, "/auth/logout", token(&refreshed.body)).await.status, 204);
    let refused = post(&t, "/auth/refresh", token(&refreshed.body)).await;
    assert_eq!((refused.status, &refused.body["type"]), (401, &json!("urn:essaim:problem:bad-refresh-token")));
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
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")));
}

#[tokio::test]
async fn the_keys_are_a_json_web_key_set() {
    let t = People::default().stage(|_| {}).start().await;
    let answer = send(&t, (Method::GET, "/.well-known/jwks.json"), None).await;
    let published = t.ask(GetKeys {}).await.unwrap().keys;
    let expected = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": published[0].kid, "x": published[0].x,
    }]});
    assert_eq!((answer.status, &answer.body), (200, &expected));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
}
