//! Products.

use std::borrow::Cow;
use std::fmt;

use essaim_contract::{Ask, Message, ask_schemas};
use serde::{Deserialize, Serialize};

use crate::Catalog;

/// A product with the stock it has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Product {
    /// What may be cached.
    pub description: Description,
    /// Pieces that can be ordered now.
    pub stock: i64,
}

/// A product without its stock; it may be cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Description {
    /// The product's id, a UUID.
    pub id: String,
    /// The stock-keeping unit, unique among all products.
    pub sku: String,
    /// What people call it.
    pub name: String,
    /// The price of one piece in minor units of `currency`.
    pub price_cents: i64,
    /// The ISO 4217 code of the currency.
    pub currency: String,
    /// When the product was created, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// Some products, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProductPage {
    /// The products.
    pub items: Vec<Product>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// Why catalog says no to an ask about products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CatalogError {
    /// There is no such product.
    NotFound,
    /// Another product has this stock-keeping unit.
    SkuTaken {
        /// The unit that both want.
        sku: String,
    },
    /// A field has a value it may not have.
    Invalid {
        /// The field.
        field: String,
        /// What it may be.
        expected: String,
    },
    /// The cursor was not made by catalog.
    BadCursor,
    /// The sender does not have the role [`ADMIN`](crate::ADMIN).
    Forbidden,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such product"),
            Self::SkuTaken { sku } => write!(f, "another product has the sku `{sku}`"),
            Self::Invalid { field, expected } => write!(f, "`{field}` must be {expected}"),
            Self::BadCursor => f.write_str("the cursor is not one that catalog made"),
            Self::Forbidden => f.write_str("only an admin may change the catalogue"),
        }
    }
}

/// The products, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ListProducts {
    /// At most this many, from 1 to [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
    /// [`ProductPage::next`] of the page before; `None` for the first page.
    pub cursor: Option<String>,
}

impl Message for ListProducts {
    type To = Catalog;
    const NAME: &'static str = "list";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for ListProducts {
    type Reply = ProductPage;
    type Error = CatalogError;
    const IDEMPOTENT: bool = true;
}

/// A product with the stock it has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GetProduct {
    /// The product's id.
    pub id: String,
}

impl GetProduct {
    /// The namespace of the near cache in which the one host of a SQLite catalogue keeps whole products by id, as they
    /// are shown. Each change of a product outdates its entry before it can be seen, its stock included, so an entry is
    /// exact there; elsewhere nobody outdates it and nobody may read it.
    pub const NEAR: &'static str = "catalog.product";
}

impl Message for GetProduct {
    type To = Catalog;
    const NAME: &'static str = "get";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for GetProduct {
    type Reply = Product;
    type Error = CatalogError;
    const IDEMPOTENT: bool = true;
}

/// A product without its stock: what a cache may keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Describe {
    /// The product's id.
    pub id: String,
}

impl Describe {
    /// The namespace of the near cache in which descriptions are kept by product id, each as JSON of [`Description`].
    /// Catalog invalidates the entry after each change.
    pub const NEAR: &'static str = "catalog.description";
}

impl Message for Describe {
    type To = Catalog;
    const NAME: &'static str = "describe";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for Describe {
    type Reply = Description;
    type Error = CatalogError;
    const IDEMPOTENT: bool = true;
}

/// The stock of a product now, in pieces; never from a cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GetStock {
    /// The product's id.
    pub id: String,
}

impl Message for GetStock {
    type To = Catalog;
    const NAME: &'static str = "get_stock";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for GetStock {
    type Reply = i64;
    type Error = CatalogError;
    const IDEMPOTENT: bool = true;
}

/// Adds a product. For admins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CreateProduct {
    /// The id that the product gets, a new UUID of the sender's: creating it again with the same id is harmless.
    pub id: String,
    /// The stock-keeping unit: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
    pub sku: String,
    /// 1 to 200 characters without control characters, the first not white space.
    pub name: String,
    /// From 0 to [`MAX_PRICE_CENTS`](crate::MAX_PRICE_CENTS).
    pub price_cents: i64,
    /// Three upper-case letters.
    pub currency: String,
    /// From 0 to [`MAX_STOCK`](crate::MAX_STOCK).
    pub stock: i64,
}

impl Message for CreateProduct {
    type To = Catalog;
    const NAME: &'static str = "create";
    const VERSION: u16 = 1;
    ask_schemas!();
}
impl Ask for CreateProduct {
    type Reply = Product;
    type Error = CatalogError;
    const IDEMPOTENT: bool = true;
}

/// Changes a product's description; what is `None` stays as it is. For admins.
///
/// Orders that are placed already keep the price they were placed at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UpdateProduct {
    /// The product's id.
    pub id: String,
    /// As in [`CreateProduct::sku`].
    pub sku: Option<String>,
    /// As in [`CreateProduct::name`].
    pub name: Option<String>,
    /// As in [`CreateProduct::price_cents`].
    pub price_cents: Option<i64>,
    /// As in [`CreateProduct::currency`].
    pub currency: Option<String>,
}

impl Message for UpdateProduct {
    type To = Catalog;
    const NAME: &'static str = "update";
    const VERSION: u16 = 1;
    const KEY_FIELD: Option<&'static str> = Some("id");
    ask_schemas!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.id))
    }
}
impl Ask for UpdateProduct {
    type Reply = Product;
    type Error = CatalogError;
    const IDEMPOTENT: bool = true;
}

/// Sets what can be ordered of a product, beside what orders hold already. For admins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SetStock {
    /// The product's id.
    pub id: String,
    /// From 0 to [`MAX_STOCK`](crate::MAX_STOCK).
    pub stock: i64,
}

impl Message for SetStock {
    type To = Catalog;
    const NAME: &'static str = "set_stock";
    const VERSION: u16 = 1;
    const KEY_FIELD: Option<&'static str> = Some("id");
    ask_schemas!();

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.id))
    }
}
impl Ask for SetStock {
    type Reply = Product;
    type Error = CatalogError;
    // Not idempotent: an attempt that is repeated late would undo what orders took in between.
    const IDEMPOTENT: bool = false;
}
