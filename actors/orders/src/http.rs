//! The routes of orders. Every one of them is the caller's own: another customer's order does not exist.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use essaim::contract::AskError;
use essaim_http::{Json, Listing, Page, Path, Problem, RouteConfig, Routes, Timestamp, User, whole};
use essaim_orders_contract as contract;
use essaim_orders_contract::{
    CancelOrder, GetOrder, ListOrders, MAX_KEY_CHARS, OrderError, OrderStatus, PlaceOrder, Rejection,
};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

/// The routes of orders.
pub fn routes() -> Routes {
    Routes { name: "orders", configure, openapi: Doc::openapi }
}

fn configure(config: &mut RouteConfig) {
    config.post("/orders", place).get("/orders", list).get("/orders/{id}", read).post("/orders/{id}/cancel", cancel);
}

#[derive(OpenApi)]
#[openapi(
    paths(place, list, read, cancel),
    components(schemas(Order, OrderLine, OrderStatus, NewOrder, NewOrderLine, Listing<Order>))
)]
struct Doc;

/// The header that names an attempt to place an order.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// An order.
#[derive(Debug, Serialize, ToSchema)]
struct Order {
    /// The order's id.
    #[schema(format = "uuid")]
    id: String,
    /// How far it has come.
    status: OrderStatus,
    /// What was ordered; lines of one product are merged.
    lines: Vec<OrderLine>,
    /// The sum of all lines in minor units of the currency; `null` until stock was reserved.
    #[schema(required, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    total_cents: Option<i64>,
    /// The ISO 4217 code of the currency; `null` until stock was reserved.
    #[schema(required, pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// Why it was rejected; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejection: Option<String>,
    /// When it was placed.
    created_at: Timestamp,
}

/// Pieces of one product.
#[derive(Debug, Serialize, ToSchema)]
struct OrderLine {
    /// The product.
    #[schema(format = "uuid")]
    product_id: String,
    /// How many pieces.
    #[schema(minimum = 1, maximum = 100_000_000)]
    quantity: i64,
    /// The price of one piece when the order was placed, in minor units; `null` until stock was reserved.
    #[schema(required, minimum = 0)]
    unit_price_cents: Option<i64>,
}

/// An order to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    /// What to order. Lines of one product are merged.
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<NewOrderLine>,
}

/// Pieces of one product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrderLine {
    /// The product.
    #[schema(format = "uuid", pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    product_id: String,
    /// How many pieces.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1_000_000, example = 2)]
    quantity: i64,
}

/// Places an order: its stock is reserved, at the prices of that moment.
///
/// Most orders are confirmed at once. One that is not is answered as `pending`: it is surely placed, and becomes
/// `confirmed` or `rejected` by itself; read it to see which. One that nobody can decide for long is rejected, and holds no
/// stock then.
///
/// With an `Idempotency-Key` the request can be repeated, such as after 503 or 504: the same key with the same lines gives
/// the same order, with status 200 if it was placed before; an order that was rejected stays rejected. While the first
/// request still waits for its answer a repeated one is a 409 with `Retry-After`, and the same key with other lines is a 422, as
/// the IETF's draft of the header has it. Keys are each customer's own and are kept with their orders.
#[utoipa::path(
    post, path = "/orders", request_body = NewOrder, security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        nullable = false, description = "The customer's own name for this attempt")),
    responses(
        (status = 200, description = "The order that was placed with this key before, as it is now", body = Order),
        (status = 201, description = "The order that was placed: `confirmed`, or `pending` if that takes longer", body = Order,
            headers(("Location" = String, description = "The order's path"))),
        (status = 409, description = "What is on sale stands against it: not enough stock, an unknown product, products \
            in different currencies, or a total that is too large; the detail says which. Or the order of this key was \
            given up before it could be decided. Or the first request with this key still waits for its answer \
            (`idempotency-key-in-use`): send it again after `Retry-After`"),
        (status = 422, description = "The document is not as described. Or the key came with other lines before \
            (`idempotency-key-reused`)"),
        (status = 503, description = "Not available at the moment; nothing was ordered")
    )
)]
async fn place(caller: User, request: HttpRequest, body: Json<NewOrder>) -> Result<HttpResponse, Problem> {
    let idempotency_key = key(request.headers())?;
    let line = |l: NewOrderLine| contract::NewLine { product_id: l.product_id, quantity: l.quantity };
    let lines = body.into_inner().lines.into_iter().map(line).collect();
    // The id is made here, so that the bus may repeat the ask without placing a second order.
    let order_id = caller.client().env().id().to_string();
    let message = PlaceOrder { order_id: order_id.clone(), lines, idempotency_key };
    let order: Order = caller.client().ask(message).await.map_err(problem)?.into();
    let mut response = if order.id == order_id { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.insert_header((LOCATION, format!("/orders/{}", order.id))).json(order))
}

/// Lists the caller's orders, newest first.
#[utoipa::path(
    get, path = "/orders", params(Page), security(("bearer" = [])),
    responses((status = 200, description = "A page of the caller's orders", body = Listing<Order>))
)]
async fn list(caller: User, page: Page) -> Result<Json<Listing<Order>>, Problem> {
    let message = ListOrders { limit: page.limit()?, cursor: page.cursor };
    let found = caller.client().ask(message).await.map_err(problem)?;
    let items = found.items.into_iter().map(Into::into).collect();
    Ok(Json(Listing { items, next_cursor: found.next }))
}

/// Reads one of the caller's orders.
#[utoipa::path(
    get, path = "/orders/{id}", params(("id" = String, Path, format = "uuid", description = "The order's id")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 404, description = "The caller has no such order")
    )
)]
async fn read(caller: User, id: Path<String>) -> Result<Json<Order>, Problem> {
    let order = caller.client().ask(GetOrder { id: id.into_inner() }).await;
    Ok(Json(order.map_err(problem)?.into()))
}

/// Cancels one of the caller's orders; its stock goes back soon. Cancelling it again changes nothing.
#[utoipa::path(
    post, path = "/orders/{id}/cancel",
    params(("id" = String, Path, format = "uuid", description = "The order's id")), security(("bearer" = [])),
    responses(
        (status = 200, description = "The order, which is cancelled", body = Order),
        (status = 404, description = "The caller has no such order"),
        (status = 409, description = "The order was rejected, so there is nothing to cancel")
    )
)]
async fn cancel(caller: User, id: Path<String>) -> Result<Json<Order>, Problem> {
    let order = caller.client().ask(CancelOrder { id: id.into_inner() }).await;
    Ok(Json(order.map_err(problem)?.into()))
}

/// The idempotency key, if one came with the request.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits = (1..=MAX_KEY_CHARS).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if fits && values.next().is_none() => Ok(Some(key.into())),
        _ => Err(Problem::bad_request(format!(
            "`{IDEMPOTENCY_KEY}` comes once and has 1 to {MAX_KEY_CHARS} visible ASCII characters."
        ))),
    }
}

fn problem(error: AskError<OrderError>) -> Problem {
    Problem::from_ask(error, |error| match error {
        OrderError::Unauthenticated => Problem::unauthorized("Log in and send the access token."),
        OrderError::NotFound => Problem::not_found("There is no such order."),
        OrderError::Invalid { field, expected } => Problem::unprocessable(format!("`{field}` must be {expected}.")),
        OrderError::KeyReused => {
            let title = "The idempotency key belongs to another order";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title)
                .detail(format!("This `{IDEMPOTENCY_KEY}` came with other lines before; take a new one."))
        }
        OrderError::KeyInUse => {
            let title = "The first request with this idempotency key is under way";
            Problem::new(StatusCode::CONFLICT, "idempotency-key-in-use", title)
                .detail("It still waits for its answer. Send this one again in a moment: it gets the same order.")
                .retry_after(1)
        }
        OrderError::Rejected { order_id, reason } => rejected(&order_id, &reason),
        OrderError::NotCancellable { status } => {
            Problem::new(StatusCode::CONFLICT, "not-cancellable", "The order cannot be cancelled")
                .detail(format!("The order is {status}."))
        }
        OrderError::BadCursor => Problem::bad_request("`cursor` is not one of ours."),
    })
}

/// An order that was rejected, as an error of placing it. The same lines may be fine tomorrow: what is on sale stands
/// against them, so it is a conflict.
fn rejected(order_id: &str, reason: &Rejection) -> Problem {
    let title = match reason {
        Rejection::InsufficientStock { .. } => "There is not enough stock",
        Rejection::Abandoned => "The order was given up",
        Rejection::UnknownProducts { .. } => "Some products do not exist",
        Rejection::MixedCurrencies => "An order has one currency",
        Rejection::TotalTooLarge => "The total is too large",
    };
    Problem::new(StatusCode::CONFLICT, slug(reason), title).detail(format!("Order {order_id} was rejected: {reason}."))
}

fn slug(reason: &Rejection) -> &'static str {
    match reason {
        Rejection::InsufficientStock { .. } => "insufficient-stock",
        Rejection::UnknownProducts { .. } => "unknown-products",
        Rejection::MixedCurrencies => "mixed-currencies",
        Rejection::TotalTooLarge => "total-too-large",
        Rejection::Abandoned => "order-abandoned",
    }
}

impl From<contract::Order> for Order {
    fn from(order: contract::Order) -> Self {
        let line = |l: contract::OrderLine| OrderLine {
            product_id: l.product_id,
            quantity: l.quantity,
            unit_price_cents: l.unit_price_cents,
        };
        Self {
            id: order.id,
            status: order.status,
            lines: order.lines.into_iter().map(line).collect(),
            total_cents: order.total_cents,
            currency: order.currency,
            rejection: order.rejection.map(|reason| reason.to_string()),
            created_at: Timestamp(order.created_at_ms),
        }
    }
}
