//! Clocks of nodes that differ: by how much, as the messages between them tell.
//!
//! A message is never handled before it was sent, nor its answer heard before it was given. Each message between two nodes so
//! bounds how far their clocks are apart: from above by its way there, and from below by the way of its answer. With both, the
//! middle is taken: (least delay forward − least delay backward) / 2. (Mills, "Internet Time Synchronization", 1991.)

use std::collections::{BTreeMap, VecDeque};

use crate::record::{MessageKind, MessageRecord};
use crate::text::Text;

/// How far another node's clock is ahead of one's own, as far as it is known, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    least: Option<i64>,
    most: Option<i64>,
}

impl Bounds {
    fn at_most(&mut self, bound: i64) {
        self.most = Some(self.most.map_or(bound, |most| most.min(bound)));
    }

    fn at_least(&mut self, bound: i64) {
        self.least = Some(self.least.map_or(bound, |least| least.max(bound)));
    }

    /// The likeliest difference.
    fn middle(self) -> i64 {
        match (self.least, self.most) {
            (Some(least), Some(most)) => least + (most - least) / 2,
            // Nothing is known from the other side: clocks are right unless that cannot be.
            (Some(least), None) => least.max(0),
            (None, Some(most)) => most.min(0),
            (None, None) => 0,
        }
    }
}

/// How far the clock of each node is ahead of that of the first one.
#[derive(Debug, Default)]
pub struct Skews(BTreeMap<Text, i64>);

impl Skews {
    /// From the two halves of messages, as the first node's clock tells.
    pub fn of<'a>(first: &Text, halves: impl Iterator<Item = (&'a MessageRecord, &'a MessageRecord)>) -> Self {
        let mut pairs = BTreeMap::<(Text, Text), Bounds>::new();
        for (sent, handled) in halves.filter(|(sent, handled)| sent.node != handled.node) {
            let forward = handled.at_us as i64 - sent.at_us as i64;
            pairs.entry((sent.node.clone(), handled.node.clone())).or_default().at_most(forward);
            pairs.entry((handled.node.clone(), sent.node.clone())).or_default().at_least(-forward);
            // Only an ask is answered, and only an answer that came says anything.
            if sent.kind == MessageKind::Ask && sent.is_well() {
                let backward = sent.ended_us() as i64 - handled.ended_us() as i64;
                pairs.entry((sent.node.clone(), handled.node.clone())).or_default().at_least(-backward);
                pairs.entry((handled.node.clone(), sent.node.clone())).or_default().at_most(backward);
            }
        }
        let mut known = BTreeMap::from([(first.clone(), 0)]);
        let mut next = VecDeque::from([first.clone()]);
        while let Some(node) = next.pop_front() {
            let own = known[&node];
            for ((_, other), bounds) in pairs.iter().filter(|((from, _), _)| *from == node) {
                if !known.contains_key(other) {
                    known.insert(other.clone(), own + bounds.middle());
                    next.push_back(other.clone());
                }
            }
        }
        Self(known)
    }

    /// A moment of a node as the first one's clock tells it.
    pub fn corrected(&self, node: &str, at_us: u64) -> u64 {
        at_us.saturating_add_signed(-self.0.get(node).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Half, sample};

    fn half(half: Half, node: &str, at_us: u64, ran_us: u64) -> MessageRecord {
        MessageRecord { half, node: node.into(), at_us, ran_us, link: 1, ..sample(1) }
    }

    #[test]
    fn an_ask_tells_how_far_clocks_are_apart() {
        // The clock of b is 5 s ahead; the way there takes 100, the handler 1,000, and the way back 300.
        let sent = half(Half::Sent, "a", 10_000_000, 1_400);
        let handled = half(Half::Handled, "b", 15_000_100, 1_000);
        let skews = Skews::of(&"a".into(), [(&sent, &handled)].into_iter());
        assert_eq!(skews.corrected("b", 15_000_100), 10_000_200);
        assert_eq!(skews.corrected("a", 10_000_000), 10_000_000);
        assert_eq!(skews.corrected("c", 7), 7);
        let seen_from_b = Skews::of(&"b".into(), [(&sent, &handled)].into_iter());
        assert_eq!(seen_from_b.corrected("a", 10_000_000), 14_999_900);
    }

    #[test]
    fn a_stored_message_is_not_handled_before_it_was_sent() {
        let sent = |node: &str, at_us| MessageRecord { kind: MessageKind::Command, ..half(Half::Sent, node, at_us, 0) };
        let handled = |node: &str, at_us| half(Half::Handled, node, at_us, 10);
        // 3 s behind, and an ordinary delay: only the first cannot be.
        let behind = (sent("a", 10_000_000), handled("b", 7_000_000));
        let delayed = (sent("a", 10_000_000), handled("c", 12_000_000));
        let pairs = [(&behind.0, &behind.1), (&delayed.0, &delayed.1)];
        let skews = Skews::of(&"a".into(), pairs.into_iter());
        assert_eq!((skews.corrected("b", 7_000_000), skews.corrected("c", 12_000_000)), (10_000_000, 12_000_000));
        // Messages both ways bound it from both sides.
        let back = (sent("b", 7_100_000), handled("a", 10_300_000));
        let skews = Skews::of(&"a".into(), [(&behind.0, &behind.1), (&back.0, &back.1)].into_iter());
        assert_eq!(skews.corrected("b", 7_000_000), 10_100_000);
    }
}
