//! The records of a trace as a tree: halves joined, causes above their effects, and moments by one clock.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::record::{Half, MessageKind, MessageRecord};
use crate::skew::Skews;
use crate::text::Text;

/// A message of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What its sender wrote, if that says more than its handler's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<MessageRecord>,
    /// What its handler wrote; none where it has not ended, or never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<MessageRecord>,
    /// How many messages are above it.
    pub depth: usize,
    /// When it was sent or, if that is not known, admitted; by the clock of the trace's first node.
    pub begin_us: u64,
    /// When its handler began; its end if none did.
    pub handler_us: u64,
    /// When it was over, for its sender too.
    pub end_us: u64,
}

/// All messages of a trace that are known: each after the one that caused it, those of one cause in the order of their sends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceTree {
    pub spans: Vec<Span>,
}

impl Span {
    /// The record that says most of it.
    pub fn record(&self) -> &MessageRecord {
        self.handled.as_ref().or(self.sent.as_ref()).expect("a span has a half at least")
    }

    /// The span that its handler's messages name as theirs; 0 if it has none.
    fn id(&self) -> u64 {
        self.handled.as_ref().map_or(0, |handled| handled.span_id)
    }

    /// How long it was on its way between nodes, there and back, in microseconds; `None` if it was not, or is not known.
    pub fn wire_us(&self) -> Option<u64> {
        let (sent, handled) = (self.sent.as_ref()?, self.handled.as_ref()?);
        let is_remote_ask = sent.kind == MessageKind::Ask && sent.link != 0 && sent.node != handled.node;
        is_remote_ask.then(|| sent.ran_us.saturating_sub(handled.waited_us + handled.ran_us))
    }
}

impl TraceTree {
    /// The tree of the records of one trace, in any order and from any nodes; the same record twice is one.
    pub fn of(records: Vec<MessageRecord>) -> Self {
        let mut pairs = join(records);
        pairs.sort_by_key(|(sent, handled)| first_us(sent.as_ref(), handled.as_ref()));
        let known: HashMap<u64, usize> = pairs
            .iter()
            .enumerate()
            .filter_map(|(index, (_, handled))| Some((handled.as_ref()?.span_id, index)))
            .filter(|(span, _)| *span != 0)
            .collect();
        let parents: Vec<Option<usize>> = pairs
            .iter()
            .enumerate()
            .map(|(index, (sent, handled))| {
                let parent = handled.as_ref().or(sent.as_ref()).map_or(0, |half| half.parent_id);
                known.get(&parent).copied().filter(|parent| *parent != index)
            })
            .collect();
        let root = parents.iter().position(Option::is_none).unwrap_or(0);
        let Some(first) = pairs.get(root).map(node_of) else { return Self::default() };
        let halves = pairs.iter().filter_map(|(sent, handled)| sent.as_ref().zip(handled.as_ref()));
        let skews = Skews::of(&first, halves);
        let mut spans: Vec<Option<Span>> = pairs.into_iter().map(|pair| Some(span_of(pair, &skews))).collect();
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for (index, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => children[*parent].push(index),
                None => roots.push(index),
            }
        }
        let mut tree = Self::default();
        roots.iter().for_each(|root| tree.add(*root, 0, 0, &children, &mut spans));
        // What forged or damaged records have made a circle of is shown, too.
        (0..spans.len()).for_each(|index| tree.add(index, 0, 0, &children, &mut spans));
        tree
    }

    /// Adds a message and what it caused, none of it before the moment of its cause.
    fn add(
        &mut self,
        index: usize,
        depth: usize,
        not_before_us: u64,
        children: &[Vec<usize>],
        spans: &mut [Option<Span>],
    ) {
        let Some(mut span) = spans[index].take() else { return };
        let late = not_before_us.saturating_sub(span.begin_us);
        span.begin_us += late;
        span.handler_us += late;
        span.end_us += late;
        span.depth = depth;
        let handler_us = span.handler_us;
        self.spans.push(span);
        // Attempts at one message were sent once.
        let place = |index: &usize, spans: &[Option<Span>]| {
            spans[*index].as_ref().map_or((0, 0), |span| (span.begin_us, span.handler_us))
        };
        let mut below = children[index].clone();
        below.sort_by_key(|index| place(index, spans));
        for child in below {
            self.add(child, depth + 1, handler_us, children, spans);
        }
    }

    /// When its first message was sent.
    pub fn begin_us(&self) -> u64 {
        self.spans.iter().map(|span| span.begin_us).min().unwrap_or(0)
    }

    /// When its last message ended.
    pub fn end_us(&self) -> u64 {
        self.spans.iter().map(|span| span.end_us).max().unwrap_or(0)
    }

    /// The message whose handler, or whose sender at the edge, has this span.
    pub fn span(&self, id: u64) -> Option<&Span> {
        self.spans.iter().find(|span| id != 0 && span.id() == id)
    }
}

type Halves = (Option<MessageRecord>, Option<MessageRecord>);

/// Each message's halves: by the link of an ask or a broadcast, or by the id of a stored message. A message that several nodes,
/// capabilities or attempts have handled is one span for each.
fn join(records: Vec<MessageRecord>) -> Vec<Halves> {
    let mut sent = HashMap::<JoinKey, MessageRecord>::new();
    let (mut handled, mut alone) = (Vec::new(), Vec::new());
    for record in records {
        match (record.half, JoinKey::of(&record)) {
            (Half::Sent, Some(key)) => drop(sent.insert(key, record)),
            (Half::Sent, None) if alone.contains(&record) => {}
            (Half::Sent, None) => alone.push(record),
            (Half::Handled, _) => handled.push(record),
        }
    }
    let mut pairs: Vec<Halves> = alone.into_iter().map(|sent| (Some(sent), None)).collect();
    handled.sort_by_key(|record| (record.span_id, record.at_us));
    handled.dedup_by_key(|record| (record.span_id, record.at_us));
    let mut used = HashSet::new();
    for record in handled {
        let half = JoinKey::of(&record).and_then(|key| {
            let half = sent.get(&key).cloned();
            used.insert(key);
            half
        });
        pairs.push((half, Some(record)));
    }
    pairs.extend(sent.into_iter().filter(|(key, _)| !used.contains(key)).map(|(_, record)| (Some(record), None)));
    pairs
}

/// What joins two halves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum JoinKey {
    Link(u64),
    Message(Text),
}

impl JoinKey {
    fn of(record: &MessageRecord) -> Option<Self> {
        match (&record.message_id, record.link) {
            (Some(id), _) => Some(Self::Message(id.clone())),
            (None, 0) => None,
            (None, link) => Some(Self::Link(link)),
        }
    }
}

fn first_us(sent: Option<&MessageRecord>, handled: Option<&MessageRecord>) -> u64 {
    // A request is the cause of all else, whatever clocks say.
    let is_cause = handled.is_some_and(|handled| handled.kind == MessageKind::Request);
    if is_cause { 0 } else { sent.or(handled).map_or(0, |half| half.at_us) }
}

fn node_of((sent, handled): &Halves) -> Text {
    sent.as_ref().or(handled.as_ref()).map_or_else(|| "".into(), |half| half.node.clone())
}

fn span_of((sent, handled): Halves, skews: &Skews) -> Span {
    let handler = handled.as_ref().map(|handled| {
        let admitted = skews.corrected(&handled.node, handled.at_us);
        (admitted, admitted + handled.waited_us, admitted + handled.waited_us + handled.ran_us)
    });
    let sender = sent.as_ref().map(|sent| {
        let at = skews.corrected(&sent.node, sent.at_us);
        (at, at + sent.ran_us)
    });
    let (begin_us, handler_us, end_us) = match (sender, handler) {
        (Some((at, answered)), Some((_, began, ended))) => (at.min(began), began, ended.max(answered)),
        (None, Some((admitted, began, ended))) => (admitted, began, ended),
        (Some((at, answered)), None) => (at, answered, answered),
        (None, None) => (0, 0, 0),
    };
    Span { sent, handled, depth: 0, begin_us, handler_us, end_us }
}

#[cfg(test)]
mod tests;
