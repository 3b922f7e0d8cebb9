//! How many asks may be repeated.
//!
//! A share of the traffic, not a number an ask: when everything fails, retries add a tenth to the load instead of
//! multiplying it (the retry budget of Finagle and of linkerd).

use std::sync::atomic::{AtomicI64, Ordering};

/// Tokens are counted in hundredths of a retry.
const RETRY: i64 = 100;

#[derive(Debug)]
pub(crate) struct RetryBudget {
    hundredths: AtomicI64,
    percent: i64,
    most: i64,
}

impl RetryBudget {
    /// A budget of this share of all asks, with a reserve for when there is little traffic.
    pub fn new(percent: u32, reserve: u32) -> Self {
        let most = i64::from(reserve) * RETRY;
        Self { hundredths: AtomicI64::new(most), percent: i64::from(percent), most }
    }

    /// An ask was made.
    pub fn earn(&self) {
        if self.hundredths.load(Ordering::Relaxed) < self.most {
            self.hundredths.fetch_add(self.percent, Ordering::Relaxed);
        }
    }

    /// Whether an ask may be repeated; if so it is paid for.
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
