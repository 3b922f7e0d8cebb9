//! Placing an order: writing it down with the command that reserves its stock, and waiting a little until it is
//! settled. `lib.rs` has the steps that follow.

use std::time::Duration;

use essaim::{Cx, Fault, Handle, fail, reject};
use essaim_catalog_contract::{Reserve, ReserveLine};
use essaim_orders_contract::{NewLine, Order, OrderError, OrderLine, OrderStatus, PlaceOrder};

use crate::waiting::Waiter;
use crate::{OrdersActor, OrdersShared, customer, now_ms, store, valid};

impl Handle<PlaceOrder> for OrdersActor {
    async fn handle(&mut self, m: PlaceOrder, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
        let subject = customer(cx)?;
        let lines = valid::lines(&m).map_err(reject)?;
        let shared = self.shared.clone();
        let (order, waiter) = write_down(&shared, m, &subject, lines, cx).await?;
        let order = match waiter.filter(|_| order.status == OrderStatus::Pending) {
            Some(waiter) => match waiter.wait(shared.patience(cx)).await {
                Some(settled) => settled,
                // An order that cannot be read now is answered as it was written: placed.
                None => {
                    let now = store::find(cx.db(), &subject, &order.id).await.ok().flatten();
                    now.map_or(order, |found| found.order)
                }
            },
            None => order,
        };
        answer(order)
    }
}

impl OrdersShared {
    /// How long the asker of this handler is kept waiting, so that there is time left to answer.
    fn patience(&self, cx: &Cx) -> Duration {
        let left = cx.deadline().saturating_duration_since(cx.env().now());
        Duration::from_millis(self.settings.wait_ms).min(left * 3 / 4)
    }

    /// Begins to wait for an order, if it is waited for at all.
    fn join(&self, order_id: &str) -> Option<Waiter<'_>> {
        if self.settings.wait_ms == 0 { None } else { self.waiting.join(order_id) }
    }
}

/// The order, new or known, once it is surely written down; and a waiter for it, if one may wait.
async fn write_down<'a>(
    shared: &'a OrdersShared,
    m: PlaceOrder,
    subject: &str,
    lines: Vec<NewLine>,
    cx: &mut Cx,
) -> Result<(Order, Option<Waiter<'a>>), Fault<OrderError>> {
    let now_ms = now_ms(cx);
    let (body_hash, key) = (valid::hash(&lines), m.idempotency_key.as_deref());
    let due_ms = now_ms.saturating_add_unsigned(shared.settings.pending_timeout_ms);
    let order = new_order(m.order_id, lines, now_ms);
    // Before the commit: from then on the order may be settled at any moment.
    let waiter = shared.join(&order.id);
    let patience_ms = shared.patience(cx).as_millis() as u64;
    let answer_by_ms = waiter.as_ref().map(|_| now_ms.saturating_add_unsigned(patience_ms));
    let tx = cx.begin().await?;
    let new = store::New { order: &order, subject, idempotency_key: key, body_hash: &body_hash, due_ms, answer_by_ms };
    if store::insert(&tx, new).await? {
        tx.send(reserve(&order)).await?;
        tx.commit().await?;
        return Ok((order, waiter));
    }
    drop(waiter);
    let taken = || fail(format_args!("order {} belongs to another attempt", order.id));
    let known = store::known(&tx, subject, &order.id, key).await?;
    if let (None, Some(key)) = (&known, key)
        && store::keys::is_forgotten(&tx, subject, key).await?
    {
        tx.rollback().await?;
        return Err(reject(OrderError::KeyReused));
    }
    let known = known.ok_or_else(taken)?;
    tx.rollback().await?;
    if known.body_hash != body_hash {
        return Err(reject(OrderError::KeyReused));
    }
    if known.order.status != OrderStatus::Pending {
        return Ok((known.order, None));
    }
    // An ask that the bus repeats is the same request, and has the same id.
    if known.order.id != order.id && known.answer_by_ms.is_some_and(|by| now_ms < by) {
        return Err(reject(OrderError::KeyInUse));
    }
    // The order may have been settled before this waiter joined, and that is reported only once.
    let waiter = shared.join(&known.order.id);
    let found = store::find(cx.db(), subject, &known.order.id).await?.ok_or_else(taken)?;
    Ok((found.order, waiter))
}

fn reserve(order: &Order) -> Reserve {
    let line = |l: &OrderLine| ReserveLine { product_id: l.product_id.clone(), quantity: l.quantity };
    Reserve { order_id: order.id.clone(), lines: order.lines.iter().map(line).collect() }
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

/// The answer to placing an order, as it is now.
fn answer(order: Order) -> Result<Order, Fault<OrderError>> {
    match order.rejection {
        Some(reason) => Err(reject(OrderError::Rejected { order_id: order.id, reason })),
        None => Ok(order),
    }
}
