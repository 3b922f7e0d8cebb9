//! Cancelling an order; `lib.rs` has the whole way of an order.

use essaim::{Cx, Fault, Handle, reject};
use essaim_catalog_contract::Release;
use essaim_orders_contract::{CancelOrder, Order, OrderCancelled, OrderError, OrderStatus};

use crate::{OrdersActor, customer, store};

impl Handle<CancelOrder> for OrdersActor {
    async fn handle(&mut self, m: CancelOrder, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
        let customer = customer(cx)?;
        let tx = cx.begin().await?;
        let cancelled = store::cancel(&tx, &customer, &m.id).await?;
        let found = store::find(&tx, &customer, &m.id).await?;
        let order = found.ok_or_else(|| reject(OrderError::NotFound))?.order;
        if cancelled {
            // Behind the reservation, also one that is still on its way: both have the order's key, so catalog applies
            // them in order.
            tx.send(Release { order_id: m.id.clone() }).await?;
            tx.publish(OrderCancelled { order_id: m.id.clone(), customer }).await?;
        }
        tx.commit().await?;
        if cancelled {
            self.tell(m.id, Some(&order), cx);
        }
        match order.status {
            OrderStatus::Cancelled => Ok(order),
            status => Err(reject(OrderError::NotCancellable { status })),
        }
    }
}
