use essaim_base::Env;
use essaim_base::measure::Outcome;
use std::time::Duration;

use super::*;
use crate::record::sample;

fn handled(node: &str, span_id: u64, parent_id: u64, at_us: u64, ran_us: u64) -> MessageRecord {
    MessageRecord { node: node.into(), span_id, parent_id, at_us, ran_us, ..sample(span_id) }
}

fn sent(node: &str, parent_id: u64, at_us: u64, ran_us: u64) -> MessageRecord {
    MessageRecord { half: Half::Sent, node: node.into(), span_id: 0, parent_id, at_us, ran_us, ..sample(0) }
}

fn shape(tree: &TraceTree) -> Vec<(usize, u64)> {
    tree.spans.iter().map(|span| (span.depth, span.id())).collect()
}

/// An order through three nodes: a request, an ask to another node, and a command that a third one tries twice. The clocks of
/// `b` and `c` are far off.
fn order() -> Vec<MessageRecord> {
    let (ahead, behind) = (5_000_000, 3_000_000);
    let id: Option<Text> = Some("m1".into());
    vec![
        MessageRecord { kind: MessageKind::Request, ..handled("a", 1, 99, 10_000_000, 9_000) },
        MessageRecord { link: 7, peer: Some("b".into()), ..sent("a", 1, 10_001_000, 6_000) },
        MessageRecord { link: 7, peer: Some("a".into()), ..handled("b", 2, 1, 10_002_000 + ahead, 4_000) },
        MessageRecord { message_id: id.clone(), kind: MessageKind::Command, ..sent("b", 2, 10_005_000 + ahead, 0) },
        MessageRecord {
            message_id: id.clone(),
            kind: MessageKind::Command,
            outcome: Outcome::Failed,
            attempt: 1,
            ..handled("c", 3, 2, 10_006_000 - behind, 1_000)
        },
        MessageRecord {
            message_id: id,
            kind: MessageKind::Command,
            attempt: 2,
            ..handled("c", 4, 2, 10_106_000 - behind, 1_000)
        },
        handled("c", 5, 4, 10_106_500 - behind, 100),
    ]
}

#[test]
fn a_trace_is_whole_and_in_causal_order_although_clocks_differ() {
    let tree = TraceTree::of(order());
    assert_eq!(shape(&tree), [(0, 1), (1, 2), (2, 3), (2, 4), (3, 5)]);
    let begins: Vec<_> = tree.spans.iter().map(|span| span.begin_us).collect();
    assert!(begins.is_sorted(), "{begins:?}");
    assert!(tree.end_us() - tree.begin_us() < 1_000_000, "{} to {}", tree.begin_us(), tree.end_us());
    let ask = tree.span(2).unwrap();
    assert_eq!((ask.wire_us(), ask.begin_us, ask.handler_us), (Some(2_000), 10_001_000, 10_002_000));
    assert_eq!(tree.span(4).unwrap().wire_us(), None, "a command is not answered");
}

#[test]
fn the_order_in_which_records_come_does_not_matter_nor_do_repeats() {
    let dice = Env::simulated(3, Duration::ZERO);
    let expected = TraceTree::of(order());
    for _ in 0..200 {
        let mut records = order();
        records.push(records[(dice.random() % 7) as usize].clone());
        for at in (1..records.len()).rev() {
            records.swap(at, (dice.random() % (at as u64 + 1)) as usize);
        }
        assert_eq!(TraceTree::of(records), expected);
    }
}

#[test]
fn a_broadcast_is_one_sending_that_several_nodes_have_handled() {
    let broadcast = |record| MessageRecord { kind: MessageKind::Broadcast, link: 7, ..record };
    // The clock of `b` is 5 s ahead; that of `c` says that it was heard before it was sent.
    let tree = TraceTree::of(vec![
        handled("a", 1, 0, 10_000_000, 900),
        broadcast(sent("a", 1, 10_000_500, 2_000)),
        broadcast(handled("a", 2, 1, 10_000_510, 10)),
        broadcast(MessageRecord { peer: Some("a".into()), ..handled("b", 3, 1, 15_001_000, 10) }),
        broadcast(MessageRecord { peer: Some("a".into()), ..handled("c", 4, 1, 9_000_000, 10) }),
    ]);
    let told = |span: &Span| (span.sent.as_ref().map(|sent| sent.link), span.wire_us());
    assert_eq!(shape(&tree)[0], (0, 1));
    assert_eq!(tree.spans[1..].iter().map(told).collect::<Vec<_>>(), [(Some(7), None); 3], "nobody answers it");
    let begin = |id| tree.span(id).map(|span| (span.begin_us, span.handler_us));
    assert_eq!(begin(2), Some((10_000_500, 10_000_510)));
    // Only what cannot be is corrected: nothing came back that would tell how long the way was.
    assert_eq!((begin(3), begin(4)), (Some((10_000_500, 15_001_000)), Some((10_000_500, 10_000_500))));
}

#[test]
fn what_was_sent_and_not_handled_is_there() {
    let lost = MessageRecord { outcome: Outcome::NotDelivered, error: Some("no host".into()), ..sent("a", 1, 30, 5) };
    let waits = MessageRecord { message_id: Some("m2".into()), kind: MessageKind::Event, ..sent("a", 1, 40, 0) };
    let tree = TraceTree::of(vec![lost, waits, handled("a", 1, 0, 10, 50)]);
    let found: Vec<_> = tree.spans.iter().map(|span| (span.depth, span.handled.is_some(), span.begin_us)).collect();
    assert_eq!(found, [(0, true, 10), (1, false, 30), (1, false, 40)]);
}

#[test]
fn a_message_whose_cause_is_not_known_stands_for_itself_and_a_circle_ends() {
    let tree = TraceTree::of(vec![handled("a", 2, 1, 20, 1), handled("a", 3, 2, 21, 1)]);
    assert_eq!(shape(&tree), [(0, 2), (1, 3)]);
    let circle = TraceTree::of(vec![handled("a", 2, 3, 20, 1), handled("a", 3, 2, 21, 1), handled("a", 4, 4, 22, 1)]);
    assert_eq!(circle.spans.len(), 3);
    assert_eq!(TraceTree::of(Vec::new()), TraceTree::default());
}
