//! Forgetting a customer who was deleted.
//!
//! Confirmed orders stay on record without their customer: the order is nobody's, and of its idempotency key only a
//! hash is left, for a while (`store::keys`). Pending orders are cancelled, since nobody is left to want them.

use std::time::Duration;

use essaim::store::Tx;
use essaim::{Apply, Cx, Fault, SendOptions};
use essaim_catalog_contract::Release;
use essaim_orders_contract::{ForgetCustomer, OrderCancelled};
use essaim_users_contract::UserDeleted;

use crate::{OrdersActor, now_ms, store};

impl Apply<UserDeleted> for OrdersActor {
    async fn apply(&mut self, m: UserDeleted, cx: &mut Cx) -> Result<(), Fault<String>> {
        let again = Duration::from_millis(self.shared.settings.forget_again_ms);
        let key_until_ms = self.key_until_ms(cx);
        let tx = cx.begin().await?;
        let cancelled = forget(&tx, &m.user_id, key_until_ms).await?;
        // For orders that are placed from now on with an access token that is still valid.
        tx.send_with(ForgetCustomer { customer: m.user_id }, SendOptions::new().after(again)).await?;
        tx.commit().await?;
        cancelled.into_iter().for_each(|order_id| self.tell(order_id, None, cx));
        Ok(())
    }
}

impl Apply<ForgetCustomer> for OrdersActor {
    async fn apply(&mut self, m: ForgetCustomer, cx: &mut Cx) -> Result<(), Fault<String>> {
        let key_until_ms = self.key_until_ms(cx);
        let tx = cx.begin().await?;
        let cancelled = forget(&tx, &m.customer, key_until_ms).await?;
        tx.commit().await?;
        cancelled.into_iter().for_each(|order_id| self.tell(order_id, None, cx));
        Ok(())
    }
}

impl OrdersActor {
    /// Until when the keys of a customer who is forgotten now stay taken.
    fn key_until_ms(&self, cx: &Cx) -> i64 {
        let retention = Duration::from_hours(self.shared.settings.key_retention_hours);
        now_ms(cx).saturating_add(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Makes a customer's orders nobody's; those that were pending are cancelled, and returned.
async fn forget(tx: &Tx<'_>, customer: &str, key_until_ms: i64) -> Result<Vec<String>, Fault<String>> {
    let cancelled = store::cancel_pending(tx, customer).await?;
    for order_id in &cancelled {
        tx.send(Release { order_id: order_id.clone() }).await?;
        tx.publish(OrderCancelled { order_id: order_id.clone(), customer: customer.into() }).await?;
    }
    store::anonymize(tx, customer, key_until_ms).await?;
    Ok(cancelled)
}
