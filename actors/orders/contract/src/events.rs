//! What orders tells others, and itself.

use std::borrow::Cow;

use essaim_contract::{Broadcast, Command, Event, Message, message_schema};
use serde::{Deserialize, Serialize};

use crate::{Orders, Rejection};

/// An order has its stock, at prices that are settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: String,
    /// Whose it is.
    pub customer: String,
    /// The sum of its lines in minor units.
    pub total_cents: i64,
    /// The ISO 4217 code of the currency.
    pub currency: String,
}

/// An order holds no stock and never will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderRejected {
    /// The order.
    pub order_id: String,
    /// Whose it is.
    pub customer: String,
    /// Why.
    pub reason: Rejection,
}

/// An order was taken back, by its customer or with its customer's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderCancelled {
    /// The order.
    pub order_id: String,
    /// Whose it was.
    pub customer: String,
}

macro_rules! about_an_order {
    ($message:ty, $name:literal) => {
        impl Message for $message {
            type To = Orders;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
            const KEY_FIELD: Option<&'static str> = Some("order_id");
            message_schema!();

            /// The order: events of one order are published in the order in which they happened.
            fn key(&self) -> Option<Cow<'_, str>> {
                Some(Cow::Borrowed(&self.order_id))
            }
        }
    };
}

about_an_order!(OrderConfirmed, "confirmed");
impl Event for OrderConfirmed {}

about_an_order!(OrderRejected, "rejected");
impl Event for OrderRejected {}

about_an_order!(OrderCancelled, "cancelled");
impl Event for OrderCancelled {}

/// An order is no longer pending: a broadcast that wakes its waiters in other nodes. Other capabilities subscribe to
/// [`OrderConfirmed`], [`OrderRejected`] and [`OrderCancelled`], which say more and are not lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderSettled {
    /// The order.
    pub order_id: String,
}

about_an_order!(OrderSettled, "settled");
impl Broadcast for OrderSettled {}

/// Makes the orders of a customer who was deleted nobody's. Orders sends it to itself, for what was ordered with an
/// access token that outlived its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ForgetCustomer {
    /// The customer.
    pub customer: String,
}

impl Message for ForgetCustomer {
    type To = Orders;
    const NAME: &'static str = "forget_customer";
    const VERSION: u16 = 1;
    const KEY_FIELD: Option<&'static str> = Some("customer");
    message_schema!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.customer))
    }
}
impl Command for ForgetCustomer {}
