//! What a node counts of the messages of a capability, for `/status`.

use std::collections::BTreeMap;

use essaim_base::measure::{BOUNDS_NANOS, BUCKETS, HandlerMeasures, HistogramSnapshot, Outcome};
use serde::{Deserialize, Serialize};

/// Outcomes and times of the messages that a node handled of one capability, since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageCounts {
    /// How many ended how, by the word for it; words without messages are left out.
    pub outcomes: BTreeMap<String, u64>,
    /// Times in the mailbox, of those messages that are timed.
    pub waited: MessageTimes,
    /// Times in handlers.
    pub ran: MessageTimes,
}

/// Times of messages, counted by their order of magnitude.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageTimes {
    /// Half of the times are no longer, in microseconds; none without times.
    pub p50_us: Option<u64>,
    /// 99 of a hundred times are no longer.
    pub p99_us: Option<u64>,
    /// Times within each bucket of the histograms at `/metrics`; the last has no bound.
    pub buckets: Vec<u64>,
}

impl MessageCounts {
    /// The sum of the measures of all message types of a host.
    pub(crate) fn of<'a>(measures: impl Iterator<Item = &'a HandlerMeasures>) -> Self {
        let mut counts = Self::default();
        let (mut waited, mut ran) = ([0; BUCKETS], [0; BUCKETS]);
        for measures in measures {
            for outcome in Outcome::ALL {
                let count = measures.count(outcome);
                if count > 0 {
                    *counts.outcomes.entry(outcome.as_str().into()).or_default() += count;
                }
            }
            add(&mut waited, &measures.waited());
            add(&mut ran, &measures.ran());
        }
        counts.waited = MessageTimes::of(waited.to_vec());
        counts.ran = MessageTimes::of(ran.to_vec());
        counts
    }

    /// All messages.
    pub fn all(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Those that neither succeeded nor were rejected.
    pub fn errors(&self) -> u64 {
        let is_well = |outcome: &str| [Outcome::Ok, Outcome::Rejected].iter().any(|well| well.as_str() == outcome);
        self.outcomes.iter().filter(|(outcome, _)| !is_well(outcome)).map(|(_, count)| count).sum()
    }

    /// What was counted since an earlier report of the same life of the node.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |outcome: &String| earlier.outcomes.get(outcome).copied().unwrap_or(0);
        let outcomes = self.outcomes.iter().map(|(word, count)| (word.clone(), count.saturating_sub(before(word))));
        let (waited, ran) = (self.waited.since(&earlier.waited), self.ran.since(&earlier.ran));
        Self { outcomes: outcomes.collect(), waited, ran }
    }
}

fn add(sum: &mut [u64; BUCKETS], times: &HistogramSnapshot) {
    sum.iter_mut().zip(times.counts).for_each(|(sum, count)| *sum += count);
}

impl MessageTimes {
    fn of(buckets: Vec<u64>) -> Self {
        Self { p50_us: quantile_us(&buckets, 0.5), p99_us: quantile_us(&buckets, 0.99), buckets }
    }

    fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: usize| earlier.buckets.get(bucket).copied().unwrap_or(0);
        Self::of((0..).zip(&self.buckets).map(|(bucket, count)| count.saturating_sub(before(bucket))).collect())
    }
}

/// The time that a share of all times does not exceed, as if the times of a bucket were spread evenly over it; of times beyond
/// all bounds the last bound.
fn quantile_us(buckets: &[u64], share: f64) -> Option<u64> {
    let all: u64 = buckets.iter().sum();
    let rank = share * all as f64;
    let mut below = 0;
    for (bucket, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        if (below + count) as f64 >= rank {
            let low = bucket.checked_sub(1).and_then(|lower| BOUNDS_NANOS.get(lower)).copied().unwrap_or(0);
            let high = BOUNDS_NANOS.get(bucket).copied().unwrap_or(low);
            let within = (rank - below as f64) / *count as f64;
            return Some(((low as f64 + (high - low) as f64 * within) / 1_000.0) as u64);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn quantiles_lie_within_the_bucket_that_the_share_falls_into() {
        let measures = HandlerMeasures::default();
        for ms in (0..98).map(|_| 2).chain([200, 60_000]) {
            measures.ended(Outcome::Ok, None, Some(Duration::from_millis(ms)), None);
        }
        let counts = MessageCounts::of([&measures].into_iter());
        let p50 = counts.ran.p50_us.expect("there are times");
        assert!((1_000..2_500).contains(&p50), "{p50}");
        assert_eq!(counts.ran.p99_us, Some(250_000));
        assert_eq!(quantile_us(&counts.ran.buckets, 1.0), Some(30_000_000), "beyond all bounds");
        assert_eq!((counts.waited.p50_us, MessageTimes::default().p99_us), (None, None));
    }

    #[test]
    fn what_was_counted_since_is_told_apart_from_all() {
        let measures = HandlerMeasures::default();
        let ended = |outcome, ms| measures.ended(outcome, None, Some(Duration::from_millis(ms)), None);
        (0..9).for_each(|_| ended(Outcome::Ok, 3_000));
        let before = MessageCounts::of([&measures].into_iter());
        ended(Outcome::Rejected, 2);
        ended(Outcome::Failed, 2);
        ended(Outcome::TimedOut, 2);
        let since = MessageCounts::of([&measures].into_iter()).since(&before);
        assert_eq!((since.all(), since.errors()), (3, 2));
        assert!(since.ran.p99_us.is_some_and(|us| us <= 2_500), "{since:?}");
        assert_eq!(before.since(&MessageCounts::default()), before);
    }
}
