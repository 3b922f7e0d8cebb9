//! Cancelling an order; `lib.rs` says how it survives a crash.

use essaim_orders_contract::{CancelOrder, Order, OrderError, OrderStatus};
use essaim_supervisor::{Cx, Fault, Handle, reject};

use crate::repair::give_back;
use crate::{OrdersActor, customer, now_ms, store};

impl Handle<CancelOrder> for OrdersActor {
    async fn handle(&mut self, m: CancelOrder, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
        let subject = customer(cx)?;
        let now_ms = now_ms(cx);
        let tx = cx.begin().await?;
        store::cancel(&tx, &subject, &m.id, now_ms).await?;
        let found = store::find(&tx, &subject, &m.id).await?;
        tx.commit().await?;
        let found = found.ok_or_else(|| reject(OrderError::NotFound))?;
        let status = found.order.status;
        if status != OrderStatus::Cancelled {
            return Err(reject(OrderError::NotCancellable { status }));
        }
        if found.unfinished {
            // From here on the order is cancelled, whether catalog answers now or the repair has to ask again.
            give_back(&m.id, cx).await;
        }
        Ok(found.order)
    }
}
