//! What an order is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Order {
    /// The order's id, a UUID that sorts by creation time.
    pub id: String,
    /// How far it has come.
    pub status: OrderStatus,
    /// What was ordered, in the order in which the customer named it.
    pub lines: Vec<OrderLine>,
    /// The sum of all lines in minor units; `None` until stock was reserved.
    pub total_cents: Option<i64>,
    /// The ISO 4217 code of the currency of all prices; `None` until stock was reserved.
    pub currency: Option<String>,
    /// Why it was rejected, if it was.
    pub rejection: Option<Rejection>,
    /// When it was placed, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// Pieces of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// The product.
    pub product_id: String,
    /// How many pieces.
    pub quantity: i64,
    /// The price of one piece in minor units when the order was placed; `None` until stock was reserved.
    pub unit_price_cents: Option<i64>,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Its stock is being reserved. It becomes `confirmed` or `rejected` in the end, also after crashes.
    Pending,
    /// Its stock is reserved at the prices it shows.
    Confirmed,
    /// It holds no stock and never will.
    Rejected,
    /// The customer took it back; its stock goes back too.
    Cancelled,
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Why an order was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Some products had less stock than was wanted.
    InsufficientStock {
        /// Those products.
        product_ids: Vec<String>,
    },
    /// Some products do not exist.
    UnknownProducts {
        /// Those ids.
        product_ids: Vec<String>,
    },
    /// The products' prices are in different currencies.
    MixedCurrencies,
    /// The total is more than [`MAX_TOTAL_CENTS`](crate::MAX_TOTAL_CENTS).
    TotalTooLarge,
    /// Nobody could tell in time whether its stock can be had.
    Abandoned,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsufficientStock { product_ids } => write!(f, "not enough stock of {}", product_ids.join(", ")),
            Self::UnknownProducts { product_ids } => write!(f, "there are no products {}", product_ids.join(", ")),
            Self::MixedCurrencies => f.write_str("the products' prices are in different currencies"),
            Self::TotalTooLarge => write!(f, "the total is more than {}", crate::MAX_TOTAL_CENTS),
            Self::Abandoned => f.write_str("stock could not be reserved in time"),
        }
    }
}
