//! What others may say to `catalog`: products with their prices, and the stock that orders take from.
//!
//! A product's *description* (everything but its stock) changes seldom and may be cached; its stock only where it is
//! exact ([`GetProduct::NEAR`]), and the price at which an order takes it never.
//!
//! # Layout
//!
//! - [`Product`], [`Description`] and the asks about them: [`ListProducts`], [`GetProduct`], [`Describe`],
//!   [`GetStock`], [`CreateProduct`], [`UpdateProduct`], [`SetStock`].
//! - [`Reserve`] and [`Release`], commands: how orders take stock and give it back. [`StockReserved`] and
//!   [`StockRefused`], events: the outcome of a reservation.

use essaim_contract::Capability;

mod products;
pub use products::{
    CatalogError, CreateProduct, Describe, Description, GetProduct, GetStock, ListProducts, Product, ProductPage,
    SetStock, UpdateProduct,
};

mod stock;
pub use stock::{PricedLine, Refusal, Release, Reserve, ReserveLine, StockRefused, StockReserved};

/// The capability that owns products and stock. It asks nobody.
pub struct Catalog;

impl Capability for Catalog {
    const NAME: &'static str = "catalog";
}

/// The role that may change products and stock.
pub const ADMIN: &str = "admin";
/// The highest price, in minor units of the currency: a thousand million of the major unit where it has hundredths.
pub const MAX_PRICE_CENTS: i64 = 100_000_000_000;
/// The largest stock of one product.
pub const MAX_STOCK: i64 = 1_000_000_000;
/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// The longest stock-keeping unit, in characters.
pub const MAX_SKU_CHARS: usize = 64;
/// The most products on one page.
pub const MAX_PAGE: u32 = 100;
/// The most lines of one reservation.
pub const MAX_LINES: usize = 100;
/// The largest quantity of one line: what a hundred lines of an order come to when they are of one product.
pub const MAX_QUANTITY: i64 = 100_000_000;
