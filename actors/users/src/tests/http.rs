use actix_web::http::Method;
use essaim::contract::Principal;
use essaim_http::testing;
use serde_json::{Value, json};

use super::*;

async fn send(
    t: &Stage<UsersActor>,
    who: Option<Principal>,
    (method, path): (Method, &str),
    body: Option<Value>,
) -> (u16, Value) {
    let answer = testing::send(t, crate::http::routes(), who, testing::request(method, path, body)).await;
    (answer.status, answer.body)
}

fn customer(n: u8) -> Option<Principal> {
    Some(Principal::new(id(n), ["customer"]))
}

fn admin() -> Option<Principal> {
    Some(Principal::new(id(9), ["admin"]))
}

const ME: &str = "/users/me";

#[tokio::test]
async fn people_read_change_and_delete_their_own_profile() {
    let t = users().await;
    t.ask(create(1, "a@b.c")).await.unwrap();
    let (status, me) = send(&t, customer(1), (Method::GET, ME), None).await;
    assert_eq!(status, 200);
    assert!(me["created_at"].as_str().is_some_and(|t| t.starts_with("2027-01-15T08:00:")), "{me}");
    let change = Some(json!({"name": "Ann"}));
    let (status, changed) = send(&t, customer(1), (Method::PATCH, ME), change).await;
    let expected = json!({
        "id": id(1), "email": "a@b.c", "name": "Ann", "role": "customer", "created_at": me["created_at"],
    });
    assert_eq!((status, changed), (200, expected));
    for _ in 0..2 {
        assert_eq!(send(&t, customer(1), (Method::DELETE, ME), None).await.0, 204, "as often as one likes");
    }
    assert_eq!(send(&t, customer(1), (Method::GET, ME), None).await.0, 404);
    assert_eq!(send(&t, customer(1), (Method::PATCH, ME), Some(json!({"name": "x"}))).await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_decides_its_status() {
    let t = users().await;
    t.ask(create(1, "a@b.c")).await.unwrap();
    t.ask(create(2, "d@e.f")).await.unwrap();
    t.ask(CreateUser { role: Role::Admin, ..create(9, "admin@b.c") }).await.unwrap();
    let patch = |body: Value| ((Method::PATCH, ME), Some(body));
    for (who, (request, body), status, slug) in [
        (None, ((Method::GET, ME), None), 401, "unauthorized"),
        (None, patch(json!({"name": "x"})), 401, "unauthorized"),
        (None, ((Method::DELETE, ME), None), 401, "unauthorized"),
        (None, ((Method::GET, "/users"), None), 401, "unauthorized"),
        (customer(1), ((Method::GET, "/users"), None), 403, "forbidden"),
        (admin(), ((Method::GET, "/users?cursor=x"), None), 400, "bad-request"),
        (customer(1), patch(json!({"email": "D@e.f"})), 409, "email-taken"),
        (customer(1), patch(json!({"email": "nobody"})), 422, "unprocessable"),
        (customer(1), patch(json!({"name": ""})), 422, "unprocessable"),
        (customer(1), patch(json!({"name": null})), 422, "unprocessable"),
        (customer(1), patch(json!({"role": "admin"})), 422, "unprocessable"),
        (admin(), ((Method::DELETE, ME), None), 409, "last-admin"),
    ] {
        let (got, problem) = send(&t, who, request.clone(), body.clone()).await;
        assert_eq!(got, status, "{request:?} {body:?}: {problem}");
        assert_eq!(problem["type"], format!("urn:essaim:problem:{slug}"), "{request:?} {body:?}");
    }
}

#[tokio::test]
async fn an_admin_lists_users_page_by_page() {
    let t = users().await;
    for n in 1..=3 {
        t.ask(create(n, &format!("{n}@b.c"))).await.unwrap();
    }
    let (status, first) = send(&t, admin(), (Method::GET, "/users?limit=2"), None).await;
    assert_eq!((status, first["items"].as_array().map(Vec::len)), (200, Some(2)));
    let next = format!("/users?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let (_, second) = send(&t, admin(), (Method::GET, &next), None).await;
    assert_eq!(second["items"][0]["id"], id(3));
    assert_eq!(second.get("next_cursor"), None);
}
