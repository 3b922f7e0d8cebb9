//! `orders`: placing, reading and cancelling orders.
//!
//! # How an order survives a crash
//!
//! An order and its stock are in two databases, and asks wait outside transactions. So placing has three steps, each of
//! which may be the last before a crash: (1) the order is written as `pending`; (2) catalog is asked to reserve under
//! the order's id; (3) the order is `confirmed` with its prices, or `rejected`. Cancelling has two: (1) the order is
//! `cancelled`; (2) catalog is asked to release.
//!
//! What keeps stock from leaking is that whatever is unfinished is written down first. Each order has a moment after
//! which the repair looks at it, and none once nothing is left to do:
//!
//! - a `pending` order is given up then: it is `rejected`, and its stock is released. Its customer never got an answer,
//!   or got one that said that the outcome was not known; to confirm it hours later, at prices of which nobody was
//!   told, would be worse than to end it. A customer who does want it sends it again with the same idempotency key
//!   while it is pending, and the attempt goes on from step 2;
//! - a `rejected` or `cancelled` order with such a moment may still hold stock: it is released until catalog has said
//!   that it did.
//!
//! An order leaves `pending` by a compare-and-set on its status, so of a late attempt, a repeated one, the repair and a
//! cancellation in several nodes one decides. Whoever loses reads what was decided. Reserving after a release takes
//! nothing, since catalog remembers both by the order's id.
//!
//! # Layout
//!
//! - [`OrdersActor`], [`OrdersSettings`]: the actor. `place`, `cancel`, `reading`: its handlers; `repair`: its timer.
//! - `valid`: what an order may be; `price`: what it costs; `store`: the table.
//! - [`http`]: the routes.

use std::time::Duration;

use essaim_catalog_contract::Catalog;
use essaim_orders_contract::{CancelOrder, GetOrder, ListOrders, OrderError, Orders, PlaceOrder};
use essaim_supervisor::config::ConfigError;
use essaim_supervisor::contract::Capability;
use essaim_supervisor::store::Schema;
use essaim_supervisor::{Actor, Cx, Fault, Handles, Start, StartError, reject};
use serde::{Deserialize, Serialize};

pub mod http;

mod cancel;
mod place;
mod price;
mod reading;
mod repair;
mod store;
mod valid;

#[cfg(test)]
mod tests;

/// `[orders]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersSettings {
    /// How long after an order's last attempt the repair leaves it alone, in milliseconds. Longer than an ask may take
    /// (`ask.timeout_ms`), or the repair rejects orders that are being placed.
    pub repair_after_ms: u64,
    /// How often each node looks for orders to repair, in milliseconds.
    pub repair_every_ms: u64,
    /// The most orders that are repaired in one go.
    pub repair_batch: u32,
}

impl Default for OrdersSettings {
    fn default() -> Self {
        Self { repair_after_ms: 15_000, repair_every_ms: 5_000, repair_batch: 100 }
    }
}

/// Answers for [`Orders`].
pub struct OrdersActor {
    settings: OrdersSettings,
}

impl Actor for OrdersActor {
    type Capability = Orders;
    type Settings = OrdersSettings;
    type Shared = OrdersSettings;

    const ASKS: &'static [&'static str] = &[Catalog::NAME];

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    fn check(settings: &OrdersSettings) -> Result<(), ConfigError> {
        match settings.repair_every_ms == 0 || settings.repair_batch == 0 {
            true => Err(ConfigError::new("orders.repair_every_ms and orders.repair_batch must be at least 1")),
            false => Ok(()),
        }
    }

    async fn share(settings: OrdersSettings, start: &mut Start) -> Result<OrdersSettings, StartError> {
        start.every(repair::TIMER, Duration::from_millis(settings.repair_every_ms));
        Ok(settings)
    }

    async fn start(settings: &OrdersSettings, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { settings: settings.clone() })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<PlaceOrder>().ask::<CancelOrder>().ask::<GetOrder>().ask::<ListOrders>();
    }

    async fn tick(&mut self, _: &'static str, cx: &mut Cx) -> Result<(), Fault> {
        self.repair(cx).await
    }
}

impl OrdersActor {
    /// The moment after which the repair looks at an order that is being worked on now.
    fn repair_after(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add_unsigned(self.settings.repair_after_ms)
    }
}

/// The customer on whose behalf the message was sent.
fn customer(cx: &Cx) -> Result<String, Fault<OrderError>> {
    cx.principal().map(|p| p.subject.clone()).ok_or_else(|| reject(OrderError::Unauthenticated))
}

/// The wall clock in milliseconds since 1970, as the database keeps it.
fn now_ms(cx: &Cx) -> i64 {
    i64::try_from(cx.now_ms()).unwrap_or(i64::MAX)
}
