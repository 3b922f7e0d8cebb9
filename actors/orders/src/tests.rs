use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use essaim_catalog_contract::{PricedLine, Release, Reserve, ReserveError, ReserveLine};
use essaim_orders_contract::*;
use essaim_supervisor::contract::{self, AskError, Failure, FailureKind, Principal, Unknown};
use essaim_supervisor::{Harness, Stage};
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::{OrdersActor, OrdersSettings};

mod http;
mod orders;
mod repair;

/// What goes wrong with one ask of catalog.
#[derive(Clone, Copy)]
enum Mishap {
    /// The asker's node dies before catalog gets the message.
    CrashBefore,
    /// The asker's node dies after catalog has done it.
    CrashAfter,
    /// Catalog is not there.
    NotDelivered,
    /// Catalog's database is not there.
    Failed,
    /// Catalog did not get the message, and nobody knows.
    LostBefore,
    /// Catalog has done it, and the answer is lost.
    LostAfter,
}

use Mishap::*;

/// Catalog as its contract describes it, in memory.
#[derive(Clone)]
struct Shop(Arc<Mutex<State>>);

struct State {
    /// Price in cents, currency and stock, by product.
    products: BTreeMap<String, (i64, &'static str, i64)>,
    /// What each order holds; `None` once it was released.
    orders: BTreeMap<String, Option<Vec<ReserveLine>>>,
    /// What goes wrong with the next asks.
    reserving: Vec<Mishap>,
    releasing: Vec<Mishap>,
    /// Told of each release that was done.
    released: mpsc::UnboundedSender<String>,
}

impl Shop {
    /// Product 1 costs 1.00 EUR, product 2 2.50 EUR and product 3 3.00 USD; there are ten pieces of each. Product 4
    /// has a price that no total can hold.
    fn open() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (released, hear) = mpsc::unbounded_channel();
        let dear = MAX_TOTAL_CENTS / 2 + 1;
        let products = [(1, 100, "EUR"), (2, 250, "EUR"), (3, 300, "USD"), (4, dear, "EUR")];
        let products = products.map(|(n, price, currency)| (id(n), (price, currency, 10))).into();
        let (orders, reserving, releasing) = Default::default();
        (Self(Arc::new(Mutex::new(State { products, orders, reserving, releasing, released }))), hear)
    }

    fn stock(&self, n: u32) -> i64 {
        self.0.lock().unwrap().products[&id(n)].2
    }

    fn set_price(&self, n: u32, cents: i64) {
        self.0.lock().unwrap().products.get_mut(&id(n)).unwrap().0 = cents;
    }

    fn next_reserves(&self, mishaps: &[Mishap]) {
        self.0.lock().unwrap().reserving = mishaps.iter().rev().copied().collect();
    }

    fn next_releases(&self, mishaps: &[Mishap]) {
        self.0.lock().unwrap().releasing = mishaps.iter().rev().copied().collect();
    }

    fn reserve(&self, m: Reserve) -> Result<Vec<PricedLine>, AskError<ReserveError>> {
        let mishap = self.0.lock().unwrap().reserving.pop();
        befall(mishap, || self.0.lock().unwrap().reserve(&m).map_err(AskError::Rejected))
    }

    fn release<E>(&self, m: Release) -> Result<(), AskError<E>> {
        let mishap = self.0.lock().unwrap().releasing.pop();
        befall(mishap, || {
            self.0.lock().unwrap().release(m.order_id);
            Ok(())
        })
    }
}

impl State {
    fn reserve(&mut self, m: &Reserve) -> Result<Vec<PricedLine>, ReserveError> {
        match self.orders.get(&m.order_id) {
            Some(None) => return Err(ReserveError::Released),
            Some(Some(held)) if *held != m.lines => return Err(ReserveError::OtherLines),
            Some(Some(_)) => return Ok(self.priced(&m.lines)),
            None => {}
        }
        let ids = |test: &dyn Fn(&ReserveLine) -> bool| {
            m.lines.iter().filter(|l| test(l)).map(|l| l.product_id.clone()).collect::<Vec<_>>()
        };
        let product_ids = ids(&|l| !self.products.contains_key(&l.product_id));
        if !product_ids.is_empty() {
            return Err(ReserveError::UnknownProducts { product_ids });
        }
        let product_ids = ids(&|l| self.products[&l.product_id].2 < l.quantity);
        if !product_ids.is_empty() {
            return Err(ReserveError::Insufficient { product_ids });
        }
        for line in &m.lines {
            self.products.get_mut(&line.product_id).unwrap().2 -= line.quantity;
        }
        self.orders.insert(m.order_id.clone(), Some(m.lines.clone()));
        Ok(self.priced(&m.lines))
    }

    fn release(&mut self, order_id: String) {
        for line in self.orders.insert(order_id.clone(), None).flatten().into_iter().flatten() {
            self.products.get_mut(&line.product_id).unwrap().2 += line.quantity;
        }
        let _ = self.released.send(order_id);
    }

    fn priced(&self, lines: &[ReserveLine]) -> Vec<PricedLine> {
        let priced = |l: &ReserveLine| {
            let (unit_price_cents, currency, _) = self.products[&l.product_id];
            let (product_id, currency) = (l.product_id.clone(), currency.to_string());
            PricedLine { product_id, quantity: l.quantity, unit_price_cents, currency }
        };
        lines.iter().map(priced).collect()
    }
}

fn befall<T, E>(mishap: Option<Mishap>, work: impl FnOnce() -> Result<T, AskError<E>>) -> Result<T, AskError<E>> {
    let lost = || AskError::Unknown(Unknown::NoAnswer { node: "shop".into() });
    match mishap {
        None => work(),
        // A panic ends the handler where it stands, as a crash does.
        Some(CrashBefore) => panic!("a crash before catalog is asked"),
        Some(CrashAfter) => {
            let _ = work();
            panic!("a crash after catalog has answered")
        }
        Some(NotDelivered) => {
            Err(AskError::NotDelivered(contract::NotDelivered::NoHost { capability: "catalog".into() }))
        }
        Some(Failed) => Err(AskError::Failed(Failure { kind: FailureKind::Database, detail: "away".into() })),
        Some(LostBefore) => Err(lost()),
        Some(LostAfter) => {
            let _ = work();
            Err(lost())
        }
    }
}

async fn orders_with(shop: &Shop, settings: OrdersSettings) -> Stage<OrdersActor> {
    let (reserving, releasing) = (shop.clone(), shop.clone());
    Harness::sqlite()
        .settings(settings)
        .stub::<Reserve>(move |m| reserving.reserve(m))
        .stub::<Release>(move |m| releasing.release(m))
        .start()
        .await
}

/// Orders, and a repair that a test does not live to see.
async fn orders() -> (Stage<OrdersActor>, Shop) {
    let (shop, _) = Shop::open();
    let never = OrdersSettings { repair_after_ms: 3_600_000, repair_every_ms: 3_600_000, ..Default::default() };
    (orders_with(&shop, never).await, shop)
}

fn ann() -> Principal {
    Principal::new("ann", ["customer"])
}

/// Ids that sort as their numbers do.
fn id(n: u32) -> String {
    format!("0190b5a0-0000-7000-8000-{n:012}")
}

fn place(order: u32, lines: &[(u32, i64)]) -> PlaceOrder {
    let line = |(n, quantity): &(u32, i64)| NewLine { product_id: id(*n), quantity: *quantity };
    PlaceOrder { order_id: id(order), lines: lines.iter().map(line).collect(), idempotency_key: None }
}

fn keyed(order: u32, key: &str, lines: &[(u32, i64)]) -> PlaceOrder {
    PlaceOrder { idempotency_key: Some(key.into()), ..place(order, lines) }
}

async fn status(t: &Stage<OrdersActor>, order: u32) -> OrderStatus {
    t.ask_as(ann(), GetOrder { id: id(order) }).await.unwrap().status
}

fn rejected(order: u32, reason: Rejection) -> AskError<OrderError> {
    AskError::Rejected(OrderError::Rejected { order_id: id(order), reason })
}
