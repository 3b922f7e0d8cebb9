//! Waiters of this node for orders to be settled.
//!
//! The handler that places an order waits a little until it is settled, and holds its instance meanwhile. Handlers in
//! other instances, of this node or another, settle the order and wake the waiter. So that there are always instances
//! for that, only `orders.waiting_most` may wait at a time; further orders are answered at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use essaim::lock::{Mutex, MutexGuard};
use essaim_orders_contract::Order;
use tokio::sync::oneshot;

/// The orders of this node that have waiters.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    most: usize,
    /// How many instances there are now.
    instances: AtomicUsize,
    /// Bounded by `most`.
    orders: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    waiters: usize,
    by_id: HashMap<String, Vec<oneshot::Sender<Option<Order>>>>,
}

/// Guard: one waiter for an order, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    waiting: &'a Waiting,
    order_id: String,
    settled: oneshot::Receiver<Option<Order>>,
}

/// Guard: one instance that could settle an order, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Waiting>);

impl Waiting {
    /// No waiters yet; never more than `most`, nor more than half of the instances.
    pub fn at_most(most: usize) -> Arc<Self> {
        Arc::new(Self { most, ..Self::default() })
    }

    /// Counts an instance.
    pub fn count(self: &Arc<Self>) -> Counted {
        self.instances.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// Begins to wait for an order, unless as many wait as may: to be called before the order can be settled, or before a
    /// last look whether it is.
    pub fn join(&self, order_id: &str) -> Option<Waiter<'_>> {
        let most = self.most.min(self.instances.load(Ordering::Relaxed) / 2);
        let mut orders = self.lock();
        if orders.waiters >= most {
            return None;
        }
        orders.waiters += 1;
        let (sender, settled) = oneshot::channel();
        orders.by_id.entry(order_id.into()).or_default().push(sender);
        Some(Waiter { waiting: self, order_id: order_id.into(), settled })
    }

    /// Wakes the waiters of a settled order, with the order if it is known here; whether there was one.
    pub fn settled(&self, order_id: &str, order: Option<&Order>) -> bool {
        let senders = self.lock().by_id.remove(order_id).unwrap_or_default();
        senders.into_iter().fold(false, |any, sender| any | sender.send(order.cloned()).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock()
    }
}

impl Waiter<'_> {
    /// Waits until the order is settled, and no longer than this. The order, if it was settled in this node.
    pub async fn wait(mut self, limit: Duration) -> Option<Order> {
        tokio::time::timeout(limit, &mut self.settled).await.ok()?.ok()?
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.settled.close();
        let mut orders = self.waiting.lock();
        orders.waiters -= 1;
        if let Some(senders) = orders.by_id.get_mut(&self.order_id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                orders.by_id.remove(&self.order_id);
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_instances(most: usize, instances: usize) -> (Arc<Waiting>, Vec<Counted>) {
        let waiting = Waiting::at_most(most);
        let counted = (0..instances).map(|_| waiting.count()).collect();
        (waiting, counted)
    }

    fn order(id: &str) -> Order {
        let (status, lines) = (essaim_orders_contract::OrderStatus::Confirmed, Vec::new());
        Order { id: id.into(), status, lines, total_cents: None, currency: None, rejection: None, created_at_ms: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_for_an_order_are_told_and_nobody_else() {
        let (waiting, _instances) = of_instances(8, 32);
        let (a, b, other) = (waiting.join("1").unwrap(), waiting.join("1").unwrap(), waiting.join("2").unwrap());
        assert!(waiting.settled("1", Some(&order("1"))));
        let started = tokio::time::Instant::now();
        let told = tokio::join!(a.wait(Duration::from_secs(9)), b.wait(Duration::from_secs(9)));
        assert_eq!((told, started.elapsed()), ((Some(order("1")), Some(order("1"))), Duration::ZERO));
        assert_eq!(other.wait(Duration::from_secs(9)).await, None);
        assert_eq!(started.elapsed(), Duration::from_secs(9));
        assert!(!waiting.settled("1", None) && !waiting.settled("2", None), "nobody waits any more");
        assert!(waiting.lock().by_id.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_hears_of_it_from_another_node_is_told_without_the_order() {
        let (waiting, _instances) = of_instances(8, 32);
        let waiter = waiting.join("1").unwrap();
        assert!(waiting.settled("1", None));
        let started = tokio::time::Instant::now();
        assert_eq!((waiter.wait(Duration::from_secs(9)).await, started.elapsed()), (None, Duration::ZERO));
    }

    #[test]
    fn half_of_the_instances_never_wait() {
        let (waiting, mut instances) = of_instances(16, 4);
        let (a, _b) = (waiting.join("1").unwrap(), waiting.join("2").unwrap());
        assert!(waiting.join("3").is_none());
        drop(a);
        assert!(waiting.join("3").is_some(), "a place that is left is free");
        instances.truncate(1);
        assert!(waiting.join("4").is_none());
    }

    #[test]
    fn no_more_wait_than_is_configured() {
        let (waiting, _instances) = of_instances(1, 32);
        let _one = waiting.join("1").unwrap();
        assert!(waiting.join("1").is_none());
    }
}
