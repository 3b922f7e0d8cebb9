//! How orders take stock and give it back.

use std::borrow::Cow;
use std::fmt;

use essaim_contract::{Ask, Message, Never};
use serde::{Deserialize, Serialize};

use crate::Catalog;

/// Takes stock for an order: all lines, or none.
///
/// Idempotent by order id: the answer of the first attempt, yes or no, is the answer of every later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// The order that takes the stock.
    pub order_id: String,
    /// What it takes: 1 to [`MAX_LINES`](crate::MAX_LINES) lines, each of another product.
    pub lines: Vec<ReserveLine>,
}

/// Pieces of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveLine {
    /// The product.
    pub product_id: String,
    /// From 1 to [`MAX_QUANTITY`](crate::MAX_QUANTITY).
    pub quantity: i64,
}

/// Pieces of one product at the price of the moment in which they were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReserveError {
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

impl fmt::Display for ReserveError {
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

impl Message for Reserve {
    type To = Catalog;
    const NAME: &'static str = "reserve";
    const VERSION: u16 = 1;

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.order_id))
    }
}
impl Ask for Reserve {
    /// In the order of [`Reserve::lines`].
    type Reply = Vec<PricedLine>;
    type Error = ReserveError;
    const IDEMPOTENT: bool = true;
}

/// Gives back what an order took, if it took anything; once, however often it is asked.
///
/// A release that comes before its [`Reserve`] makes that one take nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The order that gives its stock back.
    pub order_id: String,
}

impl Message for Release {
    type To = Catalog;
    const NAME: &'static str = "release";
    const VERSION: u16 = 1;

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.order_id))
    }
}
impl Ask for Release {
    type Reply = ();
    type Error = Never;
    const IDEMPOTENT: bool = true;
}
