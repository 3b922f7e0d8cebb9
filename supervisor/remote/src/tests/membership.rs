//! The node among others: it joins, announces changes, notices that it is deaf or replaced, and leaves.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_change_of_a_hosted_capability_is_announced_at_once() {
    staged(async |mut stage| {
        stage.settle().await;
        let before = tokio::time::Instant::now();
        stage.node.changed.notify_one();
        assert_eq!(stage.heartbeat().await.capabilities, stage.node.reports());
        assert_eq!(before.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_node_that_joins_waits_until_all_that_heard_it_have_answered() {
    staged(async |mut stage| {
        stage.wire.audience.store(2, Ordering::Relaxed);
        let remote = stage.remote.clone();
        let joining = tokio::task::spawn_local(async move { remote.join().await });
        assert!(stage.heartbeat().await.hello);
        assert!(!joining.is_finished());
        stage.hear(("a", 1), FrameMessage::Heartbeat(heartbeat("stock", &[])));
        assert_eq!(joining.await.unwrap(), None);
    });
}

#[test]
fn a_node_that_would_close_a_cycle_is_told_so_and_ends_after_a_lease() {
    staged(async |mut stage| {
        stage.wire.audience.store(2, Ordering::Relaxed);
        stage.hear(("a", 1), FrameMessage::Heartbeat(heartbeat("stock", &["shop"])));
        let cycle = stage.remote.join().await.expect("the asks go in a circle");
        assert_eq!(cycle.first(), cycle.last());
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stage.hear(("a", 1), FrameMessage::Heartbeat(heartbeat("stock", &["shop"])));
        }
        let fatal = stage.fatal.borrow_and_update().clone();
        assert_eq!(fatal, Some(Fatal::new(1, cycle.join(" -> "))));
    });
}

#[test]
fn a_node_of_this_name_with_a_higher_epoch_ends_this_one() {
    staged(async |mut stage| {
        stage.hear(("me", 99), FrameMessage::Heartbeat(heartbeat("shop", &[])));
        stage.settle().await;
        assert_eq!(*stage.fatal.borrow_and_update(), None);
        stage.hear(("me", 101), FrameMessage::Heartbeat(heartbeat("shop", &[])));
        stage.settle().await;
        assert_eq!(stage.fatal.borrow_and_update().as_ref().map(|f| f.code), Some(essaim_base::exit::SUPERSEDED));
    });
}

#[test]
fn a_node_of_another_cluster_is_no_member() {
    staged(async |stage| {
        let foreign = Heartbeat { cluster: "d".into(), ..heartbeat("stock", &[]) };
        stage.hear(("a", 1), FrameMessage::Heartbeat(foreign));
        stage.settle().await;
        assert!(stage.remote.members().all().is_empty());
    });
}

#[test]
fn a_node_that_does_not_hear_its_own_pings_makes_a_new_connection() {
    staged(async |stage| {
        for count in 0..10 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stage.hear(("me", 100), FrameMessage::Ping(count));
        }
        assert_eq!(stage.wire.resets.load(Ordering::Relaxed), 0);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(stage.wire.resets.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn broadcasts_may_have_been_missed_only_when_a_lost_wire_is_back() {
    staged(async |mut stage| {
        stage.events.send(WireEvent::Restored).unwrap();
        assert!(stage.sent(|sent| matches!(&sent, Sent::Heartbeat(h) if h.hello).then_some(true)).await);
        assert_eq!(stage.node.missed_broadcasts.load(Ordering::Relaxed), 0);
        stage.events.send(WireEvent::Lost).unwrap();
        stage.events.send(WireEvent::Restored).unwrap();
        assert!(stage.sent(|sent| matches!(&sent, Sent::Heartbeat(h) if h.hello).then_some(true)).await);
        assert_eq!(stage.node.missed_broadcasts.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_drain_is_acknowledged_and_its_acknowledgement_is_awaited() {
    staged(async |mut stage| {
        let draining = || Heartbeat { state: NodeState::Draining, ..heartbeat("stock", &[]) };
        stage.hear(("a", 1), FrameMessage::Heartbeat(draining()));
        let acknowledged = stage
            .sent(|sent| match sent {
                Sent::DrainAck { inbox } => Some(inbox),
                _ => None,
            })
            .await;
        assert_eq!(acknowledged, "inbox:a:1");
        let remote = stage.remote.clone();
        let leaving = tokio::task::spawn_local(async move { remote.announce_leave().await });
        assert_eq!(stage.heartbeat().await.state, NodeState::Draining);
        assert!(!leaving.is_finished());
        stage.hear(("a", 1), FrameMessage::DrainAck);
        stage.settle().await;
        assert!(leaving.is_finished());
    });
}

#[test]
fn an_unreadable_frame_is_counted_and_the_next_one_is_read() {
    staged(async |mut stage| {
        stage.events.send(WireEvent::Frame(Channel::Inbox, Bytes::from_static(b"\xc1nonsense"))).unwrap();
        stage.hear(("asker", 7), ask(1, "shop.now.v1", b""));
        assert_eq!(stage.answer().await.1, 1);
        assert_eq!(stage.remote.unreadable(), 1);
    });
}
