//! The names of an outbox's queues, as its tables keep them.

use std::borrow::Borrow;
use std::fmt::{Display, Formatter, Result as Written};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// One queue of an outbox: its messages go into the log in their order. Cheap to clone.
#[derive(Clone)]
pub struct OutboxQueue(Arc<Named>);

struct Named {
    text: Arc<str>,
    kind: QueueKind,
}

/// Whose messages a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueKind {
    /// `p/N`: what the handlers of partition N send.
    Partition(u32),
    /// `n/NODE/LIFE`: what the asks and timers of one life of a node send.
    Node { node: Box<str>, life: Box<str> },
    /// `o/SUBSCRIBER/QUEUE`: events of that other queue whose subscriber has no room.
    Overflow { subscriber: Arc<str>, of: OutboxQueue },
}

impl OutboxQueue {
    /// The queue of what the handlers of a partition send.
    pub fn of_partition(number: u32) -> Self {
        Self::named(format!("p/{number}"), QueueKind::Partition(number))
    }

    /// The queue of what the asks and timers of one life of a node send; `life` has no slash.
    pub fn of_node(node: &str, life: &str) -> Self {
        debug_assert!(!life.contains('/'), "`{life}` could not be told from the node's name");
        Self::named(format!("n/{node}/{life}"), QueueKind::Node { node: node.into(), life: life.into() })
    }

    /// The queue of the events of this one for which a subscriber has no room; a capability's name has no slash.
    pub fn overflow(&self, subscriber: &str) -> Self {
        debug_assert!(!subscriber.contains('/'), "`{subscriber}` could not be told from the queue");
        debug_assert!(!self.is_overflow(), "{self} overflows into nothing");
        let text = format!("o/{subscriber}/{self}");
        Self::named(text, QueueKind::Overflow { subscriber: subscriber.into(), of: self.clone() })
    }

    /// Reads the name of a queue; nothing if it names none.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        let queue = match kind {
            "p" => Self::of_partition(rest.parse().ok()?),
            "n" => rest.rsplit_once('/').map(|(node, life)| Self::of_node(node, life))?,
            "o" => {
                let (subscriber, of) = rest.split_once('/')?;
                Self::parse(of).filter(|of| !of.is_overflow())?.overflow(subscriber)
            }
            _ => return None,
        };
        // `p/07` is no name of the queue `p/7`.
        (queue.as_str() == text).then_some(queue)
    }

    fn named(text: String, kind: QueueKind) -> Self {
        Self(Arc::new(Named { text: text.into(), kind }))
    }

    #[inline]
    pub fn kind(&self) -> &QueueKind {
        &self.0.kind
    }

    /// Its name as the tables keep it.
    #[inline]
    pub fn text(&self) -> &Arc<str> {
        &self.0.text
    }

    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    pub fn is_overflow(&self) -> bool {
        matches!(self.kind(), QueueKind::Overflow { .. })
    }

    /// The queue whose events it holds: the one that it has overflowed from, or itself.
    pub fn origin(&self) -> &Self {
        match self.kind() {
            QueueKind::Overflow { of, .. } => of,
            _ => self,
        }
    }
}

impl Deref for OutboxQueue {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for OutboxQueue {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Display for OutboxQueue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for OutboxQueue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        write!(f, "OutboxQueue({self})")
    }
}

impl PartialEq for OutboxQueue {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for OutboxQueue {}

impl Hash for OutboxQueue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use essaim_base::Env;

    use super::*;

    /// A name of up to seven of those characters.
    fn name(dice: &Env, of: &[char]) -> String {
        (0..dice.random() % 8).map(|_| of[(dice.random() % of.len() as u64) as usize]).collect()
    }

    fn queue(dice: &Env) -> OutboxQueue {
        let origin = match dice.random() % 2 {
            0 => OutboxQueue::of_partition(dice.random() as u32),
            _ => OutboxQueue::of_node(&name(dice, &['a', 'n', '/', '-', 'é']), &name(dice, &['0', 'f', '-'])),
        };
        match dice.random() % 2 {
            0 => origin,
            _ => origin.overflow(&name(dice, &['t', 'p', '-', '_'])),
        }
    }

    #[test]
    fn each_queue_is_read_as_it_is_written() {
        let dice = Env::simulated(7, Duration::ZERO);
        for _ in 0..2_000 {
            let queue = queue(&dice);
            let read = OutboxQueue::parse(&queue.to_string()).unwrap_or_else(|| panic!("{queue} names a queue"));
            assert_eq!((&read, read.kind()), (&queue, queue.kind()));
            assert_eq!(read.origin(), queue.origin());
        }
    }

    #[test]
    fn each_text_names_one_queue_or_none() {
        let dice = Env::simulated(8, Duration::ZERO);
        let mut named = 0;
        for _ in 0..20_000 {
            let text = name(&dice, &['p', 'n', 'o', '/', '/', '0', '7', '+']);
            if let Some(queue) = OutboxQueue::parse(&text) {
                assert_eq!(queue.as_str(), text);
                named += 1;
            }
        }
        assert!(named > 100, "only {named} were read");
    }

    #[test]
    fn a_name_says_whose_messages_it_holds() {
        let kind = |text: &str| OutboxQueue::parse(text).map(|queue| queue.kind().clone());
        assert_eq!(kind("p/7"), Some(QueueKind::Partition(7)));
        assert_eq!(kind("n/a/b/1"), Some(QueueKind::Node { node: "a/b".into(), life: "1".into() }));
        let of = OutboxQueue::parse("n/a/b/1").unwrap();
        assert_eq!(kind("o/till/n/a/b/1"), Some(QueueKind::Overflow { subscriber: "till".into(), of }));
        for nothing in ["", "p", "p/", "p/07", "p/-1", "n/a", "o/till", "o/till/x/1", "o/a/o/b/p/1", "q/1"] {
            assert_eq!(kind(nothing), None, "{nothing}");
        }
    }
}
