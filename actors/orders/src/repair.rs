//! The repair timer: gives up orders that were not settled in time, and frees keys whose retention is over.

use essaim::{Cx, Fault};
use essaim_catalog_contract::Release;
use essaim_orders_contract::{OrderRejected, OrderStatus, Rejection};

use crate::{OrdersActor, now_ms, store};

/// The name of the timer.
pub(crate) const TIMER: &str = "repair";

impl OrdersActor {
    /// Frees the keys of forgotten customers whose retention is over, rejects pending orders whose time is up, and has
    /// the stock released of other orders that are due: those that an earlier version left half-way.
    ///
    /// Every node runs it, also at the same moment: for each order one of them succeeds, in one transaction.
    pub(crate) async fn repair(&self, cx: &mut Cx) -> Result<(), Fault> {
        let now_ms = now_ms(cx);
        if store::keys::has_expired(cx.db(), now_ms).await? {
            let tx = cx.begin().await?;
            store::keys::free_expired(&tx, now_ms).await?;
            tx.commit().await?;
        }
        for (order_id, status) in store::due(cx.db(), now_ms, u64::from(self.shared.settings.repair_batch)).await? {
            let tx = cx.begin().await?;
            let given_up = match status {
                OrderStatus::Pending => store::abandon(&tx, &order_id, now_ms).await?,
                _ => None,
            };
            let abandoned = given_up.is_some();
            if let Some(customer) = given_up {
                let (order_id, reason) = (order_id.clone(), Rejection::Abandoned);
                tx.publish(OrderRejected { order_id, customer, reason }).await?;
            } else if !store::finish(&tx, &order_id).await? {
                // Another node has done it.
                tx.rollback().await?;
                continue;
            }
            tx.send(Release { order_id: order_id.clone() }).await?;
            tx.commit().await?;
            if abandoned {
                tracing::info!(order = order_id, "an order that was left pending is rejected");
                self.tell(order_id, None, cx);
            }
        }
        Ok(())
    }
}
