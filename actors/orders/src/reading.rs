//! Reading orders.

use essaim::{Cx, Fault, Handle, reject};
use essaim_orders_contract::{GetOrder, ListOrders, MAX_PAGE, Order, OrderError, OrderPage};

use crate::{OrdersActor, customer, store, valid};

impl Handle<GetOrder> for OrdersActor {
    async fn handle(&mut self, m: GetOrder, cx: &mut Cx) -> Result<Order, Fault<OrderError>> {
        let found = store::find(cx.db(), &customer(cx)?, &m.id).await?;
        found.map(|f| f.order).ok_or_else(|| reject(OrderError::NotFound))
    }
}

impl Handle<ListOrders> for OrdersActor {
    async fn handle(&mut self, m: ListOrders, cx: &mut Cx) -> Result<OrderPage, Fault<OrderError>> {
        valid::cursor(m.cursor.as_deref()).map_err(reject)?;
        let limit = m.limit.clamp(1, MAX_PAGE) as usize;
        // One more than wanted tells whether there is a next page.
        let mut items = store::page(cx.db(), &customer(cx)?, limit as u64 + 1, m.cursor.as_deref()).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|order| order.id.clone());
        Ok(OrderPage { items, next })
    }
}
