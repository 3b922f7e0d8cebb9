//! The routes of catalog.
//!
//! The stock that `GET /products/{id}` shows is never older than a change that was answered before the request. Where this
//! node is the one host of a SQLite catalogue, the whole product is in its near cache, and every transaction that changes
//! it outdates it there until the outcome is certain. Anywhere else the description comes from the near cache and the
//! stock is asked for each time: there a changed name or price shows as soon as the invalidation arrives, at the latest
//! after `near.ttl_ms`. Lists are read from the database.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use bytes::Bytes;
use essaim::contract::AskError;
use essaim_catalog_contract::{
    ADMIN, Catalog, CatalogError, CreateProduct, Describe, Description, GetProduct, GetStock, ListProducts,
    MAX_NAME_CHARS, SetStock, UpdateProduct,
};
use essaim_http::{
    Caller, Json, Listing, Page, Path, Problem, RoleName, RouteConfig, Routes, Timestamp, UserWith, present_whole,
    text_schema, whole,
};
use essaim_text::visible;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::Object;
use utoipa::{OpenApi, ToSchema};

/// The routes of catalog.
pub fn routes() -> Routes {
    Routes { name: "catalog", configure, openapi: Doc::openapi }
}

fn configure(config: &mut RouteConfig) {
    config
        .get("/products", list)
        .post("/products", create)
        .get("/products/{id}", read)
        .patch("/products/{id}", change)
        .put("/products/{id}/stock", set_stock);
}

#[derive(OpenApi)]
#[openapi(
    paths(list, create, read, change, set_stock),
    components(schemas(Product, NewProduct, ProductChange, StockLevel, Listing<Product>))
)]
struct Doc;

/// Who may change the catalogue.
struct Admin;

impl RoleName for Admin {
    const NAME: &'static str = ADMIN;
}

/// A product.
#[derive(Debug, Serialize, ToSchema)]
struct Product {
    /// The product's id.
    #[schema(format = "uuid")]
    id: String,
    /// The stock-keeping unit, unique among all products.
    sku: String,
    /// What people call it.
    name: String,
    /// The price of one piece in minor units of the currency.
    #[schema(minimum = 0)]
    price_cents: i64,
    /// The ISO 4217 code of the currency.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
    /// Pieces that can be ordered now.
    #[schema(minimum = 0)]
    stock: i64,
    /// When the product was created.
    created_at: Timestamp,
}

fn name() -> Object {
    let description = "What people call it, without control characters and not beginning with white space; something in \
                       it can be seen.";
    text_schema(description, visible::title_pattern(), MAX_NAME_CHARS, "Acacia honey, 500 g")
}

/// A product to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProduct {
    /// The stock-keeping unit, unique among all products.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "HONEY-500")]
    sku: String,
    /// What people call it.
    #[schema(schema_with = name)]
    name: String,
    /// The price of one piece in minor units of the currency.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 100_000_000_000_i64, example = 1190)]
    price_cents: i64,
    /// The ISO 4217 code of the currency.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: String,
    /// Pieces that can be ordered.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 1_000_000_000_i64, example = 200)]
    stock: i64,
}

/// What should change; what is absent stays as it is. Orders that are placed keep their price.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProductChange {
    /// The stock-keeping unit, unique among all products.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    sku: Option<String>,
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = name)]
    name: Option<String>,
    /// The price of one piece in minor units of the currency.
    #[serde(default, deserialize_with = "present_whole")]
    #[schema(nullable = false, minimum = 0, maximum = 100_000_000_000_i64)]
    price_cents: Option<i64>,
    /// The ISO 4217 code of the currency.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
}

/// How much there is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StockLevel {
    /// Pieces that can be ordered, beside what orders hold already.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 1_000_000_000_i64, example = 50)]
    stock: i64,
}

/// A field that may be absent and must not be `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Lists products, oldest first.
#[utoipa::path(
    get, path = "/products", params(Page),
    responses((status = 200, description = "A page of products", body = Listing<Product>))
)]
async fn list(caller: Caller, page: Page) -> Result<Json<Listing<Product>>, Problem> {
    let message = ListProducts { limit: page.limit()?, cursor: page.cursor };
    let found = caller.client().ask(message).await.map_err(problem)?;
    let items = found.items.into_iter().map(Into::into).collect();
    Ok(Json(Listing { items, next_cursor: found.next }))
}

/// Reads one product: its stock as it is now, its description from a cache that changes invalidate.
#[utoipa::path(
    get, path = "/products/{id}", params(("id" = String, Path, format = "uuid", description = "The product's id")),
    responses(
        (status = 200, description = "The product", body = Product),
        (status = 404, description = "There is no such product")
    )
)]
async fn read(caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (client, id) = (caller.client(), id.into_inner());
    let document = match client.is_sole_host_of::<Catalog>() {
        true => {
            let load =
                async { json(&Product::from(client.ask(GetProduct { id: id.clone() }).await.map_err(problem)?)) };
            client.near().get_with(GetProduct::NEAR, &id, load).await?
        }
        false => {
            let load = async { json(&client.ask(Describe { id: id.clone() }).await.map_err(problem)?) };
            let description = client.near().get_with(Describe::NEAR, &id, load).await?;
            let description = serde_json::from_slice(&description).map_err(|e| Problem::internal(e.to_string()))?;
            json(&Product::of(description, client.ask(GetStock { id }).await.map_err(problem)?))?
        }
    };
    Ok(HttpResponse::Ok().content_type("application/json").body(document))
}

fn json(value: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| Problem::internal(e.to_string()))
}

/// Adds a product. For admins.
#[utoipa::path(
    post, path = "/products", request_body = NewProduct, security(("bearer" = [])),
    responses(
        (status = 201, description = "The product that was added", body = Product,
            headers(("Location" = String, description = "The product's path"))),
        (status = 403, description = "The caller is no admin"),
        (status = 409, description = "Another product has the sku")
    )
)]
async fn create(caller: UserWith<Admin>, body: Json<NewProduct>) -> Result<HttpResponse, Problem> {
    let NewProduct { sku, name, price_cents, currency, stock } = body.into_inner();
    let id = caller.client().env().id().to_string();
    let message = CreateProduct { id, sku, name, price_cents, currency, stock };
    let product: Product = caller.client().ask(message).await.map_err(problem)?.into();
    let location = format!("/products/{}", product.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(product))
}

/// Changes a product. For admins.
#[utoipa::path(
    patch, path = "/products/{id}", params(("id" = String, Path, format = "uuid", description = "The product's id")),
    request_body = ProductChange, security(("bearer" = [])),
    responses(
        (status = 200, description = "The product as it is now", body = Product),
        (status = 403, description = "The caller is no admin"),
        (status = 404, description = "There is no such product"),
        (status = 409, description = "Another product has the sku")
    )
)]
async fn change(
    caller: UserWith<Admin>,
    id: Path<String>,
    body: Json<ProductChange>,
) -> Result<Json<Product>, Problem> {
    let (id, ProductChange { sku, name, price_cents, currency }) = (id.into_inner(), body.into_inner());
    let message = UpdateProduct { id: id.clone(), sku, name, price_cents, currency };
    let changed = caller.client().ask(message).await;
    // Catalog invalidates the entry in every node, but this node may hear of it after the answer: the next read here
    // should find what was just written.
    caller.client().near().invalidate(Describe::NEAR, &id);
    Ok(Json(changed.map_err(problem)?.into()))
}

/// Sets a product's stock. For admins.
#[utoipa::path(
    put, path = "/products/{id}/stock",
    params(("id" = String, Path, format = "uuid", description = "The product's id")),
    request_body = StockLevel, security(("bearer" = [])),
    responses(
        (status = 200, description = "The product as it is now", body = Product),
        (status = 403, description = "The caller is no admin"),
        (status = 404, description = "There is no such product")
    )
)]
async fn set_stock(
    caller: UserWith<Admin>,
    id: Path<String>,
    body: Json<StockLevel>,
) -> Result<Json<Product>, Problem> {
    let message = SetStock { id: id.into_inner(), stock: body.stock };
    Ok(Json(caller.client().ask(message).await.map_err(problem)?.into()))
}

fn problem(error: AskError<CatalogError>) -> Problem {
    Problem::from_ask(error, |error| match error {
        CatalogError::NotFound => Problem::not_found("There is no such product."),
        CatalogError::SkuTaken { sku } => {
            Problem::new(StatusCode::CONFLICT, "sku-taken", "Another product has this stock-keeping unit")
                .detail(format!("The sku `{sku}` belongs to another product."))
        }
        CatalogError::Invalid { field, expected } => Problem::unprocessable(format!("`{field}` must be {expected}.")),
        CatalogError::BadCursor => Problem::bad_request("`cursor` is not one of ours."),
        CatalogError::Forbidden => Problem::forbidden(format!("This needs the role `{ADMIN}`.")),
    })
}

impl Product {
    fn of(description: Description, stock: i64) -> Self {
        let Description { id, sku, name, price_cents, currency, created_at_ms } = description;
        Self { id, sku, name, price_cents, currency, stock, created_at: Timestamp(created_at_ms) }
    }
}

impl From<essaim_catalog_contract::Product> for Product {
    fn from(product: essaim_catalog_contract::Product) -> Self {
        Self::of(product.description, product.stock)
    }
}
