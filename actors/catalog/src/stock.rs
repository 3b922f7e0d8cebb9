//! How orders take stock and give it back.

use essaim_catalog_contract::{PricedLine, Release, Reserve, ReserveError};
use essaim_supervisor::{Cx, Fault, Handle, reject};

use crate::store::{self, Held};
use crate::{CatalogActor, valid};

impl Handle<Reserve> for CatalogActor {
    async fn handle(&mut self, m: Reserve, cx: &mut Cx) -> Result<Vec<PricedLine>, Fault<ReserveError>> {
        valid::lines(&m.lines).map_err(reject)?;
        let Reserve { order_id, lines } = m;
        let now_ms = crate::ms(cx.env().wall());
        let tx = cx.begin().await?;
        let refusal = match store::hold(&tx, &order_id, &lines, now_ms).await? {
            Held::Taken(priced) => {
                tx.commit().await?;
                return Ok(priced);
            }
            Held::Known => None,
            Held::Short(error) => Some(error),
        };
        tx.rollback().await?;
        // A refusal is remembered as well: two attempts for one order must not end differently, since what the later
        // one took would belong to an order that is rejected.
        let tx = cx.begin().await?;
        let answer = store::refuse(&tx, &order_id, &lines, refusal.as_ref(), now_ms).await?;
        tx.commit().await?;
        answer.map_err(reject)
    }
}

impl Handle<Release> for CatalogActor {
    async fn handle(&mut self, m: Release, cx: &mut Cx) -> Result<(), Fault> {
        let now_ms = crate::ms(cx.env().wall());
        let tx = cx.begin().await?;
        store::release(&tx, &m.order_id, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}
