//! Placing an order; `lib.rs` says how it survives a crash.

use essaim_catalog_contract::{PricedLine, Reserve, ReserveError, ReserveLine};
use essaim_orders_contract::{NewLine, Order, OrderError, OrderLine, OrderStatus, PlaceOrder, Rejection};
use essaim_supervisor::contract::AskError;
use essaim_supervisor::{Cx, Fault, Handle, fail, reject};

use crate::repair::give_back;
use crate::{OrdersActor, customer, now_ms, price, store, valid};

impl Handle<PlaceOrder> for OrdersActor {
    async fn handle(&mut self, m: PlaceOrder, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
        let subject = customer(cx)?;
        let lines = valid::lines(&m).map_err(reject)?;
        let order = self.write_down(m, &subject, lines, cx).await?;
        match order.status {
            OrderStatus::Pending => reserve(order, &subject, cx).await,
            _ => answer(order),
        }
    }
}

impl OrdersActor {
    /// Step 1: the order as it is once it is surely written down, new or known.
    async fn write_down(
        &self,
        m: PlaceOrder,
        subject: &str,
        lines: Vec<NewLine>,
        cx: &mut Cx,
    ) -> Result<Order, Fault<OrderError>> {
        let now_ms = now_ms(cx);
        let (body_hash, key) = (valid::hash(&lines), m.idempotency_key.as_deref());
        let repair_after_ms = self.repair_after(now_ms);
        let order = new_order(m.order_id, lines, now_ms);
        let tx = cx.begin().await?;
        let new = store::New { order: &order, subject, idempotency_key: key, body_hash: &body_hash, repair_after_ms };
        if store::insert(&tx, new).await? {
            tx.commit().await?;
            return Ok(order);
        }
        let taken = || fail(format_args!("order {} belongs to another attempt", order.id));
        let known = store::known(&tx, subject, &order.id, key).await?.ok_or_else(taken)?;
        if known.body_hash != body_hash {
            return Err(reject(OrderError::KeyReused));
        }
        let known = known.order;
        if known.status != OrderStatus::Pending {
            return Ok(known);
        }
        // Left half-way by an attempt that is over or still runs: this one goes on with it.
        let still_pending = store::put_off(&tx, &known.id, OrderStatus::Pending, repair_after_ms).await?;
        let known = match still_pending {
            true => known,
            false => store::find(&tx, subject, &known.id).await?.ok_or_else(taken)?.order,
        };
        tx.commit().await?;
        Ok(known)
    }
}

/// What became of the reservation.
struct Outcome {
    order: Order,
    /// Catalog holds stock that the order must not keep.
    holds: bool,
}

/// Steps 2 and 3: reserves the stock of a pending order and writes what became of it.
async fn reserve(order: Order, subject: &str, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
    let line = |l: &OrderLine| ReserveLine { product_id: l.product_id.clone(), quantity: l.quantity };
    let message = Reserve { order_id: order.id.clone(), lines: order.lines.iter().map(line).collect() };
    let rejected = |order: Order, reason: Rejection, holds: bool| {
        let order = Order { status: OrderStatus::Rejected, rejection: Some(reason), ..order };
        Ok(Outcome { order, holds })
    };
    let outcome = match cx.ask(message).await {
        Ok(priced) => match price::total(&priced) {
            Ok((total_cents, currency)) => confirmed(order, priced, total_cents, currency),
            Err(reason) => rejected(order, reason, true),
        },
        Err(AskError::Rejected(ReserveError::Insufficient { product_ids })) => {
            rejected(order, Rejection::InsufficientStock { product_ids }, false)
        }
        Err(AskError::Rejected(ReserveError::UnknownProducts { product_ids })) => {
            rejected(order, Rejection::UnknownProducts { product_ids }, false)
        }
        // Somebody has cancelled the order, or given it up, meanwhile; step 3 finds out who.
        Err(AskError::Rejected(ReserveError::Released)) => rejected(order, Rejection::Abandoned, false),
        Err(AskError::Rejected(error)) => Err(fail(error)),
        Err(error @ (AskError::NotDelivered(_) | AskError::Failed(_))) => {
            tracing::warn!(order = order.id, %error, "no stock could be reserved; the order stays pending");
            Err(reject(OrderError::CatalogUnavailable { order_id: order.id }))
        }
        // The stock may be reserved: the order stays pending, for the next attempt or the repair.
        Err(error @ AskError::Unknown(_)) => Err(error.into()),
    }?;
    settle(outcome, subject, cx).await
}

fn confirmed(
    order: Order,
    priced: Vec<PricedLine>,
    total_cents: i64,
    currency: String,
) -> Result<Outcome, Fault<OrderError>> {
    let same = |(line, priced): (&OrderLine, &PricedLine)| {
        (&line.product_id, line.quantity) == (&priced.product_id, priced.quantity)
    };
    if priced.len() != order.lines.len() || !order.lines.iter().zip(&priced).all(same) {
        return Err(fail("catalog priced other lines than it was asked to"));
    }
    let line = |l: PricedLine| OrderLine {
        product_id: l.product_id,
        quantity: l.quantity,
        unit_price_cents: Some(l.unit_price_cents),
    };
    let order = Order {
        status: OrderStatus::Confirmed,
        lines: priced.into_iter().map(line).collect(),
        total_cents: Some(total_cents),
        currency: Some(currency),
        ..order
    };
    Ok(Outcome { order, holds: false })
}

/// Step 3.
async fn settle(outcome: Outcome, subject: &str, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
    let Outcome { order, holds } = outcome;
    let release_from_ms = holds.then(|| now_ms(cx));
    let tx = cx.begin().await?;
    let decided = store::settle(&tx, &order, release_from_ms).await?;
    let order = match decided {
        true => order,
        // Another attempt, the repair or a cancellation was faster, and sees to the stock.
        false => {
            let gone = || fail(format_args!("order {} is gone", order.id));
            store::find(&tx, subject, &order.id).await?.ok_or_else(gone)?.order
        }
    };
    tx.commit().await?;
    if decided && holds {
        give_back(&order.id, cx).await;
    }
    answer(order)
}

fn new_order(id: String, lines: Vec<NewLine>, created_at_ms: i64) -> Order {
    let line = |NewLine { product_id, quantity }| OrderLine { product_id, quantity, unit_price_cents: None };
    Order {
        id,
        status: OrderStatus::Pending,
        lines: lines.into_iter().map(line).collect(),
        total_cents: None,
        currency: None,
        rejection: None,
        created_at_ms,
    }
}

/// The answer to placing an order that has been decided, now or before.
fn answer(order: Order) -> Result<Order, Fault<OrderError>> {
    match order.rejection {
        Some(reason) => Err(reject(OrderError::Rejected { order_id: order.id, reason })),
        None => Ok(order),
    }
}
