//! What others may say to `orders`.
//!
//! Every ask is made on behalf of a principal, whose subject is the customer: an order is its customer's alone, and to
//! anybody else it does not exist.
//!
//! # Layout
//!
//! - [`Order`], [`OrderLine`], [`OrderStatus`], [`Rejection`]: what an order is.
//! - [`PlaceOrder`], [`GetOrder`], [`ListOrders`], [`CancelOrder`]: the asks, and [`OrderError`], their one error.
//! - [`OrderConfirmed`], [`OrderRejected`], [`OrderCancelled`]: what others may want to hear.
//! - [`OrderSettled`], [`ForgetCustomer`]: what orders says to itself.

use essaim_contract::Capability;

mod asks;
pub use asks::{CancelOrder, GetOrder, ListOrders, NewLine, OrderError, OrderPage, PlaceOrder};

mod events;
pub use events::{ForgetCustomer, OrderCancelled, OrderConfirmed, OrderRejected, OrderSettled};

mod order;
pub use order::{Order, OrderLine, OrderStatus, Rejection};

/// The capability that owns orders. It asks nobody: what it wants of `catalog` it sends as commands.
pub struct Orders;

impl Capability for Orders {
    const NAME: &'static str = "orders";
}

/// The most lines of one order.
pub const MAX_LINES: usize = 100;
/// The largest quantity of one line. Lines of the same product are merged, so an order has at most [`MAX_LINES`] times as
/// many pieces of it.
pub const MAX_QUANTITY: i64 = 1_000_000;
/// The highest total, in minor units: the largest integer that every JSON reader keeps exactly.
pub const MAX_TOTAL_CENTS: i64 = 9_007_199_254_740_991;
/// The longest idempotency key, in characters.
pub const MAX_KEY_CHARS: usize = 255;
/// The most orders on one page.
pub const MAX_PAGE: u32 = 100;
