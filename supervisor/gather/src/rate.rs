//! How many records of each node are stored: a token bucket for each.

use std::collections::HashMap;
use std::time::Duration;

use essaim_trace::MessageRecord;
use tokio::time::Instant;

/// A bucket holds what is stored in so many seconds: what a ring has kept while nobody gathered is a burst.
const BURST_SECONDS: f64 = 10.0;
/// The share of a bucket that only failed and slow records may use.
const RESERVED: f64 = 0.25;

/// The buckets of all nodes.
pub struct Rates {
    per_second: f64,
    slow: Option<Duration>,
    /// Bounded by the nodes of which records came lately: a bucket that is full again is dropped.
    buckets: HashMap<String, Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    /// So many records a second of each node; handlers that run for `slow_ms` are slow, or none is if it is 0.
    pub fn new(per_second: u32, slow_ms: u64) -> Self {
        let slow = (slow_ms > 0).then(|| Duration::from_millis(slow_ms));
        Self { per_second: per_second.into(), slow, buckets: HashMap::new() }
    }

    /// Those of a node's records that may be stored now, in their order. Failed and slow ones go before others, and of the
    /// others those of the lowest trace ids, so that all nodes leave out the same traces as far as they can.
    pub fn admit(&mut self, node: &str, records: Vec<MessageRecord>, now: Instant) -> Vec<MessageRecord> {
        let most = self.per_second * BURST_SECONDS;
        let filled = |bucket: &Bucket| {
            let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + seconds * self.per_second).min(most)
        };
        self.buckets.retain(|name, bucket| name == node || filled(bucket) < most);
        let mut tokens = self.buckets.get(node).map_or(most, filled);
        let mut order: Vec<_> = (0..records.len()).collect();
        order.sort_by_key(|index| (!self.is_notable(&records[*index]), records[*index].trace_id));
        let mut admitted = vec![false; records.len()];
        for index in order {
            let reserved = if self.is_notable(&records[index]) { 0.0 } else { most * RESERVED };
            if tokens - reserved >= 1.0 {
                tokens -= 1.0;
                admitted[index] = true;
            }
        }
        self.buckets.insert(node.into(), Bucket { tokens, at: now });
        records.into_iter().zip(admitted).filter(|(_, admitted)| *admitted).map(|(record, _)| record).collect()
    }

    fn is_notable(&self, record: &MessageRecord) -> bool {
        let is_slow = |slow: Duration| u128::from(record.ran_us) >= slow.as_micros();
        !record.is_well() || self.slow.is_some_and(is_slow)
    }
}
