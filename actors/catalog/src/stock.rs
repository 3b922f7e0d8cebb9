//! How orders take stock and give it back.

use essaim::{Apply, Cx, Fault};
use essaim_catalog_contract::{Release, Reserve, StockRefused, StockReserved};

use crate::store::{self, Held};
use crate::{CatalogActor, valid};

impl Apply<Reserve> for CatalogActor {
    async fn apply(&mut self, m: Reserve, cx: &mut Cx) -> Result<(), Fault<String>> {
        let Reserve { order_id, lines } = m;
        let now_ms = crate::ms(cx.env().wall());
        let refusal = match valid::lines(&lines) {
            Ok(()) => {
                let tx = cx.begin().await?;
                match store::hold(&tx, &order_id, &lines, now_ms).await? {
                    Held::Taken(lines) => {
                        tx.publish(StockReserved { order_id, lines }).await?;
                        return Ok(tx.commit().await?);
                    }
                    Held::Known => tx.rollback().await.map(|()| None),
                    Held::Short(refusal) => tx.rollback().await.map(|()| Some(refusal)),
                }?
            }
            Err(refusal) => Some(refusal),
        };
        // A refusal is remembered as well: two reservations for one order must not end differently, since what the later
        // one took would belong to an order that is rejected.
        let tx = cx.begin().await?;
        match store::refuse(&tx, &order_id, &lines, refusal.as_ref(), now_ms).await? {
            Ok(lines) => tx.publish(StockReserved { order_id, lines }).await?,
            Err(reason) => tx.publish(StockRefused { order_id, reason }).await?,
        };
        Ok(tx.commit().await?)
    }
}

impl Apply<Release> for CatalogActor {
    async fn apply(&mut self, m: Release, cx: &mut Cx) -> Result<(), Fault<String>> {
        let now_ms = crate::ms(cx.env().wall());
        let tx = cx.begin().await?;
        store::release(&tx, &m.order_id, now_ms).await?;
        Ok(tx.commit().await?)
    }
}
