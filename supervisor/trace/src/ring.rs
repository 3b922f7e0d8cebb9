//! The memory of one thread's records, or of a node's log lines: so many bytes, of which the oldest go first.

use std::collections::VecDeque;

use crate::record::MessageRecord;

/// What takes memory.
pub trait Footprint {
    /// About how many bytes.
    fn footprint(&self) -> usize;
}

impl Footprint for MessageRecord {
    fn footprint(&self) -> usize {
        MessageRecord::footprint(self)
    }
}

/// Records in the order in which they were written.
pub struct Ring<R = MessageRecord> {
    records: VecDeque<R>,
    /// The position of the first one; positions only rise.
    first: u64,
    bytes: usize,
    most_bytes: usize,
}

impl<R: Footprint> Ring<R> {
    pub fn of(most_bytes: usize) -> Self {
        Self { records: VecDeque::new(), first: 0, bytes: 0, most_bytes }
    }

    /// Adds a record, in the place of the oldest ones if there is no other.
    pub fn push(&mut self, record: R) {
        let bytes = record.footprint();
        if bytes > self.most_bytes {
            // It is passed over, as its position says.
            self.first += self.records.len() as u64 + 1;
            self.records.clear();
            self.bytes = 0;
            return;
        }
        while self.bytes + bytes > self.most_bytes {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.footprint();
            self.first += 1;
        }
        self.bytes += bytes;
        self.records.push_back(record);
    }

    /// The position of the oldest record that is here.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The position of the next record.
    pub fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// How many records from a position on are gone.
    pub fn gone_since(&self, position: u64) -> u64 {
        self.first.saturating_sub(position)
    }

    /// The records from a position on.
    pub fn since(&self, position: u64) -> impl DoubleEndedIterator<Item = &R> {
        let known = position.saturating_sub(self.first).min(self.records.len() as u64) as usize;
        self.records.range(known..)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    fn names(ring: &Ring, since: u64) -> Vec<u64> {
        ring.since(since).map(|record| record.span_id).collect()
    }

    #[test]
    fn the_oldest_records_go_first_and_readers_see_how_many() {
        let one = sample(1).footprint();
        let mut ring = Ring::of(3 * one);
        (1..=5).for_each(|span| ring.push(sample(span)));
        assert_eq!((names(&ring, 0), ring.gone_since(0), ring.end()), (vec![3, 4, 5], 2, 5));
        assert_eq!((names(&ring, 4), ring.gone_since(4)), (vec![5], 0));
        assert_eq!(names(&ring, 5), [0; 0]);
        assert_eq!(names(&ring, 99), [0; 0]);
        assert_eq!(ring.bytes(), 3 * one);
    }

    #[test]
    fn a_record_that_is_larger_than_the_ring_is_passed_over() {
        let mut ring = Ring::of(2 * sample(1).footprint());
        ring.push(sample(1));
        ring.push(MessageRecord { error: Some("x".repeat(9_999).into()), ..sample(2) });
        assert_eq!((names(&ring, 0), ring.end(), ring.bytes()), (vec![], 2, 0));
        ring.push(sample(3));
        assert_eq!((names(&ring, 0), ring.gone_since(0)), (vec![3], 2));
    }
}
