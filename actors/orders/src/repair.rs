//! Finishing what a crash, or an answer that did not come, left undone; `lib.rs` says why this is enough.

use essaim_catalog_contract::Release;
use essaim_orders_contract::OrderStatus;
use essaim_supervisor::contract::{AskError, Never};
use essaim_supervisor::{Cx, Fault};

use crate::{OrdersActor, now_ms, store};

/// The name of the timer.
pub(crate) const TIMER: &str = "repair";

impl OrdersActor {
    /// Rejects pending orders whose time is up, and releases the stock of orders that must not hold any.
    ///
    /// Every node does so, and may do the same at once: each step is harmless when it is repeated.
    pub(crate) async fn repair(&self, cx: &mut Cx) -> Result<(), Fault> {
        let now_ms = now_ms(cx);
        for (id, status) in store::due(cx.db(), now_ms, u64::from(self.settings.repair_batch)).await? {
            if status == OrderStatus::Pending {
                let tx = cx.begin().await?;
                let given_up = store::abandon(&tx, &id, now_ms).await?;
                tx.commit().await?;
                if !given_up {
                    continue;
                }
                tracing::info!(order = id, "an order that was left pending is rejected");
            }
            match release(&id, cx).await {
                Ok(()) => {}
                // The others would fare no better; the next round comes soon.
                Err(AskError::NotDelivered(error)) => {
                    tracing::warn!(%error, "stock cannot be released now; trying again");
                    return Ok(());
                }
                // Others come first in the next rounds, or one that always fails would hold them up.
                Err(error) => {
                    tracing::warn!(order = id, %error, "an order's stock was not released; trying again");
                    let later = self.repair_after(now_ms);
                    let status = if status == OrderStatus::Pending { OrderStatus::Rejected } else { status };
                    let tx = cx.begin().await?;
                    store::put_off(&tx, &id, status, later).await?;
                    tx.commit().await?;
                }
            }
        }
        Ok(())
    }
}

/// Releases an order's stock now if that can be done; otherwise the repair does it.
pub(crate) async fn give_back(id: &str, cx: &mut Cx) {
    if let Err(error) = release(id, cx).await {
        tracing::info!(order = id, %error, "the order's stock is not released yet; the repair will ask again");
    }
}

/// Asks catalog to release an order's stock, and notes that it did.
async fn release(id: &str, cx: &mut Cx) -> Result<(), AskError<Never>> {
    // Half of the time that is left: whoever waits for this handler gets an answer even if catalog gives none.
    let limit = cx.deadline().saturating_duration_since(cx.env().now()) / 2;
    cx.ask_within(Release { order_id: id.into() }, limit).await?;
    let noted = async {
        let tx = cx.begin().await?;
        store::released(&tx, id).await?;
        tx.commit().await?;
        Ok::<_, Fault>(())
    };
    if let Err(fault) = noted.await {
        tracing::warn!(
            order = id,
            ?fault,
            "the order's stock is released, and that could not be noted; the repair will"
        );
    }
    Ok(())
}
