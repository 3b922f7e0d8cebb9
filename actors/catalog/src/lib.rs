//! `catalog`: products with their prices, and the stock that orders take from.
//!
//! Stock never goes negative and never oversells: it is only ever taken by a conditional update, all lines of an order
//! in one transaction. What an order took is a row keyed by the order's id, so that taking and giving back can be said
//! any number of times, in any order: a dead letter that is tried again may come late.
//!
//! # Layout
//!
//! - [`CatalogActor`], [`CatalogSettings`]: the actor; its handlers are in `products` and `stock`.
//! - `valid`: what the fields of a product may be; `store`: the tables; `demo`: a few products to start with.
//! - [`http`]: the routes.

use std::time::Duration;

use essaim::store::Schema;
use essaim::{Actor, Handles, Start, StartError};
use essaim_catalog_contract::{
    Catalog, CreateProduct, Describe, GetProduct, GetStock, ListProducts, Release, Reserve, SetStock, UpdateProduct,
};
use serde::{Deserialize, Serialize};

pub mod http;

mod demo;
mod products;
mod stock;
mod store;
mod valid;

#[cfg(test)]
mod tests;

/// `[catalog]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSettings {
    /// Begin with a few products for demonstration when there are none at all.
    pub demo: bool,
}

/// Answers for [`Catalog`].
pub struct CatalogActor;

impl Actor for CatalogActor {
    type Capability = Catalog;
    type Settings = CatalogSettings;
    type Shared = ();

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    async fn share(settings: CatalogSettings, start: &mut Start) -> Result<(), StartError> {
        if settings.demo {
            let now_ms = ms(start.env().wall());
            let products = demo::products(start.env());
            let tx = start.begin().await?;
            let inserted = store::fill(&tx, products, now_ms).await?;
            tx.commit().await?;
            if inserted > 0 {
                tracing::info!(products = inserted, "the catalogue begins with products for demonstration");
            }
        }
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<ListProducts>().ask::<GetProduct>().ask::<Describe>().ask::<GetStock>();
        h.ask::<CreateProduct>().ask::<UpdateProduct>().ask::<SetStock>();
        h.command::<Reserve>().command::<Release>();
    }
}

/// A moment in milliseconds since 1970, as the database keeps it.
fn ms(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
