use actix_web::http::{Method, header};
use actix_web::test::TestRequest;
use essaim_http::testing::{self, Answer};
use serde_json::{Value, json};

use super::*;

async fn send(t: &Stage<OrdersActor>, who: Option<Principal>, request: TestRequest) -> Answer {
    testing::send(t, crate::http::routes(), who, request).await
}

/// Orders whose customers wait, with catalog at work while they do.
struct Open {
    t: Stage<OrdersActor>,
    shop: Shop,
}

impl Open {
    async fn shop() -> Self {
        let (t, shop) = orders_with(OrdersSettings { wait_ms: 2_000, ..at_once() }).await;
        Self { t, shop }
    }

    async fn send(&self, who: Option<Principal>, request: TestRequest) -> Answer {
        let answer = self.shop.beside(&self.t, send(&self.t, who, request)).await;
        self.shop.catch_up(&self.t).await;
        answer
    }
}

fn post(lines: Value) -> TestRequest {
    TestRequest::post().uri("/orders").set_json(json!({ "lines": lines }))
}

fn honey(quantity: i64) -> TestRequest {
    post(json!([{"product_id": id(1), "quantity": quantity}]))
}

#[tokio::test(start_paused = true)]
async fn an_order_is_placed_read_listed_and_cancelled() {
    let open = Open::shop().await;
    let placed = open.send(Some(ann()), honey(2)).await;
    assert_eq!(placed.status, 201, "{}", placed.body);
    let path = placed.headers.get(header::LOCATION).unwrap().to_str().unwrap().to_string();
    let line = json!({"product_id": id(1), "quantity": 2, "unit_price_cents": 100});
    let order = &placed.body;
    assert_eq!(
        (&order["status"], &order["lines"], &order["total_cents"]),
        (&json!("confirmed"), &json!([line]), &json!(200))
    );
    assert_eq!(path, format!("/orders/{}", order["id"].as_str().unwrap()));
    assert_eq!(open.send(Some(ann()), TestRequest::get().uri(&path)).await.body, *order);
    let listed = open.send(Some(ann()), TestRequest::get().uri("/orders?limit=5")).await;
    assert_eq!(listed.body, json!({"items": [order]}));
    let cancelled = open.send(Some(ann()), TestRequest::post().uri(&format!("{path}/cancel"))).await;
    assert_eq!((cancelled.status, &cancelled.body["status"], open.shop.stock(1)), (200, &json!("cancelled"), 10));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_takes_its_time_is_201_and_pending() {
    let (t, shop) = orders().await;
    let placed = send(&t, Some(ann()), honey(2)).await;
    assert_eq!(
        (placed.status, &placed.body["status"], &placed.body["total_cents"]),
        (201, &json!("pending"), &Value::Null)
    );
    let path = placed.headers.get(header::LOCATION).unwrap().to_str().unwrap().to_string();
    shop.catch_up(&t).await;
    let read = send(&t, Some(ann()), TestRequest::get().uri(&path)).await;
    assert_eq!((&read.body["status"], &read.body["total_cents"]), (&json!("confirmed"), &json!(200)));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_is_200_with_the_first_order_and_422_with_another_body() {
    let open = Open::shop().await;
    let with_key = |quantity| honey(quantity).insert_header(("Idempotency-Key", "k-1"));
    let first = open.send(Some(ann()), with_key(2)).await;
    let again = open.send(Some(ann()), with_key(2)).await;
    assert_eq!((first.status, again.status, first.body), (201, 200, again.body));
    let other = open.send(Some(ann()), with_key(3)).await;
    assert_eq!((other.status, &other.body["type"]), (422, &json!("urn:essaim:problem:idempotency-key-reused")));
}

#[tokio::test(start_paused = true)]
async fn an_oversold_order_is_409_and_names_the_products() {
    let open = Open::shop().await;
    let refused = open.send(Some(ann()), honey(11)).await;
    assert_eq!((refused.status, &refused.body["type"]), (409, &json!("urn:essaim:problem:insufficient-stock")));
    assert!(refused.body["detail"].as_str().unwrap().contains(&id(1)), "{}", refused.body);
    let listed = open.send(Some(ann()), TestRequest::get().uri("/orders")).await;
    let order = &listed.body["items"][0];
    assert_eq!((&order["status"], &order["total_cents"]), (&json!("rejected"), &Value::Null));
    let cancel = TestRequest::post().uri(&format!("/orders/{}/cancel", order["id"].as_str().unwrap()));
    assert_eq!(open.send(Some(ann()), cancel).await.status, 409);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_decides_its_status() {
    let open = Open::shop().await;
    open.shop.beside(&open.t, open.t.ask_as(ann(), place(1, &[(1, 1)]))).await.unwrap();
    let mine = format!("/orders/{}", id(1));
    let bob = || Some(Principal::new("bob", ["customer"]));
    let line = |product: &str, quantity: Value| post(json!([{"product_id": product, "quantity": quantity}]));
    let get = |path: &str| TestRequest::get().uri(path);
    for (case, who, request, status) in [
        ("place", None, honey(1), 401),
        ("list", None, get("/orders"), 401),
        ("read", None, get(&mine), 401),
        ("cancel", None, TestRequest::default().method(Method::POST).uri(&format!("{mine}/cancel")), 401),
        ("foreign", bob(), get(&mine), 404),
        ("foreign cancel", bob(), TestRequest::post().uri(&format!("{mine}/cancel")), 404),
        ("no id", bob(), get("/orders/x"), 404),
        ("no lines", bob(), post(json!([])), 422),
        ("quantity 0", bob(), line(&id(1), json!(0)), 422),
        ("quantity 1.5", bob(), line(&id(1), json!(1.5)), 422),
        ("quantity too large", bob(), line(&id(1), json!(1_000_001)), 422),
        ("unknown product", bob(), line(&id(9), json!(1)), 409),
        ("no product id", bob(), line("honey", json!(1)), 422),
        (
            "two currencies",
            bob(),
            post(json!([{"product_id": id(1), "quantity": 1}, {"product_id": id(3), "quantity": 1}])),
            409,
        ),
        ("total too large", bob(), line(&id(4), json!(2)), 409),
        ("bad key", bob(), honey(1).insert_header(("Idempotency-Key", "a b")), 400),
        ("empty key", bob(), honey(1).insert_header(("Idempotency-Key", "")), 400),
        ("bad cursor", bob(), get("/orders?cursor=x"), 400),
    ] {
        let answer = open.send(who, request).await;
        assert_eq!(answer.status, status, "{case}: {}", answer.body);
    }
}

#[test]
fn the_bounds_in_the_document_are_those_of_the_contract() {
    let document: Value = serde_json::from_str(&(crate::http::routes().openapi)().to_json().unwrap()).unwrap();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["NewOrder"]["properties"]["lines"]["maxItems"], json!(MAX_LINES));
    assert_eq!(schemas["NewOrderLine"]["properties"]["quantity"]["maximum"], json!(MAX_QUANTITY));
    let together = MAX_QUANTITY * MAX_LINES as i64;
    assert_eq!(schemas["OrderLine"]["properties"]["quantity"]["maximum"], json!(together));
    assert_eq!(schemas["Order"]["properties"]["total_cents"]["maximum"], json!(MAX_TOTAL_CENTS));
    let required = schemas["Order"]["required"].as_array().unwrap();
    assert!(required.contains(&json!("total_cents")) && !required.contains(&json!("rejection")), "{required:?}");
    let key = &document["paths"]["/orders"]["post"]["parameters"][0];
    assert_eq!((&key["required"], &key["schema"]["maxLength"]), (&json!(false), &json!(MAX_KEY_CHARS)));
}
