//! The retry budget: how many asks may be repeated.
//!
//! It is a share of the traffic, not a number for each ask: when everything fails, retries add a tenth to the load instead of
//! multiplying it (the retry budget of Finagle and of linkerd).

use std::sync::atomic::{AtomicI64, Ordering};

/// Price of a retry; the budget counts in hundredths of one.
const RETRY: i64 = 100;

#[derive(Debug)]
pub struct RetryBudget {
    hundredths: AtomicI64,
    percent: i64,
    /// An idle node saves up no more than this.
    max_hundredths: i64,
}

impl RetryBudget {
    /// A budget of `percent` of all asks, and initially, for times of little traffic, of `reserve` retries.
    pub fn new(percent: u32, reserve: u32) -> Self {
        let max_hundredths = i64::from(reserve) * RETRY;
        Self { hundredths: AtomicI64::new(max_hundredths), percent: i64::from(percent), max_hundredths }
    }

    /// Adds the share of one ask.
    pub fn earn(&self) {
        if self.hundredths.load(Ordering::Relaxed) < self.max_hundredths {
            let saved = self.hundredths.fetch_add(self.percent, Ordering::Relaxed);
            debug_assert!(saved >= 0, "a retry is paid for before it is made");
        }
    }

    /// Whether an ask may be repeated; takes the price of the retry if so.
    pub fn spend(&self) -> bool {
        let paid =
            self.hundredths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |h| (h >= RETRY).then(|| h - RETRY));
        paid.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_the_traffic_after_the_reserve() {
        let budget = RetryBudget::new(10, 5);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 5);
        let repeated = (0..1_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(repeated.count(), 100);
    }
}
