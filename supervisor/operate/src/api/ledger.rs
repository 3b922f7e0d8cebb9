//! The ledger: the fate of all durable messages.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ApiRequest, Away};

/// The fate of all messages, by capability and partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskLedger {
    /// Only of this capability.
    pub capability: Option<String>,
}

impl ApiRequest for AskLedger {
    const PATH: &'static str = "/durable/ledger";
    type Answer = Ledger;
}

/// The fate of all messages. Each number is measured where it is kept, so while messages are on their way sums are
/// approximate; at rest they are exact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The partitions.
    pub lines: Vec<LedgerLine>,
    /// Capabilities that did not answer.
    pub away: Vec<Away>,
}

/// The fate of the messages of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The capability.
    pub capability: String,
    /// The partition.
    pub partition: u32,
    /// Messages that were ever appended to it.
    pub appended: u64,
    /// Applied.
    pub handled: u64,
    /// Found to be copies of others.
    pub duplicates: u64,
    /// Given up; a letter that died again after a replay counts again, and so does its replay.
    pub dead: u64,
    /// Not handled in time.
    pub expired: u64,
    /// In the log, not acknowledged.
    pub waiting: u64,
    /// In the database, to be tried again or at their time.
    pub parked: u64,
    /// Those of the above that another log had appended, before the capability went on with this one.
    #[serde(default)]
    pub before: i64,
    /// The host that owns it; `None` if nobody does.
    pub owner: Option<String>,
    /// Messages that the log has forgotten, each time that it was found to be older than the capability's database.
    #[serde(default)]
    pub gaps: Vec<LogGap>,
}

/// The messages of a partition from the offset `first` up to the one before `through`: a log that was restored has forgotten that
/// it had appended them. Those that were applied are done, and the others are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGap {
    /// The offset of the first one: so many messages the log had appended, as far as it knew.
    pub first: u64,
    /// The offset behind the last one that the database knew of.
    pub through: u64,
    /// When it was found, in milliseconds since 1970.
    pub found_ms: u64,
}

impl LedgerLine {
    /// Messages that are accounted for, less those that were appended: 0 where the ledger balances.
    pub fn difference(&self) -> i64 {
        let ended = self.handled + self.duplicates + self.dead + self.expired;
        let all = ended + self.waiting + self.parked;
        let appended = i128::from(self.appended) + i128::from(self.before);
        i64::try_from(i128::from(all) - appended).unwrap_or(i64::MAX)
    }
}

/// How much of a capability's durable messages is where, for `/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DurableReport {
    /// In the log, not acknowledged.
    pub waiting: u64,
    /// In its database, to be tried again or at their time.
    pub parked: u64,
    /// Dead letters that are there now.
    pub dead: u64,
    /// In its outbox, on their way into the log; one more than [`DurableReport::OUTBOX_COUNTED`] if they are more than that.
    pub outbox: u64,
    /// Why messages do not leave its outbox in this node now.
    pub stalled: BTreeSet<String>,
    /// The partitions that this node works on.
    pub partitions: Vec<u32>,
    /// The partitions, of whichever node, that have no room for another message.
    pub full: Vec<u32>,
    /// The fate of all messages of the capability, on any node.
    pub ledger: LedgerSum,
}

impl DurableReport {
    /// The messages of an outbox are counted up to so many.
    pub const OUTBOX_COUNTED: u64 = 10_000;
}

/// The fate of a capability's messages, summed over its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerSum {
    /// Messages that were ever appended, by whichever log.
    pub appended: u64,
    /// Applied.
    pub handled: u64,
    /// Found to be copies of others.
    pub duplicates: u64,
    /// Given up, ever: unlike [`DurableReport::dead`] this counts those that were replayed or dropped since.
    pub died: u64,
    /// Not handled in time.
    pub expired: u64,
    /// Waiting in the log or parked in the database.
    pub in_flight: u64,
    /// Messages that are accounted for, less those that were appended: 0 where the ledger balances.
    pub difference: i64,
    /// Whether each partition balances by itself.
    pub balances: bool,
    /// Partitions whose log was found to be older than the capability's database: what was lost beside their difference nobody knows.
    pub gaps: u64,
    /// Messages are in flight: each number is measured where it is kept, so the difference is only about right.
    pub approximate: bool,
}

/// Of no messages.
impl Default for LedgerSum {
    fn default() -> Self {
        Self {
            appended: 0,
            handled: 0,
            duplicates: 0,
            died: 0,
            expired: 0,
            in_flight: 0,
            difference: 0,
            balances: true,
            gaps: 0,
            approximate: false,
        }
    }
}

impl LedgerSum {
    /// The sum of the lines of one capability.
    pub fn of(lines: &[LedgerLine]) -> Self {
        let mut sum = Self::default();
        for line in lines {
            sum.appended += line.appended.saturating_add_signed(line.before);
            sum.handled += line.handled;
            sum.duplicates += line.duplicates;
            sum.died += line.dead;
            sum.expired += line.expired;
            sum.in_flight += line.waiting + line.parked;
            sum.difference = sum.difference.saturating_add(line.difference());
            sum.balances &= line.difference() == 0;
            sum.gaps += u64::from(!line.gaps.is_empty());
        }
        sum.approximate = sum.in_flight > 0;
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_by_how_much_it_does_not_balance() {
        let line = LedgerLine { appended: 9, handled: 3, duplicates: 1, dead: 1, waiting: 2, ..Default::default() };
        assert_eq!((line.difference(), LedgerLine { parked: 3, ..line.clone() }.difference()), (-2, 1));
        assert_eq!(LedgerLine { parked: 2, ..line }.difference(), 0);
    }

    #[test]
    fn a_sum_balances_only_if_each_of_its_partitions_does() {
        let short = LedgerLine { appended: 9, handled: 5, dead: 2, ..Default::default() };
        let long = LedgerLine { appended: 3, handled: 1, duplicates: 1, expired: 3, ..Default::default() };
        let sum = LedgerSum::of(&[short.clone(), long]);
        assert_eq!((sum.appended, sum.handled, sum.duplicates, sum.died, sum.expired), (12, 6, 1, 2, 3));
        assert_eq!((sum.difference, sum.balances, sum.approximate), (0, false, false));
        let gap = LogGap { first: 5, through: 9, found_ms: 1 };
        let found = LedgerLine { gaps: vec![gap, gap], ..short.clone() };
        assert_eq!((sum.gaps, LedgerSum::of(&[found, short.clone()]).gaps), (0, 1));
        let sum = LedgerSum::of(&[LedgerLine { waiting: 1, parked: 1, ..short }]);
        assert_eq!((sum.in_flight, sum.difference, sum.balances, sum.approximate), (2, 0, true, true));
        assert!(LedgerSum::of(&[]).balances);
    }
}
