//! Asks to other nodes: which errors they end with, and which of them are tried again elsewhere.

use essaim_base::call::Call;
use essaim_base::trace::TraceContext;
use essaim_contract::{AskError, NotDelivered, Unknown};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::super::asking::RemoteAsk;
use super::*;

fn stock_ask(idempotent: bool) -> RemoteAsk {
    let call = Call::of_the_runtime(Instant::now() + Duration::from_secs(5), TraceContext::root(&Env::system()));
    RemoteAsk {
        capability: "stock".into(),
        name: "stock.do.v1".into(),
        body: vec![1],
        key: None,
        personal_key: false,
        idempotent,
        call,
        refused: None,
    }
}

impl Stage {
    /// Has the node ask for stock.
    fn asks_stock(&self, idempotent: bool) -> std::pin::Pin<Box<dyn Future<Output = RawAnswer>>> {
        let (remote, ask) = (self.remote.clone(), stock_ask(idempotent));
        let mut answer = async move { remote.ask(ask).await }.boxed_local();
        assert!((&mut answer).now_or_never().is_none(), "another node is asked");
        answer
    }

    /// Lets nodes join that host stock.
    async fn joined_by(&self, nodes: &[&str]) {
        for node in nodes {
            self.hear((node, 1), FrameMessage::Heartbeat(heartbeat("stock", &[])));
        }
        self.settle().await;
    }
}

#[test]
fn the_reply_of_another_node_is_the_answer() {
    staged(async |mut stage| {
        stage.joined_by(&["a"]).await;
        let answer = stage.asks_stock(false);
        let (inbox, id) = stage.ask_sent().await;
        assert_eq!(inbox, "inbox:a:1");
        stage.hear(("a", 1), FrameMessage::Reply { id, body: serde_bytes::Bytes::new(&[2]) });
        assert_eq!(answer.await, Ok(vec![2]));
        assert_eq!(stage.remote.members().get("a").unwrap().outstanding.load(std::sync::atomic::Ordering::Relaxed), 0);
    });
}

#[test]
fn a_tracestate_goes_with_the_ask_to_another_node() {
    staged(async |mut stage| {
        stage.joined_by(&["a"]).await;
        let mut ask = stock_ask(false);
        ask.call.trace_state = "rojo=1".parse().unwrap();
        let mut answer = std::pin::pin!(stage.remote.ask(ask));
        assert!((&mut answer).now_or_never().is_none(), "another node is asked");
        let sent = stage.sent.recv();
        let state = timeout(PATIENCE, sent).await.unwrap();
        assert!(matches!(&state, Some(Sent::Ask { trace_state, .. }) if trace_state == "rojo=1"), "{state:?}");
    });
}

#[test]
fn an_ask_without_a_receiver_goes_to_another_node() {
    staged(async |mut stage| {
        stage.wire.deaf.lock().push("inbox:a:1".into());
        stage.joined_by(&["a", "b"]).await;
        let answer = stage.asks_stock(false);
        assert_eq!(stage.ask_sent().await.0, "inbox:a:1");
        let asking = tokio::task::spawn_local(answer);
        let (inbox, id) = stage.ask_sent().await;
        assert_eq!(inbox, "inbox:b:1");
        stage.hear(("b", 1), FrameMessage::Reply { id, body: serde_bytes::Bytes::new(&[3]) });
        assert_eq!(asking.await.unwrap(), Ok(vec![3]));
    });
}

#[test]
fn an_ask_to_a_node_that_left_since_it_was_chosen_is_unreachable_at_once() {
    staged(async |stage| {
        stage.joined_by(&["a"]).await;
        let chosen = stage.remote.members().get("a").unwrap();
        stage.hear(("a", 1), FrameMessage::Leave);
        stage.settle().await;
        let answer = stage.remote.ask_node(&chosen, &stock_ask(false)).now_or_never().expect("it waits for nothing");
        assert_eq!(answer, Err(AskError::NotDelivered(NotDelivered::Unreachable { node: "a".into() })));
    });
}

/// What a host says that cannot take an ask now.
fn overloaded() -> NotDelivered {
    NotDelivered::Overloaded { capability: "stock".into(), bound: "mailbox".into() }
}

#[test]
fn an_ask_that_a_node_did_not_take_goes_to_another_and_not_to_that_one_again() {
    staged(async |mut stage| {
        stage.joined_by(&["a", "b"]).await;
        let asking = tokio::task::spawn_local(stage.asks_stock(false));
        for node in ["a", "b"] {
            let (inbox, id) = stage.ask_sent().await;
            assert_eq!(inbox, format!("inbox:{node}:1"));
            stage.hear((node, 1), FrameMessage::Error { id, error: AskError::NotDelivered(overloaded()) });
        }
        assert_eq!(asking.await.unwrap(), Err(AskError::NotDelivered(overloaded())), "neither took it");
    });
}

#[test]
fn an_attempt_that_may_have_run_is_not_undone_by_a_later_one_that_did_not() {
    staged(async |mut stage| {
        stage.joined_by(&["a", "b"]).await;
        let asking = tokio::task::spawn_local(stage.asks_stock(true));
        stage.ask_sent().await;
        stage.events.send(WireEvent::Lost).unwrap();
        let (_, id) = stage.ask_sent().await;
        stage.hear(("b", 1), FrameMessage::Error { id, error: AskError::NotDelivered(overloaded()) });
        assert_eq!(asking.await.unwrap(), Err(AskError::Unknown(Unknown::WireLost { node: "a".into() })));
    });
}

#[test]
fn an_ask_without_an_answer_is_unknown_at_its_deadline_and_not_repeated() {
    staged(async |mut stage| {
        stage.joined_by(&["a", "b"]).await;
        let answer = stage.asks_stock(false).await;
        assert_eq!(answer, Err(AskError::Unknown(Unknown::NoAnswer { node: "a".into() })));
        stage.ask_sent().await;
        let again = stage.sent.try_recv();
        assert!(!matches!(again, Ok(Sent::Ask { .. })), "{again:?}");
    });
}

#[test]
fn a_lost_wire_leaves_an_ask_unknown_and_repeats_one_that_is_idempotent() {
    staged(async |mut stage| {
        stage.joined_by(&["a", "b"]).await;
        let (once, repeated) = (stage.asks_stock(false), stage.asks_stock(true));
        let repeated = tokio::task::spawn_local(repeated);
        stage.ask_sent().await;
        stage.ask_sent().await;
        stage.events.send(WireEvent::Lost).unwrap();
        assert!(matches!(once.await, Err(AskError::Unknown(Unknown::WireLost { .. }))));
        let (inbox, id) = stage.ask_sent().await;
        let node = inbox.split(':').nth(1).unwrap().to_string();
        stage.hear((&node, 1), FrameMessage::Reply { id, body: serde_bytes::Bytes::new(&[4]) });
        assert_eq!(repeated.await.unwrap(), Ok(vec![4]));
    });
}

#[test]
fn an_ask_to_an_epoch_that_is_replaced_is_lost_with_it() {
    staged(async |mut stage| {
        stage.joined_by(&["a"]).await;
        let answer = stage.asks_stock(false);
        stage.ask_sent().await;
        stage.hear(("a", 2), FrameMessage::Heartbeat(heartbeat("stock", &[])));
        assert_eq!(answer.await, Err(AskError::Unknown(Unknown::NodeLost { node: "a".into() })));
        assert_eq!(stage.remote.members().get("a").unwrap().epoch, 2);
    });
}

#[test]
fn an_ask_without_a_host_says_so_at_once() {
    staged(async |stage| {
        let answer = stage.remote.ask(stock_ask(true)).now_or_never().expect("it waits for nothing");
        assert_eq!(answer, Err(AskError::NotDelivered(NotDelivered::NoHost { capability: "stock".into() })));
    });
}
