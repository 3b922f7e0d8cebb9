use actix_web::http::Method;
use essaim_http::testing;
use serde_json::{Value, json};

use super::*;

async fn send(
    t: &Stage<CatalogActor>,
    who: Option<Principal>,
    (method, path): (Method, &str),
    body: Option<Value>,
) -> (u16, Value) {
    let answer = testing::send(t, crate::http::routes(), who, testing::request(method, path, body)).await;
    if answer.status == 201 {
        assert!(answer.header("location").is_some());
    }
    (answer.status, answer.body)
}

fn honey() -> Value {
    json!({"sku": "HONEY", "name": "Honey", "price_cents": 1190, "currency": "EUR", "stock": 5})
}

#[tokio::test(start_paused = true)]
async fn a_product_is_shown_from_the_near_cache_until_it_changes_and_then_as_it_is() {
    let t = catalog().await;
    let (status, created) = send(&t, Some(admin()), (Method::POST, "/products"), Some(honey())).await;
    assert_eq!(status, 201, "{created}");
    let id = created["id"].as_str().unwrap().to_string();
    let path = format!("/products/{id}");
    let shown = async || send(&t, None, (Method::GET, &path), None).await.1;
    let loads = || t.client().near().figures().loads;
    assert_eq!((shown().await, shown().await), (created.clone(), created.clone()));
    assert_eq!(loads(), 1, "the second answer came from the cache");
    let lines = vec![ReserveLine { product_id: id.clone(), quantity: 2 }];
    t.deliver(Reserve { order_id: "order-1".into(), lines }).await.unwrap();
    assert_eq!((shown().await, shown().await["stock"].clone()), (with(&created, "stock", 3), json!(3)));
    t.deliver(Release { order_id: "order-1".into() }).await.unwrap();
    assert_eq!(shown().await["stock"], 5);
    t.ask_as(admin(), SetStock { id: id.clone(), stock: 9 }).await.unwrap();
    assert_eq!(shown().await["stock"], 9);
    assert_eq!(send(&t, Some(admin()), (Method::PATCH, &path), Some(json!({"price_cents": 990}))).await.0, 200);
    assert_eq!(shown().await, with(&with(&created, "stock", 9), "price_cents", 990));
    assert_eq!(loads(), 5, "one load after each change");
}

fn with(product: &Value, key: &str, value: i64) -> Value {
    let mut product = product.clone();
    product[key] = json!(value);
    product
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_leaves_the_product_as_it_is_shown() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    let path = format!("/products/{}", id(1));
    let shown = async || send(&t, None, (Method::GET, &path), None).await.1["stock"].clone();
    assert_eq!(shown().await, 5);
    let lines = vec![ReserveLine { product_id: id(1), quantity: 6 }];
    t.deliver(Reserve { order_id: "order-1".into(), lines }).await.unwrap();
    assert_eq!((shown().await, shown().await), (json!(5), json!(5)));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_decides_its_status() {
    let t = catalog().await;
    create(&t, new(1, 100, 5)).await;
    let customer = || Some(Principal::new("c", ["customer"]));
    let (one, none, stock) = (format!("/products/{}", id(1)), format!("/products/{}", id(2)), "/stock");
    let (one_stock, none_stock) = (format!("{one}{stock}"), format!("{none}{stock}"));
    let with = |key: &str, value: Value| {
        let mut body = honey();
        body[key] = value;
        Some(body)
    };
    let sku_taken = with("sku", json!("SKU-1"));
    for (who, method, path, body, status) in [
        (None, Method::POST, "/products", Some(honey()), 401),
        (customer(), Method::POST, "/products", Some(honey()), 403),
        (Some(admin()), Method::POST, "/products", sku_taken, 409),
        (Some(admin()), Method::POST, "/products", with("sku", json!(" ")), 422),
        (Some(admin()), Method::POST, "/products", with("price_cents", json!(-1)), 422),
        (Some(admin()), Method::POST, "/products", with("unknown", json!(1)), 422),
        (None, Method::GET, &none, None, 404),
        (None, Method::GET, "/products/x", None, 404),
        (None, Method::GET, "/products?cursor=x", None, 400),
        (None, Method::GET, "/products?limit=0", None, 400),
        (customer(), Method::PATCH, &one, Some(json!({})), 403),
        (Some(admin()), Method::PATCH, &one, Some(json!({})), 200),
        (Some(admin()), Method::PATCH, &one, Some(json!({"name": null})), 422),
        (Some(admin()), Method::PATCH, &none, Some(json!({"name": "x"})), 404),
        (customer(), Method::PUT, &one_stock, Some(json!({"stock": 1})), 403),
        (Some(admin()), Method::PUT, &one_stock, Some(json!({"stock": 1})), 200),
        (Some(admin()), Method::PUT, &none_stock, Some(json!({"stock": 1})), 404),
        (Some(admin()), Method::PUT, &one_stock, Some(json!({"stock": MAX_STOCK + 1})), 422),
    ] {
        let (got, answer) = send(&t, who, (method.clone(), path), body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_followed_by_its_cursor() {
    let t = catalog().await;
    for n in 1..=3 {
        create(&t, new(n, 1, 1)).await;
    }
    let (_, first) = send(&t, None, (Method::GET, "/products?limit=2"), None).await;
    let path = format!("/products?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let (_, second) = send(&t, None, (Method::GET, &path), None).await;
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (2, 1));
    assert_eq!(second.get("next_cursor"), None);
}

#[test]
fn the_bounds_in_the_document_are_those_of_the_contract() {
    let document: Value = serde_json::from_str(&(crate::http::routes().openapi)().to_json().unwrap()).unwrap();
    let schemas = &document["components"]["schemas"];
    for schema in ["NewProduct", "ProductChange"] {
        assert_eq!(schemas[schema]["properties"]["price_cents"]["maximum"], json!(MAX_PRICE_CENTS));
        assert_eq!(schemas[schema]["properties"]["name"]["maxLength"], json!(MAX_NAME_CHARS));
        assert_eq!(schemas[schema]["additionalProperties"], json!(false));
    }
    assert_eq!(schemas["NewProduct"]["properties"]["stock"]["maximum"], json!(MAX_STOCK));
    assert_eq!(schemas["StockLevel"]["properties"]["stock"]["maximum"], json!(MAX_STOCK));
    assert_eq!(schemas["ProductChange"]["properties"]["name"]["type"], json!("string"), "null is not allowed");
}
