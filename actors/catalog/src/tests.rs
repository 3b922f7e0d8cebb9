use essaim::contract::{AskError, Principal};
use essaim::{Harness, Stage};
use essaim_catalog_contract::*;
use futures_util::future::join_all;

use crate::{CatalogActor, CatalogSettings};

mod http;
mod stock;

async fn catalog() -> Stage<CatalogActor> {
    Harness::sqlite().witness::<StockReserved>().witness::<StockRefused>().start().await
}

fn admin() -> Principal {
    Principal::new("admin-1", [ADMIN])
}

fn new(n: u32, price_cents: i64, stock: i64) -> CreateProduct {
    let (id, sku) = (id(n), format!("SKU-{n}"));
    CreateProduct { id, sku, name: format!("Product {n}"), price_cents, currency: "EUR".into(), stock }
}

/// Ids that sort as their numbers do.
fn id(n: u32) -> String {
    format!("0190b5a0-0000-7000-8000-{n:012}")
}

async fn create(t: &Stage<CatalogActor>, new: CreateProduct) -> Product {
    t.ask_as(admin(), new).await.unwrap()
}

/// What catalog has said of reservations so far: prices, or why not.
async fn answers(t: &Stage<CatalogActor>, order: u32) -> Vec<Result<Vec<PricedLine>, Refusal>> {
    let order_id = format!("order-{order}");
    let taken = t.published::<StockReserved>().await.into_iter().filter(|e| e.order_id == order_id);
    let refused = t.published::<StockRefused>().await.into_iter().filter(|e| e.order_id == order_id);
    taken.map(|e| Ok(e.lines)).chain(refused.map(|e| Err(e.reason))).collect()
}

async fn stock(t: &Stage<CatalogActor>, n: u32) -> i64 {
    t.ask(GetStock { id: id(n) }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_product_is_found_as_it_was_created() {
    let t = catalog().await;
    let created = create(&t, new(1, 250, 7)).await;
    assert_eq!((created.stock, created.description.price_cents), (7, 250));
    assert_eq!(t.ask(GetProduct { id: id(1) }).await.unwrap(), created);
    assert_eq!(t.ask(Describe { id: id(1) }).await.unwrap(), created.description);
    assert_eq!(t.ask(GetProduct { id: id(2) }).await, Err(AskError::Rejected(CatalogError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn creating_again_with_the_same_id_changes_nothing() {
    let t = catalog().await;
    let first = create(&t, new(1, 250, 7)).await;
    assert_eq!(create(&t, new(1, 250, 7)).await, first);
    assert_eq!(t.ask(ListProducts { limit: 10, cursor: None }).await.unwrap().items, [first]);
}

#[tokio::test(start_paused = true)]
async fn a_sku_belongs_to_one_product() {
    let t = catalog().await;
    create(&t, new(1, 250, 7)).await;
    create(&t, new(2, 250, 7)).await;
    let taken = AskError::Rejected(CatalogError::SkuTaken { sku: "SKU-1".into() });
    let same_sku = CreateProduct { sku: "SKU-1".into(), ..new(3, 250, 7) };
    assert_eq!(t.ask_as(admin(), same_sku).await, Err(taken.clone()));
    let rename = UpdateProduct { id: id(2), sku: Some("SKU-1".into()), ..Default::default() };
    assert_eq!(t.ask_as(admin(), rename).await, Err(taken));
}

#[tokio::test(start_paused = true)]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let t = catalog().await;
    let before = create(&t, new(1, 250, 7)).await;
    let change = UpdateProduct { id: id(1), price_cents: Some(300), ..Default::default() };
    let after = t.ask_as(admin(), change).await.unwrap();
    let expected = Description { price_cents: 300, ..before.description };
    assert_eq!(after, Product { description: expected, stock: 7 });
    let nothing = UpdateProduct { id: id(1), ..Default::default() };
    assert_eq!(t.ask_as(admin(), nothing).await.unwrap(), after);
    let missing = UpdateProduct { id: id(9), price_cents: Some(1), ..Default::default() };
    assert_eq!(t.ask_as(admin(), missing).await, Err(AskError::Rejected(CatalogError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn an_update_outdates_the_cached_description() {
    let t = catalog().await;
    create(&t, new(1, 250, 7)).await;
    let client = t.client();
    client.near().put(Describe::NEAR, &id(1), "old".into());
    t.ask_as(admin(), UpdateProduct { id: id(1), price_cents: Some(300), ..Default::default() }).await.unwrap();
    assert_eq!(client.near().get(Describe::NEAR, &id(1)), None);
}

#[tokio::test(start_paused = true)]
async fn only_an_admin_changes_the_catalogue() {
    let t = catalog().await;
    create(&t, new(1, 250, 7)).await;
    let customer = || Principal::new("customer-1", ["customer"]);
    let forbidden = AskError::Rejected(CatalogError::Forbidden);
    assert_eq!(t.ask_as(customer(), new(2, 1, 1)).await, Err(forbidden.clone()));
    assert_eq!(t.ask_as(customer(), SetStock { id: id(1), stock: 9 }).await, Err(forbidden.clone()));
    assert_eq!(t.ask(UpdateProduct { id: id(1), price_cents: Some(0), ..Default::default() }).await, Err(forbidden));
    assert_eq!(stock(&t, 1).await, 7);
}

#[tokio::test(start_paused = true)]
async fn values_out_of_bounds_are_refused_by_field() {
    let t = catalog().await;
    let bad = [
        ("price_cents", CreateProduct { price_cents: MAX_PRICE_CENTS + 1, ..new(1, 0, 0) }),
        ("price_cents", new(1, -1, 0)),
        ("stock", new(1, 0, -1)),
        ("currency", CreateProduct { currency: "eur".into(), ..new(1, 0, 0) }),
        ("name", CreateProduct { name: String::new(), ..new(1, 0, 0) }),
        ("id", CreateProduct { id: "1".into(), ..new(1, 0, 0) }),
    ];
    for (field, bad) in bad {
        match t.ask_as(admin(), bad).await {
            Err(AskError::Rejected(CatalogError::Invalid { field: named, .. })) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_neither_repeat_nor_skip_while_products_are_added() {
    let t = catalog().await;
    for n in [2, 4, 6, 8] {
        create(&t, new(n, 1, 1)).await;
    }
    let ids = |page: &ProductPage| page.items.iter().map(|p| p.description.id.clone()).collect::<Vec<_>>();
    let first = t.ask(ListProducts { limit: 2, cursor: None }).await.unwrap();
    assert_eq!(ids(&first), [id(2), id(4)]);
    create(&t, new(1, 1, 1)).await;
    create(&t, new(9, 1, 1)).await;
    let second = t.ask(ListProducts { limit: 2, cursor: first.next }).await.unwrap();
    assert_eq!(ids(&second), [id(6), id(8)]);
    let third = t.ask(ListProducts { limit: 2, cursor: second.next }).await.unwrap();
    assert_eq!((ids(&third), third.next), (vec![id(9)], None));
    let bad = ListProducts { limit: 2, cursor: Some("'".into()) };
    assert_eq!(t.ask(bad).await, Err(AskError::Rejected(CatalogError::BadCursor)));
}

#[tokio::test(start_paused = true)]
async fn the_demonstration_catalogue_is_there_when_it_is_asked_for() {
    let t = Harness::<CatalogActor>::sqlite().settings(CatalogSettings { demo: true }).start().await;
    let items = t.ask(ListProducts { limit: MAX_PAGE, cursor: None }).await.unwrap().items;
    assert!(items.len() >= 5 && items.iter().all(|p| p.stock > 0));
    let empty = catalog().await.ask(ListProducts { limit: MAX_PAGE, cursor: None }).await.unwrap();
    assert_eq!(empty.items, []);
}
