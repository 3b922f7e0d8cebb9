//! The tables of catalog. Nothing outside this module knows a column.
//!
//! # Layout
//!
//! - `products`: products and their stock; `reservations`: what orders took; `migrations`: how the tables came to be.

mod migrations;
pub(crate) use migrations::schema;

mod products;
pub(crate) use products::{describe, fill, find, insert, page, set_stock, stock, update};

mod reservations;
pub(crate) use reservations::{Held, hold, refuse, release};
