//! What is left of the orders of a customer who was deleted.
//!
//! What was sold stays on record, without its customer: the order is nobody's, and its idempotency key is gone. What was
//! not sold yet is cancelled, since nobody is left to want it.

use std::time::Duration;

use essaim_catalog_contract::Release;
use essaim_orders_contract::{ForgetCustomer, OrderCancelled};
use essaim_supervisor::store::Tx;
use essaim_supervisor::{Apply, Cx, Fault, SendOptions};
use essaim_users_contract::UserDeleted;

use crate::{OrdersActor, store};

impl Apply<UserDeleted> for OrdersActor {
    async fn apply(&mut self, m: UserDeleted, cx: &mut Cx) -> Result<(), Fault<String>> {
        let again = Duration::from_millis(self.shared.settings.forget_again_ms);
        let tx = cx.begin().await?;
        let cancelled = forget(&tx, &m.user_id).await?;
        // For orders that are placed from now on with an access token that is still valid.
        tx.send_with(ForgetCustomer { customer: m.user_id }, SendOptions::new().after(again)).await?;
        tx.commit().await?;
        cancelled.into_iter().for_each(|order_id| self.tell(true, order_id, cx));
        Ok(())
    }
}

impl Apply<ForgetCustomer> for OrdersActor {
    async fn apply(&mut self, m: ForgetCustomer, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        let cancelled = forget(&tx, &m.customer).await?;
        tx.commit().await?;
        cancelled.into_iter().for_each(|order_id| self.tell(true, order_id, cx));
        Ok(())
    }
}

/// Makes a customer's orders nobody's; those that were pending are cancelled, and returned.
async fn forget(tx: &Tx<'_>, customer: &str) -> Result<Vec<String>, Fault<String>> {
    let cancelled = store::cancel_pending(tx, customer).await?;
    for order_id in &cancelled {
        tx.send(Release { order_id: order_id.clone() }).await?;
        tx.publish(OrderCancelled { order_id: order_id.clone(), customer: customer.into() }).await?;
    }
    store::anonymize(tx, customer).await?;
    Ok(cancelled)
}
