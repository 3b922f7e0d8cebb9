//! What a capability's `http.rs` is written with: its routes, strict extractors, and one form for every error.
//!
//! A route takes a [`Caller`] (a [`User`] where one must be logged in) and typed input, asks through [`Caller::client`], and returns its reply or a [`Problem`]:
//!
//! ```ignore
//! /// Reads one product.
//! #[utoipa::path(get, path = "/products/{id}", responses((status = 200, body = Product), (status = 404)))]
//! async fn read(caller: Caller, id: Path<String>) -> Result<Json<Product>, Problem> {
//!     let product = caller.client().ask(GetProduct { id: id.into_inner() }).await;
//!     product.map(Json).map_err(|e| Problem::from_ask(e, |_| Problem::not_found("There is no such product.")))
//! }
//!
//! pub fn routes() -> Routes {
//!     Routes { name: "catalog", configure: |c| { c.get("/products/{id}", read); }, openapi: Doc::openapi }
//! }
//! ```
//!
//! Paths are absolute. The gateway adds to each operation of the document the errors that any operation may end with,
//! and gives every error response without content the content of a [`Problem`], so a capability declares only its own.
//!
//! # Layout
//!
//! - [`Routes`], [`RouteConfig`], [`RouteSet`]: what a capability hands to the gateway.
//! - [`Problem`]: every error, as RFC 9457 problem details.
//! - [`Caller`], [`Edge`]: who calls, and a client that asks on their behalf. [`User`], [`UserWith`]: who is logged in,
//!   and has a role.
//! - [`Json`], [`Path`], [`Query`], [`BodyLimits`]: input that is refused with a problem when it is not as declared.
//! - [`BodyWatch`]: bodies that are refused before they have been sent.
//! - [`Page`], [`Listing`]: lists in pages. [`Timestamp`]: moments. [`whole`]: numbers.
//! - [`text_schema`]: texts in the document whose pattern is made.
//! - [`testing`]: requests to routes in tests, without a gateway.

mod routes;
pub use routes::{RouteConfig, RouteConflict, RouteSet, Routes};

mod problem;
pub use problem::Problem;

mod caller;
pub use caller::{Caller, Edge, RoleName, User, UserWith};

mod body_watch;
pub use body_watch::{BodyWatch, ChunkFault};

mod json;
pub use json::{BodyLimits, Json};

mod params;
pub use params::{Path, Query};

mod page;
pub use page::{Listing, Page};

mod timestamp;
pub use timestamp::Timestamp;

mod text;
pub use text::text_schema;

pub mod testing;

mod wording;

mod whole;
pub use whole::{present_whole, whole};
