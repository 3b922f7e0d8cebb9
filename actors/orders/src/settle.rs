//! Settling an order once catalog has reserved its stock, or refused to; `lib.rs` has all steps of an order.

use essaim::store::Tx;
use essaim::{Apply, Cx, Fault, Hear, reject};
use essaim_catalog_contract::{PricedLine, Refusal, Release, StockRefused, StockReserved};
use essaim_orders_contract::{Order, OrderConfirmed, OrderLine, OrderRejected, OrderSettled, OrderStatus, Rejection};

use crate::store::Stored;
use crate::{OrdersActor, price, store};

impl Apply<StockReserved> for OrdersActor {
    async fn apply(&mut self, m: StockReserved, cx: &mut Cx) -> Result<(), Fault<String>> {
        let StockReserved { order_id, lines } = m;
        let tx = cx.begin().await?;
        let settled = match store::of_any(&tx, &order_id).await? {
            Some(found) if found.order.status == OrderStatus::Pending => {
                let order = priced(found.order.clone(), lines)?;
                settle(&tx, &found, order).await?
            }
            _ => None,
        };
        let status = match &settled {
            Some(order) => Some(order.status),
            // Given up or cancelled meanwhile, or this event is a repetition.
            None => store::status(&tx, &order_id).await?,
        };
        // Stock that was taken for an order that does not keep it is given back here and nowhere else.
        if status != Some(OrderStatus::Confirmed) {
            tx.send(Release { order_id: order_id.clone() }).await?;
        }
        tx.commit().await?;
        if let Some(order) = settled {
            self.tell(order_id, Some(&order), cx);
        }
        Ok(())
    }
}

impl Apply<StockRefused> for OrdersActor {
    async fn apply(&mut self, m: StockRefused, cx: &mut Cx) -> Result<(), Fault<String>> {
        let StockRefused { order_id, reason } = m;
        let tx = cx.begin().await?;
        let settled = match store::of_any(&tx, &order_id).await? {
            Some(found) if found.order.status == OrderStatus::Pending => {
                let order = rejected(found.order.clone(), rejection(reason)?);
                settle(&tx, &found, order).await?
            }
            _ => None,
        };
        tx.commit().await?;
        if let Some(order) = settled {
            self.tell(order_id, Some(&order), cx);
        }
        Ok(())
    }
}

impl Hear<OrderSettled> for OrdersActor {
    async fn hear(&mut self, m: OrderSettled, _: &mut Cx) {
        self.shared.waiting.settled(&m.order_id, None);
    }
}

impl OrdersActor {
    /// Wakes the waiters of a settled order, with the order if it is known: in this node or, if there are none here, in all nodes.
    pub(crate) fn tell(&self, order_id: String, order: Option<&Order>, cx: &Cx) {
        if self.shared.settings.wait_ms > 0 && !self.shared.waiting.settled(&order_id, order) {
            cx.broadcast(OrderSettled { order_id });
        }
    }
}

/// Settles a pending order and publishes the event; the order then. `None`, and nothing is changed, if it is not pending any
/// more.
async fn settle(tx: &Tx<'_>, found: &Stored, order: Order) -> Result<Option<Order>, Fault<String>> {
    if !store::settle(tx, &order).await? {
        return Ok(None);
    }
    let (order_id, customer) = (order.id.clone(), found.subject.clone());
    match (order.rejection.clone(), order.total_cents.zip(order.currency.clone())) {
        (Some(reason), _) => tx.publish(OrderRejected { order_id, customer, reason }).await.map(drop)?,
        (None, Some((total_cents, currency))) => {
            tx.publish(OrderConfirmed { order_id, customer, total_cents, currency }).await.map(drop)?;
        }
        (None, None) => {}
    }
    Ok(Some(order))
}

/// The order with its prices: confirmed, or rejected for them.
fn priced(order: Order, priced: Vec<PricedLine>) -> Result<Order, Fault<String>> {
    let same = |(line, priced): (&OrderLine, &PricedLine)| {
        (&line.product_id, line.quantity) == (&priced.product_id, priced.quantity)
    };
    if priced.len() != order.lines.len() || !order.lines.iter().zip(&priced).all(same) {
        return Err(reject(format!("catalog priced other lines than those of order {}", order.id)));
    }
    let (total_cents, currency) = match price::total(&priced) {
        Ok(total) => total,
        Err(reason) => return Ok(rejected(order, reason)),
    };
    let line = |l: PricedLine| OrderLine {
        product_id: l.product_id,
        quantity: l.quantity,
        unit_price_cents: Some(l.unit_price_cents),
    };
    Ok(Order {
        status: OrderStatus::Confirmed,
        lines: priced.into_iter().map(line).collect(),
        total_cents: Some(total_cents),
        currency: Some(currency),
        ..order
    })
}

fn rejected(order: Order, reason: Rejection) -> Order {
    Order { status: OrderStatus::Rejected, rejection: Some(reason), ..order }
}

/// Why an order is rejected that catalog refused. A refusal that orders cannot have caused is an error, and so a dead
/// letter for an operator; the order is given up in time.
fn rejection(refusal: Refusal) -> Result<Rejection, Fault<String>> {
    match refusal {
        Refusal::Insufficient { product_ids } => Ok(Rejection::InsufficientStock { product_ids }),
        Refusal::UnknownProducts { product_ids } => Ok(Rejection::UnknownProducts { product_ids }),
        Refusal::Released => Ok(Rejection::Abandoned),
        Refusal::OtherLines | Refusal::Invalid { .. } => Err(reject(refusal.to_string())),
    }
}
