//! Asks of other nodes: each is answered once, and truly, also while the node drains.

use std::sync::atomic::Ordering;
use std::time::Duration;

use essaim_contract::{AskError, NotDelivered, Unknown};
use essaim_protocol::frame::BroadcastMessage;
use futures_util::FutureExt;

use super::*;

const ASKER: (&str, u64) = ("asker", 7);
const ASKER_INBOX: &str = "inbox:asker:7";

#[test]
fn an_ask_is_answered_to_the_inbox_of_its_asker() {
    staged(async |mut stage| {
        stage.hear(ASKER, ask(1, "shop.now.v1", b"one"));
        stage.hear(ASKER, ask(2, "shop.never.v1", b"two"));
        assert_eq!(stage.answer().await, (ASKER_INBOX.into(), 1, Ok(b"one".to_vec())));
        let unsupported = NotDelivered::Unsupported { message: "shop.never.v1".into() };
        assert_eq!(stage.answer().await, (ASKER_INBOX.into(), 2, Err(AskError::NotDelivered(unsupported))));
    });
}

#[test]
fn a_tracestate_of_another_node_is_checked_and_reaches_the_handler() {
    staged(async |mut stage| {
        let cases =
            [(TRACE, "rojo=1,congo=2", "rojo=1,congo=2"), (TRACE, "", ""), (TRACE, "Rojo", ""), ("", "rojo=1", "")];
        for (id, (trace, given, taken)) in (1..).zip(cases) {
            stage.hear(ASKER, FrameMessage::Ask(ask_in((trace, given), id, "shop.now.v1", b"")));
            assert_eq!(stage.answer().await.1, id);
            let body = serde_bytes::Bytes::new(b"");
            let broadcast =
                BroadcastMessage { id: 0, name: "shop.changed.v1", trace, trace_state: given, kept: false, body };
            stage.hear(ASKER, FrameMessage::Broadcast(broadcast));
            stage.settle().await;
            let seen = std::mem::take(&mut *stage.node.traces.lock());
            let joined: Vec<_> = seen.iter().map(|t| (t.context.to_string() == trace, t.state.as_str())).collect();
            assert_eq!(joined, [(!trace.is_empty(), taken); 2], "{trace} {given}");
        }
    });
}

#[test]
fn an_ask_that_comes_twice_from_one_epoch_runs_once() {
    staged(async |mut stage| {
        for _ in 0..3 {
            stage.hear(ASKER, ask(1, "shop.now.v1", b""));
        }
        stage.hear(("asker", 8), ask(1, "shop.now.v1", b""));
        assert_eq!(stage.answer().await.0, ASKER_INBOX);
        assert_eq!(stage.answer().await.0, "inbox:asker:8", "another epoch has ids of its own");
        stage.settle().await;
        assert_eq!(stage.node.asked.lock().len(), 2);
    });
}

#[test]
fn a_handler_that_waits_delays_no_other_answer() {
    staged(async |mut stage| {
        stage.hear(ASKER, ask(1, "shop.later.v1", b""));
        stage.hear(ASKER, ask(2, "shop.now.v1", b""));
        assert_eq!(stage.answer().await.1, 2);
        stage.node.goes_on.notify_one();
        assert_eq!(stage.answer().await.1, 1);
    });
}

#[test]
fn a_codec_that_panics_is_an_unknown_outcome_and_leaves_the_node_hearing() {
    staged(async |mut stage| {
        for (id, name) in [(1, "shop.panics.v1"), (2, "shop.panics-later.v1")] {
            stage.hear(ASKER, ask(id, name, b""));
            let (_, answered, answer) = stage.answer().await;
            assert_eq!(answered, id);
            assert!(matches!(answer, Err(AskError::Unknown(Unknown::UndecodableAnswer { .. }))), "{answer:?}");
        }
        stage.hear(ASKER, ask(3, "shop.now.v1", b""));
        assert_eq!(stage.answer().await.1, 3);
        stage.remote.finish_answers().await;
    });
}

#[test]
fn a_reply_that_is_too_large_is_an_unknown_outcome() {
    staged(async |mut stage| {
        stage.hear(ASKER, ask(1, "shop.large.v1", b""));
        let answer = stage.answer().await.2;
        assert!(matches!(answer, Err(AskError::Unknown(Unknown::UndecodableAnswer { .. }))), "{answer:?}");
    });
}

#[test]
fn the_runtime_answers_while_all_actors_are_blocked() {
    staged(async |mut stage| {
        stage.node.is_blocked.store(true, Ordering::Relaxed);
        stage.hear(ASKER, ask(1, "shop.now.v1", b""));
        stage.hear(ASKER, ask(2, "essaim.status.v1", b""));
        assert_eq!(stage.answer().await.1, 2);
        let held: Vec<_> = stage.node.held.lock().drain(..).collect();
        held.into_iter().for_each(|batch| batch.begin());
        assert_eq!(stage.answer().await.1, 1);
    });
}

#[test]
fn a_draining_node_refuses_new_asks_and_waits_for_those_that_it_took() {
    staged(async |mut stage| {
        stage.hear(ASKER, ask(1, "shop.later.v1", b""));
        stage.settle().await;
        stage.remote.announce_leave().await;
        stage.hear(ASKER, ask(2, "shop.now.v1", b""));
        let draining = NotDelivered::Draining { node: "me".into() };
        assert_eq!(stage.answer().await, (ASKER_INBOX.into(), 2, Err(AskError::NotDelivered(draining))));
        let mut finished = {
            let remote = stage.remote.clone();
            Box::pin(async move { remote.finish_answers().await })
        };
        assert!(timeout(PATIENCE, &mut finished).await.is_err(), "the first is not answered");
        stage.node.goes_on.notify_one();
        let before = tokio::time::Instant::now();
        finished.await;
        assert_eq!(before.elapsed(), Duration::ZERO, "the last answer ends the wait");
        assert_eq!(stage.answer().await.1, 1);
    });
}

#[test]
fn an_answer_whose_link_was_closed_goes_by_a_new_one() {
    staged(async |mut stage| {
        stage.hear(ASKER, ask(1, "shop.later.v1", b"late"));
        stage.settle().await;
        // The asker is no member and its link is idle, so the link is closed at the next heartbeat.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(stage.remote.known_link(ASKER_INBOX).is_none());
        stage.node.goes_on.notify_one();
        assert_eq!(stage.answer().await, (ASKER_INBOX.into(), 1, Ok(b"late".to_vec())));
    });
}

#[test]
fn asks_behind_the_last_frame_are_answered_before_the_node_leaves() {
    staged(async |mut stage| {
        stage.hear(ASKER, ask(1, "shop.later.v1", b""));
        stage.settle().await;
        let remote = stage.remote.clone();
        let mut closing = Box::pin(async move { remote.close().await });
        assert!(closing.as_mut().now_or_never().is_none());
        stage.wire.closed_inbox.notified().await;
        stage.events.send(WireEvent::Closed).unwrap();
        assert!(timeout(PATIENCE, &mut closing).await.is_err(), "an ask is not answered");
        stage.node.goes_on.notify_one();
        closing.await;
        let last_two = [stage.sent(answer_or_leave).await, stage.sent(answer_or_leave).await];
        assert_eq!(last_two, ["answer", "leave"]);
    });
}

fn answer_or_leave(sent: Sent) -> Option<&'static str> {
    match sent {
        Sent::Answer { .. } => Some("answer"),
        Sent::Leave => Some("leave"),
        _ => None,
    }
}

#[test]
fn a_node_without_its_lease_takes_no_asks() {
    staged(async |mut stage| {
        stage.heartbeat().await;
        stage.wire.renews.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(10)).await;
        stage.hear(ASKER, ask(1, "shop.now.v1", b""));
        let unreachable = NotDelivered::Unreachable { node: "me".into() };
        assert_eq!(stage.answer().await.2, Err(AskError::NotDelivered(unreachable)));
        assert!(stage.node.asked.lock().is_empty());
    });
}
