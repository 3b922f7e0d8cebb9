use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use essaim::contract::{AskError, Principal};
use essaim::lock::Mutex;
use essaim::{Harness, Stage};
use essaim_catalog_contract::{PricedLine, Refusal, Release, Reserve, ReserveLine, StockRefused, StockReserved};
use essaim_orders_contract::*;
use futures_util::future::join_all;

use crate::{OrdersActor, OrdersSettings};

mod forget;
mod http;
mod orders;
mod saga;
mod waiting;

/// Catalog as its contract describes it, in memory. It does nothing by itself: a test has it catch up with what orders
/// has sent.
#[derive(Clone)]
struct Shop(Arc<Mutex<State>>);

struct State {
    /// Price in cents, currency and stock, by product.
    products: BTreeMap<String, (i64, &'static str, i64)>,
    /// What each order holds; `None` once it was released.
    orders: BTreeMap<String, Option<Vec<ReserveLine>>>,
    /// How many commands of each kind it has done.
    reserved: usize,
    released: usize,
}

impl Shop {
    /// Product 1 costs 1.00 EUR, product 2 2.50 EUR and product 3 3.00 USD; there are ten pieces of each. Product 4
    /// has a price that no total can hold.
    fn open() -> Self {
        let dear = MAX_TOTAL_CENTS / 2 + 1;
        let products = [(1, 100, "EUR"), (2, 250, "EUR"), (3, 300, "USD"), (4, dear, "EUR")];
        let products = products.map(|(n, price, currency)| (id(n), (price, currency, 10))).into();
        Self(Arc::new(Mutex::new(State { products, orders: BTreeMap::new(), reserved: 0, released: 0 })))
    }

    fn stock(&self, n: u32) -> i64 {
        self.0.lock().products[&id(n)].2
    }

    fn set_price(&self, n: u32, cents: i64) {
        self.0.lock().products.get_mut(&id(n)).unwrap().0 = cents;
    }

    /// Carries out the commands that orders has sent since, and delivers the resulting events.
    async fn catch_up(&self, t: &Stage<OrdersActor>) {
        self.reserve_all(t).await;
        self.release_all(t).await;
    }

    async fn reserve_all(&self, t: &Stage<OrdersActor>) {
        let done_before = self.0.lock().reserved;
        for m in t.sent::<Reserve>().await.into_iter().skip(done_before) {
            let (order_id, done) = (m.order_id.clone(), self.0.lock().reserve(&m));
            self.0.lock().reserved += 1;
            match done {
                Ok(lines) => t.deliver(StockReserved { order_id, lines }).await.unwrap(),
                Err(reason) => t.deliver(StockRefused { order_id, reason }).await.unwrap(),
            }
        }
    }

    async fn release_all(&self, t: &Stage<OrdersActor>) {
        let done_before = self.0.lock().released;
        for m in t.sent::<Release>().await.into_iter().skip(done_before) {
            let mut state = self.0.lock();
            state.release(m.order_id);
            state.released += 1;
        }
    }

    /// Catches up again and again while something else goes on.
    async fn beside<T>(&self, t: &Stage<OrdersActor>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.catch_up(t) => {}
            }
        }
    }
}

impl State {
    fn reserve(&mut self, m: &Reserve) -> Result<Vec<PricedLine>, Refusal> {
        match self.orders.get(&m.order_id) {
            Some(None) => return Err(Refusal::Released),
            Some(Some(held)) if *held != m.lines => return Err(Refusal::OtherLines),
            Some(Some(_)) => return Ok(self.priced(&m.lines)),
            None => {}
        }
        let ids = |test: &dyn Fn(&ReserveLine) -> bool| {
            m.lines.iter().filter(|l| test(l)).map(|l| l.product_id.clone()).collect::<Vec<_>>()
        };
        let product_ids = ids(&|l| !self.products.contains_key(&l.product_id));
        if !product_ids.is_empty() {
            return Err(Refusal::UnknownProducts { product_ids });
        }
        let product_ids = ids(&|l| self.products[&l.product_id].2 < l.quantity);
        if !product_ids.is_empty() {
            return Err(Refusal::Insufficient { product_ids });
        }
        for line in &m.lines {
            self.products.get_mut(&line.product_id).unwrap().2 -= line.quantity;
        }
        self.orders.insert(m.order_id.clone(), Some(m.lines.clone()));
        Ok(self.priced(&m.lines))
    }

    fn release(&mut self, order_id: String) {
        for line in self.orders.insert(order_id, None).flatten().into_iter().flatten() {
            self.products.get_mut(&line.product_id).unwrap().2 += line.quantity;
        }
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

/// Settings with which nobody waits, and a repair that a test does not live to see.
fn at_once() -> OrdersSettings {
    OrdersSettings { wait_ms: 0, repair_every_ms: 36_000_000, ..Default::default() }
}

async fn orders_with(settings: OrdersSettings) -> (Stage<OrdersActor>, Shop) {
    let stage = Harness::sqlite().settings(settings).witness::<OrderConfirmed>().witness::<OrderRejected>();
    (stage.witness::<OrderCancelled>().start().await, Shop::open())
}

async fn orders() -> (Stage<OrdersActor>, Shop) {
    orders_with(at_once()).await
}

/// Places an order, lets catalog catch up, and places it again: what the customer is told then.
async fn settled(t: &Stage<OrdersActor>, shop: &Shop, m: PlaceOrder) -> Result<Order, AskError<OrderError>> {
    t.ask_as(ann(), m.clone()).await?;
    shop.catch_up(t).await;
    t.ask_as(ann(), m).await
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
