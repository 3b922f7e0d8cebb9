//! Measures of handled messages: for one message type of one host, how its messages ended, how long they waited in the
//! mailbox, and how long their handlers ran.
//!
//! They are written at the end of each message and read by scrapes, so writing takes no lock and allocates nothing: every
//! number is an atomic of its own, and a reader may see a message in one of them that it does not see in another yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use essaim_contract::{AskError, Failure, FailureKind, Unknown};
use serde::{Deserialize, Serialize};

use crate::lock::Mutex;
use crate::trace::TraceContext;

/// How a message ended, in the words of the errors of asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its handler succeeded.
    Ok,
    /// Its handler refused it, in its contract's own words.
    Rejected,
    /// Its handler failed, with nothing committed.
    Failed,
    /// Its handler panicked.
    Panicked,
    /// Its handler was dropped at the deadline.
    TimedOut,
    /// It never began.
    NotDelivered,
    /// Whether its effects are committed is not known.
    Unknown,
}

impl Outcome {
    /// All outcomes, in the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Rejected, Self::Failed, Self::Panicked, Self::TimedOut, Self::NotDelivered, Self::Unknown];

    /// The outcome that an error tells.
    pub fn of<E>(error: &AskError<E>) -> Self {
        match error {
            AskError::Rejected(_) => Self::Rejected,
            AskError::Failed(Failure { kind: FailureKind::Panicked, .. }) => Self::Panicked,
            AskError::Failed(_) => Self::Failed,
            AskError::NotDelivered(_) => Self::NotDelivered,
            AskError::Unknown(Unknown::TimedOut { .. }) => Self::TimedOut,
            AskError::Unknown(_) => Self::Unknown,
        }
    }

    /// Its name in metrics, records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::NotDelivered => "not_delivered",
            Self::Unknown => "unknown",
        }
    }
}

/// Upper bounds of the buckets, inclusive, in nanoseconds: from 5 µs to 30 s, closest where handlers usually are. Longer times
/// are counted in one more bucket without a bound.
pub const BOUNDS_NANOS: [u64; 17] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
    30_000_000_000,
];

/// Buckets of a histogram, with the one without a bound.
pub const BUCKETS: usize = BOUNDS_NANOS.len() + 1;

/// What is measured of one handled message type in one host.
#[derive(Debug, Default)]
pub struct HandlerMeasures {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    waited: Histogram,
    ran: Histogram,
}

impl HandlerMeasures {
    /// Counts a message that has ended: its time in the mailbox and that of its handler as far as they are known, and the
    /// span that is shown as an example of its buckets, if it is recorded.
    #[inline]
    pub fn ended(
        &self,
        outcome: Outcome,
        waited: Option<Duration>,
        ran: Option<Duration>,
        exemplar: Option<&TraceContext>,
    ) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(waited) = waited {
            self.waited.add(waited, exemplar);
        }
        if let Some(ran) = ran {
            self.ran.add(ran, exemplar);
        }
    }

    /// Messages with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// Times that messages waited in the mailbox.
    pub fn waited(&self) -> HistogramSnapshot {
        self.waited.snapshot()
    }

    /// Times that handlers ran.
    pub fn ran(&self) -> HistogramSnapshot {
        self.ran.snapshot()
    }
}

/// Times, counted by their order of magnitude.
#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BUCKETS],
    /// In nanoseconds: 580 years of running handlers.
    sum: AtomicU64,
    exemplars: [Mutex<Option<Exemplar>>; BUCKETS],
}

/// A histogram as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Times within each bucket alone; the last has no bound.
    pub counts: [u64; BUCKETS],
    /// The sum of all times.
    pub sum: Duration,
    /// For each bucket the last span that was recorded with a time in it.
    pub exemplars: [Option<Exemplar>; BUCKETS],
}

/// A recorded span whose time is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace that it belongs to.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// Its time.
    pub value: Duration,
}

impl Histogram {
    #[inline]
    fn add(&self, value: Duration, exemplar: Option<&TraceContext>) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
        // Any span of the bucket is as good an example: a handler never waits for another one's, or for a scrape.
        if let Some(trace) = exemplar
            && let Some(mut slot) = self.exemplars[bucket].try_lock()
        {
            *slot = Some(Exemplar { trace_id: trace.trace_id, span_id: trace.span_id, value });
        }
    }

    fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)),
            exemplars: std::array::from_fn(|i| *self.exemplars[i].lock()),
        }
    }
}

impl HistogramSnapshot {
    /// All times.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The bucket of a time.
#[inline]
fn bucket(nanos: u64) -> usize {
    // All bounds are compared, without a branch that could be mispredicted.
    BOUNDS_NANOS.iter().map(|bound| usize::from(nanos > *bound)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(span_id: u64) -> TraceContext {
        TraceContext { trace_id: 7, span_id, sampled: true, random: false, kept: true }
    }

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        assert_eq!(bucket(0), 0);
        for (i, bound) in BOUNDS_NANOS.into_iter().enumerate() {
            assert_eq!((bucket(bound), bucket(bound + 1)), (i, i + 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(BOUNDS_NANOS.is_sorted());
    }

    #[test]
    fn messages_are_counted_by_outcome_and_times_only_if_they_are_known() {
        let measures = HandlerMeasures::default();
        measures.ended(Outcome::Ok, Some(Duration::from_micros(3)), Some(Duration::from_millis(2)), None);
        measures.ended(Outcome::Rejected, None, Some(Duration::from_secs(60)), None);
        measures.ended(Outcome::NotDelivered, None, None, None);
        let counts = Outcome::ALL.map(|outcome| measures.count(outcome));
        assert_eq!(counts, [1, 1, 0, 0, 0, 1, 0]);
        let (waited, ran) = (measures.waited(), measures.ran());
        assert_eq!((waited.count(), waited.counts[0], waited.sum), (1, 1, Duration::from_micros(3)));
        assert_eq!((ran.count(), ran.counts[BUCKETS - 1], ran.sum), (2, 1, Duration::from_millis(60_002)));
        assert!(ran.exemplars.iter().all(Option::is_none));
    }

    #[test]
    fn the_last_recorded_span_of_a_bucket_is_its_exemplar() {
        let measures = HandlerMeasures::default();
        for span in 1..=3 {
            let ran = Duration::from_micros(700 + span);
            measures.ended(Outcome::Ok, None, Some(ran), Some(&trace(span)));
        }
        let ran = measures.ran();
        let bucket = bucket(703_000);
        let expected = Exemplar { trace_id: 7, span_id: 3, value: Duration::from_micros(703) };
        assert_eq!(ran.exemplars[bucket], Some(expected));
        assert_eq!(ran.exemplars.iter().flatten().count(), 1);
    }

    #[test]
    fn a_handler_does_not_wait_for_the_reader_of_an_exemplar() {
        let histogram = Histogram::default();
        let reader = histogram.exemplars[0].lock();
        histogram.add(Duration::ZERO, Some(&trace(1)));
        drop(reader);
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.exemplars[0]), (1, None));
    }

    #[test]
    fn names_are_those_of_the_serialized_form() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
            let bytes = crate::codec::encode(&outcome).unwrap();
            assert!(bytes.ends_with(outcome.as_str().as_bytes()), "{outcome:?}");
        }
    }
}
