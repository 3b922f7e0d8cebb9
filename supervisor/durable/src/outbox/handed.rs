//! What handlers have sent, as it is handed over with its commit: the relay need not read it back.
//!
//! The rows of the outbox are there for crashes, and for what does not come this way: what was there before, what commits have
//! added that were not answered, what overflows. While there may be such rows the relay reads the table, and goes on with what it is
//! handed once a read has found nothing.

use std::collections::VecDeque;

use essaim_store::tables::outbox::OutboxRow;

use super::relay::{PAGE, PAGE_BYTES};

/// The most messages, and about the most bytes, that are kept for a relay that is behind: then it reads the table.
const MESSAGES_MOST: usize = 4 * PAGE as usize;
const BYTES_MOST: u64 = PAGE_BYTES;

/// What a queue has for its relay.
#[derive(Default)]
pub(super) struct HandedMessages {
    messages: VecDeque<(u64, OutboxRow)>,
    bytes: u64,
    /// All that is in the table beyond what the relay has taken is here.
    is_complete: bool,
    /// What the table has up to this number the relay has seen there.
    read_through: u64,
}

impl HandedMessages {
    /// Adds what was committed. `in_order`: no commit comes after one of higher numbers.
    pub fn add(&mut self, messages: Vec<(u64, OutboxRow)>, in_order: bool) {
        for (seq, row) in messages {
            if !self.is_complete || (in_order && seq <= self.read_through) {
                continue;
            }
            self.bytes += row.record.len() as u64;
            self.messages.push_back((seq, row));
        }
        if self.messages.len() > MESSAGES_MOST || self.bytes > BYTES_MOST {
            self.read_table();
        }
    }

    /// There may be more in the table: it is to be read.
    pub fn read_table(&mut self) {
        *self = Self { read_through: self.read_through, ..Self::default() };
    }

    /// Whether nothing is to be read.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// A read of the table begins: what is committed from now on is kept.
    pub fn begin_read(&mut self) {
        *self = Self { is_complete: true, read_through: self.read_through, ..Self::default() };
    }

    /// The read has found messages up to this number, and there may be more.
    pub fn has_found(&mut self, through: u64) {
        self.read_through = self.read_through.max(through);
        self.read_table();
    }

    /// The next messages; none if the table is to be read.
    pub fn take(&mut self, most: u32) -> Option<Vec<(u64, OutboxRow)>> {
        let most = self.messages.len().min(most as usize);
        self.is_complete.then(|| {
            let taken: Vec<_> = self.messages.drain(..most).collect();
            self.bytes -= taken.iter().map(|(_, row)| row.record.len() as u64).sum::<u64>();
            taken
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, bytes: usize) -> (u64, OutboxRow) {
        (seq, OutboxRow { event: false, target: None, record: vec![0; bytes] })
    }

    fn taken(handed: &mut HandedMessages) -> Option<Vec<u64>> {
        handed.take(100).map(|rows| rows.into_iter().map(|(seq, _)| seq).collect())
    }

    #[test]
    fn what_is_committed_is_taken_in_order_once_a_read_has_found_nothing() {
        let mut handed = HandedMessages::default();
        handed.add(vec![row(1, 1)], true);
        assert_eq!(taken(&mut handed), None, "the table may hold what came before it");
        handed.begin_read();
        handed.has_found(1);
        handed.add(vec![row(2, 1)], true);
        assert_eq!(taken(&mut handed), None, "there may be more");
        handed.begin_read();
        handed.add(vec![row(1, 1), row(3, 1), row(4, 1)], true);
        assert_eq!(taken(&mut handed), Some(vec![3, 4]), "what a read has found is not handed over again");
        assert_eq!(taken(&mut handed), Some(vec![]));
        handed.add(vec![row(5, 1)], true);
        handed.read_table();
        assert_eq!(taken(&mut handed), None);
    }

    #[test]
    fn where_commits_come_in_any_order_a_lower_number_is_not_lost() {
        let mut handed = HandedMessages::default();
        handed.begin_read();
        handed.has_found(7);
        handed.begin_read();
        handed.add(vec![row(6, 1)], false);
        assert_eq!(taken(&mut handed), Some(vec![6]));
    }

    #[test]
    fn a_relay_that_is_behind_reads_the_table() {
        for one in [row(1, BYTES_MOST as usize / 2 + 1), row(1, 1)] {
            let mut handed = HandedMessages::default();
            handed.begin_read();
            let mut added = 0;
            while handed.is_complete {
                handed.add(vec![one.clone()], false);
                added += 1;
            }
            assert!(added == 2 || added == MESSAGES_MOST + 1, "{added}");
            assert_eq!((handed.messages.len(), handed.bytes), (0, 0));
        }
    }
}
