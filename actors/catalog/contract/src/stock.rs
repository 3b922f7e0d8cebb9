//! How orders take stock and give it back: two commands, and two events with the outcome of the first.

use std::borrow::Cow;
use std::fmt;

use essaim_contract::{Command, Event, Message, message_schema};
use serde::{Deserialize, Serialize};

use crate::Catalog;

/// Takes stock for an order: all lines, or none. Either [`StockReserved`] or [`StockRefused`] follows.
///
/// The answer of the first reservation of an order, yes or no, is the answer of every later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reserve {
    /// The order that takes the stock.
    pub order_id: String,
    /// What it takes: 1 to [`MAX_LINES`](crate::MAX_LINES) lines, each of another product.
    pub lines: Vec<ReserveLine>,
}

/// Pieces of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReserveLine {
    /// The product.
    pub product_id: String,
    /// From 1 to [`MAX_QUANTITY`](crate::MAX_QUANTITY).
    pub quantity: i64,
}

/// Pieces of one product at the price of the moment in which they were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PricedLine {
    /// The product.
    pub product_id: String,
    /// How many pieces.
    pub quantity: i64,
    /// The price of one piece in minor units of `currency`.
    pub unit_price_cents: i64,
    /// The ISO 4217 code of the currency.
    pub currency: String,
}

/// An order has its stock, and holds it until a [`Release`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StockReserved {
    /// The order.
    pub order_id: String,
    /// What it took, in the order of [`Reserve::lines`].
    pub lines: Vec<PricedLine>,
}

/// An order has no stock, and takes none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StockRefused {
    /// The order.
    pub order_id: String,
    /// Why.
    pub reason: Refusal,
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Some products have less stock than was wanted.
    Insufficient {
        /// Those products.
        product_ids: Vec<String>,
    },
    /// Some products do not exist.
    UnknownProducts {
        /// Those ids.
        product_ids: Vec<String>,
    },
    /// The order was released before, so it takes nothing any more.
    Released,
    /// The order reserved other lines before.
    OtherLines,
    /// The lines are not what [`Reserve::lines`] allows.
    Invalid {
        /// What is wrong with them.
        reason: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insufficient { product_ids } => write!(f, "not enough stock of {}", product_ids.join(", ")),
            Self::UnknownProducts { product_ids } => write!(f, "there are no products {}", product_ids.join(", ")),
            Self::Released => f.write_str("the order was released before"),
            Self::OtherLines => f.write_str("the order reserved other lines before"),
            Self::Invalid { reason } => write!(f, "the lines are not valid: {reason}"),
        }
    }
}

/// Gives back what an order took, if it took anything; once, however often it is sent.
///
/// A release that comes before its [`Reserve`] makes that one take nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Release {
    /// The order that gives its stock back.
    pub order_id: String,
}

macro_rules! about_an_order {
    ($message:ty, $name:literal) => {
        impl Message for $message {
            type To = Catalog;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
            const KEY_FIELD: Option<&'static str> = Some("order_id");
            message_schema!();

            /// The order: commands about one order are applied one at a time, in the order in which they were sent.
            fn key(&self) -> Option<Cow<'_, str>> {
                Some(Cow::Borrowed(&self.order_id))
            }
        }
    };
}

about_an_order!(Reserve, "reserve");
impl Command for Reserve {}

about_an_order!(Release, "release");
impl Command for Release {}

about_an_order!(StockReserved, "stock_reserved");
impl Event for StockReserved {}

about_an_order!(StockRefused, "stock_refused");
impl Event for StockRefused {}
