//! `orders`: placing, reading and cancelling orders.
//!
//! # How an order goes its way
//!
//! An order and its stock are in two databases. So an order is a saga of steps, each of which is one transaction with the
//! messages that cause the next one: (1) `PlaceOrder` writes the order as `pending` and sends `Reserve` to catalog; (2)
//! catalog takes the stock, or does not, and publishes `StockReserved` or `StockRefused`; (3) orders makes the order
//! `confirmed` with its prices, or `rejected`. Each step happens once, also when processes crash: the message that
//! causes it is stored with what was decided before, and comes again until it is applied.
//!
//! Stock that an order does not keep goes back by `Release`, sent in the transaction that decides so: by a cancellation, by
//! the repair, which gives up orders that nobody could decide in time, by a price that an order cannot have, and by
//! `StockReserved` for an order that is no longer pending. An order leaves `pending` by a compare-and-set on its status, so
//! of several who decide at once, in several nodes, one does. `docs/orders.md` has it step by step.
//!
//! `PlaceOrder` waits a little after step 1, so that most customers are told `confirmed` at once (`waiting`).
//!
//! # Layout
//!
//! - [`OrdersActor`], [`OrdersSettings`], [`OrdersShared`]: the actor. `place`, `cancel`, `reading`: its asks;
//!   `settle`, `forget`: the events that it subscribes to; `repair`: its timer; `waiting`: the waiters for orders.
//! - `valid`: what an order may be; `price`: what it costs; `store`: the table.
//! - [`http`]: the routes.

use std::sync::Arc;
use std::time::Duration;

use essaim::config::ConfigError;
use essaim::store::Schema;
use essaim::{Actor, Cx, Fault, Handles, Start, StartError, reject};
use essaim_catalog_contract::{StockRefused, StockReserved};
use essaim_orders_contract::{
    CancelOrder, ForgetCustomer, GetOrder, ListOrders, OrderError, OrderSettled, Orders, PlaceOrder,
};
use essaim_users_contract::UserDeleted;
use serde::{Deserialize, Serialize};

pub mod http;

mod cancel;
mod forget;
mod place;
mod price;
mod reading;
mod repair;
mod settle;
mod store;
mod valid;
mod waiting;

#[cfg(test)]
mod tests;

/// `[orders]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersSettings {
    /// How long placing an order waits for it to be confirmed or rejected before it is answered as pending, in
    /// milliseconds; never beyond three quarters of the time that the ask has left. 0: it does not wait.
    pub wait_ms: u64,
    /// How many wait so at a time in one node, each in an instance; never more than half of the instances, since those
    /// confirm the orders. Further ones are answered as pending at once.
    pub waiting_most: usize,
    /// How long an order may be pending before it is given up, in milliseconds: for that long catalog may be away.
    pub pending_timeout_ms: u64,
    /// How often each node looks for orders to give up, in milliseconds.
    pub repair_every_ms: u64,
    /// The most orders that are given up in one go.
    pub repair_batch: u32,
    /// How long after a user was deleted the user's orders are forgotten once more, in milliseconds. Longer than an access
    /// token is valid (`auth.access_token_seconds`): until then the user may still order.
    pub forget_again_ms: u64,
    /// How long the idempotency keys of a user who was deleted stay taken, in hours: longer than an attempt can be on its
    /// way.
    pub key_retention_hours: u64,
}

impl Default for OrdersSettings {
    fn default() -> Self {
        Self {
            wait_ms: 2_000,
            waiting_most: 16,
            pending_timeout_ms: 900_000,
            repair_every_ms: 5_000,
            repair_batch: 100,
            forget_again_ms: 3_600_000,
            key_retention_hours: 168,
        }
    }
}

/// What the instances of one node share.
#[derive(Debug)]
pub struct OrdersShared {
    settings: OrdersSettings,
    waiting: Arc<waiting::Waiting>,
}

/// Answers for [`Orders`].
pub struct OrdersActor {
    shared: Arc<OrdersShared>,
    _counted: waiting::Counted,
}

impl Actor for OrdersActor {
    type Capability = Orders;
    type Settings = OrdersSettings;
    type Shared = Arc<OrdersShared>;

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    fn check(settings: &OrdersSettings) -> Result<(), ConfigError> {
        match settings.repair_every_ms == 0 || settings.repair_batch == 0 {
            true => Err(ConfigError::new("orders.repair_every_ms and orders.repair_batch must be at least 1")),
            false => Ok(()),
        }
    }

    async fn share(settings: OrdersSettings, start: &mut Start) -> Result<Arc<OrdersShared>, StartError> {
        start.every(repair::TIMER, Duration::from_millis(settings.repair_every_ms));
        let waiting = waiting::Waiting::at_most(settings.waiting_most);
        Ok(Arc::new(OrdersShared { settings, waiting }))
    }

    async fn start(shared: &Arc<OrdersShared>, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { shared: shared.clone(), _counted: shared.waiting.count() })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<PlaceOrder>().ask::<CancelOrder>().ask::<GetOrder>().ask::<ListOrders>();
        h.event::<StockReserved>().event::<StockRefused>().broadcast::<OrderSettled>();
        h.event::<UserDeleted>().command::<ForgetCustomer>();
    }

    async fn tick(&mut self, _: &'static str, cx: &mut Cx) -> Result<(), Fault> {
        self.repair(cx).await
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
