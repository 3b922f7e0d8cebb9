//! Message records: what one node's rings hold of messages, and the tree that they make.

use essaim_base::measure::Outcome;
use essaim_base::trace::TraceContext;
use essaim_trace::{Half, MessageKind, MessageRecord, TraceId, TraceTree};

use super::*;
use crate::api::{FindRecords, ShowTrace};

/// What matters of a record here.
fn brief(record: &MessageRecord) -> (Half, MessageKind, String, Outcome) {
    (record.half, record.kind, record.name.to_string(), record.outcome)
}

/// A client of the stage in a trace whose records are kept, or not.
fn in_trace(t: &Stage, kept: bool) -> (essaim_core::Client, TraceId) {
    let trace = TraceContext { kept, ..t.node.bus().recorder.root() };
    (t.client().in_trace(trace), TraceId(trace.trace_id))
}

#[tokio::test]
async fn a_command_and_what_it_causes_are_one_tree() {
    let t = Stage::start(&["shop", "till"], |_| {}).await;
    let (client, trace) = in_trace(&t, true);
    let id = t.run(client.send(note("a", "one"))).await.unwrap();
    t.words("till", 1).await;
    t.at_rest("till").await;
    let records = t.node.bus().recorder.trace(trace);
    let tree = TraceTree::of(records.clone());
    let shape: Vec<_> = tree.spans.iter().map(|span| (span.depth, brief(span.record()))).collect();
    let handled = |kind, name: &str| (Half::Handled, kind, name.to_string(), Outcome::Ok);
    assert_eq!(
        shape,
        [(0, handled(MessageKind::Command, "shop.note.v1")), (1, handled(MessageKind::Event, "shop.noted.v1"))],
        "{records:?}"
    );
    let [command, event] = &tree.spans[..] else { unreachable!("there are two") };
    let sent = command.sent.as_ref().expect("its sender wrote that it was sent");
    assert_eq!((sent.sender.as_deref(), sent.key.as_deref()), (None, Some("a")));
    let handled = command.handled.as_ref().unwrap();
    assert_eq!((handled.message_id.as_deref(), handled.attempt), (Some(id.as_str()), 1));
    assert_eq!((handled.key.as_deref(), &*handled.node), (Some("a"), "main"));
    assert_eq!(event.sent.as_ref().unwrap().sender.as_deref(), Some("shop"));
    // Operators find it by the message's id, by its key and by conditions.
    for id in [trace.to_string(), id.to_string(), "a".to_string()] {
        let shown = t.run(t.operate(ShowTrace { id: id.clone() })).await;
        assert_eq!(shown.traces.len(), 1, "{id}");
        assert_eq!(shown.traces[0], tree, "{id}");
    }
    let filter = essaim_trace::Filter::of(["capability=till", "outcome=ok"]).unwrap();
    let found = t.run(t.operate(FindRecords { filter, ..FindRecords::default() })).await;
    assert_eq!(found.records.iter().map(brief).collect::<Vec<_>>(), [shape[1].1.clone()]);
}

#[tokio::test]
async fn of_a_trace_that_is_not_kept_what_failed_is() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let (client, trace) = in_trace(&t, false);
    t.run(client.send(note("a", "one"))).await.unwrap();
    t.run(client.send(note("a", "fail"))).await.unwrap();
    t.at_rest("shop").await;
    let records = t.node.bus().recorder.trace(trace);
    assert_eq!(records.len(), 3, "three attempts: {records:?}");
    for (attempt, record) in (1..).zip(&records) {
        assert_eq!((record.outcome, record.attempt), (Outcome::Failed, attempt));
        assert!(record.error.is_some());
    }
}

#[tokio::test]
async fn a_reader_that_goes_on_gets_each_record_once() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let request = FindRecords { from_now: true, ..FindRecords::default() };
    let mut after = t.run(t.operate(request)).await;
    assert!(after.records.is_empty());
    let mut seen = Vec::new();
    for word in ["one", "two", "three"] {
        let (client, trace) = in_trace(&t, true);
        t.run(client.send(note("a", word))).await.unwrap();
        t.at_rest("shop").await;
        let filter = essaim_trace::Filter::of(["name=shop.note.v1", "half=handled"]).unwrap();
        let request = FindRecords { filter, after: after.next, ..FindRecords::default() };
        after = t.run(t.operate(request)).await;
        seen.extend(after.records.iter().map(|record| record.trace_id == trace));
    }
    assert_eq!((seen, after.missed), (vec![true; 3], 0));
}
