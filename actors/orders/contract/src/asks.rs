//! The asks that orders answers. None has a key: a key's instance may be one that waits for an order to be settled.

use std::fmt;

use essaim_contract::{Ask, Message, ask_schemas};
use serde::{Deserialize, Serialize};

use crate::{Order, OrderStatus, Orders, Rejection};

/// Places an order: from the answer on it is surely kept, and its stock is being reserved.
///
/// The answer waits a little (`orders.wait_ms`) for the order to be `confirmed` or rejected; later it comes as it is,
/// `pending`. Asking again with the same `order_id`, or as the same customer with the same `idempotency_key`, gives the same
/// order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlaceOrder {
    /// The id that the order gets unless the key is known already: a new UUID of version 7 of the sender's.
    pub order_id: String,
    /// 1 to [`MAX_LINES`](crate::MAX_LINES) lines; lines of the same product are merged.
    pub lines: Vec<NewLine>,
    /// The customer's own name for this attempt, 1 to [`MAX_KEY_CHARS`](crate::MAX_KEY_CHARS) visible ASCII characters.
    pub idempotency_key: Option<String>,
}

/// Pieces of one product that a customer wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewLine {
    /// The product.
    pub product_id: String,
    /// From 1 to [`MAX_QUANTITY`](crate::MAX_QUANTITY).
    pub quantity: i64,
}

/// Why orders says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderError {
    /// The message came without a principal.
    Unauthenticated,
    /// The customer has no such order.
    NotFound,
    /// A field has a value it may not have.
    Invalid {
        /// The field.
        field: String,
        /// What it may be.
        expected: String,
    },
    /// The idempotency key belongs to an order with other lines, or to one whose customer was deleted.
    KeyReused,
    /// The request that came first with this idempotency key still waits for its answer.
    KeyInUse,
    /// The order is rejected, and stays so.
    Rejected {
        /// The order.
        order_id: String,
        /// Why.
        reason: Rejection,
    },
    /// An order in this state cannot be cancelled.
    NotCancellable {
        /// Its state.
        status: OrderStatus,
    },
    /// The cursor was not made by orders.
    BadCursor,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated => f.write_str("orders are placed and read on behalf of a customer"),
            Self::NotFound => f.write_str("there is no such order"),
            Self::Invalid { field, expected } => write!(f, "`{field}` must be {expected}"),
            Self::KeyReused => f.write_str(
                "the idempotency key belongs to an order with other lines, or to one whose customer was deleted",
            ),
            Self::KeyInUse => f.write_str("the first request with this idempotency key still waits for its answer"),
            Self::Rejected { order_id, reason } => write!(f, "order {order_id} was rejected: {reason}"),
            Self::NotCancellable { status } => write!(f, "a {status} order cannot be cancelled"),
            Self::BadCursor => f.write_str("the cursor is not one that orders made"),
        }
    }
}

impl Message for PlaceOrder {
    type To = Orders;
    const NAME: &'static str = "place";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for PlaceOrder {
    /// The order's id differs from [`PlaceOrder::order_id`] when the idempotency key was known already.
    type Reply = Order;
    type Error = OrderError;
    const IDEMPOTENT: bool = true;
}

/// One of the customer's orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GetOrder {
    /// The order's id.
    pub id: String,
}

impl Message for GetOrder {
    type To = Orders;
    const NAME: &'static str = "get";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for GetOrder {
    type Reply = Order;
    type Error = OrderError;
    const IDEMPOTENT: bool = true;
}

/// The customer's orders, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ListOrders {
    /// At most this many, from 1 to [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
    /// [`OrderPage::next`] of the page before; `None` for the first page.
    pub cursor: Option<String>,
}

/// Some of a customer's orders, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderPage {
    /// The orders.
    pub items: Vec<Order>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

impl Message for ListOrders {
    type To = Orders;
    const NAME: &'static str = "list";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for ListOrders {
    type Reply = OrderPage;
    type Error = OrderError;
    const IDEMPOTENT: bool = true;
}

/// Cancels one of the customer's orders; its stock goes back soon. Cancelling it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CancelOrder {
    /// The order's id.
    pub id: String,
}

impl Message for CancelOrder {
    type To = Orders;
    const NAME: &'static str = "cancel";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for CancelOrder {
    type Reply = Order;
    type Error = OrderError;
    const IDEMPOTENT: bool = true;
}
