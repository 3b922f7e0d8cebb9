//! Why something is slow or stuck: each kind of trouble is made, and its sentence read.

use tokio::sync::Semaphore;

use super::*;
use crate::api::{ExplainMessage, ListParked, RetryParked};

/// A transaction that holds the writer waits here until a test lets it go on.
pub static HELD: Semaphore = Semaphore::const_new(0);

async fn why(t: &Stage, id: &str) -> String {
    t.run(t.operate(ExplainMessage { id: id.into() })).await.sentences.join("\n")
}

/// Waits until the sentences about something say this.
async fn said(t: &Stage, id: &str, part: &str) -> String {
    let mut last = String::new();
    for _ in 0..500 {
        last = why(t, id).await;
        if last.contains(part) {
            return last;
        }
        t.run(tokio::time::sleep(Duration::from_millis(10))).await;
    }
    panic!("`{part}` is not said: {last}")
}

#[tokio::test]
async fn a_parked_message_says_what_it_waits_for_and_is_tried_now_when_that_is_asked() {
    let t = Stage::start(&["shop"], |s| {
        (s.durable.backoff_first_ms, s.durable.backoff_most_ms) = (3_600_000, 3_600_000);
    })
    .await;
    let first = t.note("a", "once-why").await;
    said(&t, first.as_str(), "is parked").await;
    let second = t.note("a", "next").await;
    let waits = said(&t, second.as_str(), "waits behind").await;
    assert!(waits.contains(&format!("it waits behind {first}, another message of its key `a`")), "{waits}");
    let parked = why(&t, first.as_str()).await;
    for part in ["1 attempt has failed", "`error: not yet`", "it is tried again in", "essaim parked retry"] {
        assert!(parked.contains(part), "{part}: {parked}");
    }
    // The same by the key that both have.
    let both = why(&t, "a").await;
    assert!(both.contains(first.as_str()) && both.contains(second.as_str()), "{both}");
    let listed = t.run(t.operate(ListParked::default())).await;
    let lines: Vec<_> = listed.messages.iter().map(|line| (line.id.as_str(), line.behind.as_deref())).collect();
    assert_eq!(lines, [(first.as_str(), None), (second.as_str(), Some(first.as_str()))]);
    // An hour early.
    let retried = t.run(t.operate(RetryParked { ids: vec![first.to_string(), "unknown".into()] })).await;
    assert_eq!(retried.ids, [first.to_string()]);
    assert_eq!(t.words("shop", 2).await, ["once-why", "next"]);
    // What was asked for is a message of its own to the log.
    assert_eq!(t.at_rest("shop").await, (3, 0, 0, 0));
}

#[tokio::test]
async fn a_dead_letter_says_of_what_it_died_and_a_failed_attempt_what_it_met() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let id = t.note("a", "fail").await;
    said(&t, id.as_str(), "is a dead letter").await;
    // Records are read before the database: now both know of its last attempt.
    let dead = why(&t, id.as_str()).await;
    for part in ["(attempts)", "as it was told to", "essaim dead show", "ended as failed at attempt 3"] {
        assert!(dead.contains(part), "{part}: {dead}");
    }
}

#[tokio::test]
async fn a_handler_that_runs_says_since_when_and_afterwards_where_the_time_went() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let id = t.note("a", "slow").await;
    let running = said(&t, id.as_str(), "is at work on `shop.note.v1`, running for").await;
    assert!(running.contains("and waiting for something of its own"), "{running}");
    let over = said(&t, id.as_str(), "All of it took").await;
    assert!(over.contains("`shop.note.v1` of shop@main was at work itself"), "{over}");
}

#[tokio::test]
async fn a_handler_that_waits_for_the_writer_says_whose_transaction_has_it() {
    let t = Stage::start(&["shop"], |_| {}).await;
    t.note("a", "holds").await;
    while t.database("shop").writer().is_none() {
        t.run(tokio::time::sleep(Duration::from_millis(1))).await;
    }
    let id = t.note("b", "behind").await;
    let waits = said(&t, id.as_str(), "which a transaction of `shop.note.v1` has (trace ").await;
    assert!(waits.contains("and waiting for a database connection for"), "{waits}");
    HELD.add_permits(1);
    t.words("shop", 2).await;
    assert!(t.database("shop").writer().is_none(), "nobody writes");
}

#[tokio::test]
async fn an_event_of_a_subscriber_that_nobody_hosts_says_so() {
    let t = Stage::start(&["shop", "till"], |_| {}).await;
    t.subscribed("shop.noted.v1").await;
    let t = Stage::again(t.end().await, &["shop"], |_| {}).await;
    let id = t.note("a", "one").await;
    let waits = said(&t, id.as_str(), "waits in the log for `till`").await;
    assert!(waits.contains("`shop.noted.v1`") && waits.contains("no live node hosts `till`"), "{waits}");
    assert_eq!(why(&t, "nothing-has-this-id").await, "");
}

#[tokio::test]
async fn a_key_on_hold_says_that_a_dead_letter_holds_it() {
    let t = Stage::start(&["shop"], |s| {
        s.durable.after_dead = AfterDead::Hold;
        s.durable.attempts = 1;
    })
    .await;
    t.note("a", "fail").await;
    let behind = t.note("a", "next").await;
    let held = said(&t, behind.as_str(), "is on hold").await;
    assert!(held.contains("its key `a` is on hold until a dead letter of it is replayed or dropped"), "{held}");
}

#[tokio::test]
async fn an_ask_that_nobody_takes_leaves_a_record_that_says_so() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let trace = t.node.bus().recorder.root();
    let client = t.client().in_trace(trace);
    let asking = client.ask(backfill::PrintNow { word: "one".into() });
    assert!(t.run(asking).await.is_err());
    let sentences = why(&t, &essaim_trace::TraceId(trace.trace_id).to_string()).await;
    assert!(sentences.contains("ended as not_delivered: no live node hosts `press`"), "{sentences}");
}
