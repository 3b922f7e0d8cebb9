//! Who joins, who is refused, and who is silent or lost.

use super::*;
use crate::remote::frame::VERSION;
use crate::remote::lane::LaneLimits;

pub fn header(from: &str, epoch: u64) -> Header<'_> {
    Header { essaim: VERSION, from, epoch, inbox: "i", sent: 0, grant: 0, n: 1 }
}

pub fn beat(capability: &str, asks: &[&str]) -> Beat {
    let host = HostBeat {
        running: true,
        load: 0,
        limit: 10,
        instances: 1,
        up: 1,
        restarts: 0,
        asks: asks.iter().map(|a| a.to_string()).collect(),
        messages: vec![format!("{capability}.do.v1")],
    };
    Beat {
        hello: false,
        state: NodeState::Ready,
        version: "1".into(),
        cluster: String::new(),
        window: 1,
        capabilities: BTreeMap::from([(capability.to_string(), host)]),
    }
}

/// A node that hosts nothing.
pub fn alone() -> Beat {
    Beat { capabilities: BTreeMap::new(), ..beat("none", &[]) }
}

pub fn lane() -> Arc<Lane> {
    let limits = LaneLimits { frame_bytes: 1, queue_bytes: 1, window_bytes: 1, want_after: Duration::from_secs(1) };
    Arc::new(Lane::new("n".into(), "i".into(), limits, 1))
}

#[tokio::test(start_paused = true)]
async fn a_higher_epoch_takes_over_and_a_lower_one_is_ignored() {
    let (members, now) = (Members::default(), Instant::now());
    let hear = |epoch| match members.beat(&header("a", epoch), beat("x", &[]), now, lane, alone) {
        Change::Joined { over_epoch, evicted } if evicted.is_empty() => Some(over_epoch),
        _ => None,
    };
    assert_eq!((hear(5), hear(4), hear(6)), (Some(None), None, Some(Some(5))));
    assert!(members.remove("a", 5).is_none(), "the farewell of a dead epoch changes nothing");
    assert!(members.remove("a", 6).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_asks_close_a_cycle_across_nodes_is_refused() {
    let (members, now) = (Members::default(), Instant::now());
    members.beat(&header("a", 1), beat("x", &["y"]), now, lane, alone);
    let refused = members.beat(&header("b", 2), beat("y", &["x"]), now, lane, alone);
    assert!(matches!(refused, Change::Ignored));
    assert_eq!(members.refusal(3), None, "another node that joins has no part in it");
    assert_eq!(members.cycle_among(&beat("y", &["x"])).unwrap(), ["x", "y", "x"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_at_whose_inbox_nobody_listens_is_silent_at_once_until_it_beats() {
    let (members, now) = (Members::default(), Instant::now());
    members.beat(&header("a", 1), beat("x", &[]), now, lane, alone);
    let peer = members.get("a").unwrap();
    assert!(!peer.is_silent() && members.reach("x"));
    peer.lane.received_by(0);
    assert!(peer.is_silent() && !members.reach("x"));
    members.beat(&header("a", 1), beat("x", &[]), now, lane, alone);
    assert!(!peer.is_silent());
}

#[tokio::test(start_paused = true)]
async fn silence_comes_before_loss_and_a_beat_ends_it() {
    let (members, start) = (Members::default(), Instant::now());
    let (silent, lease) = (Duration::from_secs(1), Duration::from_secs(5));
    members.beat(&header("a", 1), beat("x", &[]), start, lane, alone);
    assert!(members.overdue(start + Duration::from_secs(2), silent, lease).is_empty());
    let peer = members.get("a").unwrap();
    assert!(peer.is_silent());
    assert_eq!(members.overdue(start + Duration::from_secs(6), silent, lease).len(), 1);
    members.beat(&header("a", 1), beat("x", &[]), start + Duration::from_secs(6), lane, alone);
    assert!(!peer.is_silent());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_asks_close_a_cycle_with_this_node_is_refused() {
    let (members, now) = (Members::default(), Instant::now());
    let own = || beat("x", &["y"]);
    assert!(matches!(members.beat(&header("b", 4), beat("y", &["x"]), now, lane, own), Change::Ignored));
    assert_eq!(members.refusal(3), None, "the other came later");
    assert_eq!(members.refusal(5).unwrap(), ["x", "y", "x"], "it came later itself");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_heard_first_the_node_that_came_last_is_the_one_that_goes() {
    let (members, now) = (Members::default(), Instant::now());
    members.beat(&header("bystander", 9), beat("z", &[]), now, lane, alone);
    members.beat(&header("late", 7), beat("y", &["x"]), now, lane, alone);
    let joined = members.beat(&header("early", 5), beat("x", &["y"]), now, lane, alone);
    let Change::Joined { evicted, .. } = joined else { panic!("it was there before") };
    assert_eq!(evicted.iter().map(|p| &*p.name).collect::<Vec<_>>(), ["late"]);
    assert!(members.get("late").is_none() && members.get("early").is_some() && members.get("bystander").is_some());
    assert!(matches!(members.beat(&header("late", 8), beat("y", &["x"]), now, lane, alone), Change::Ignored));
    assert_eq!(members.refusal(10), None);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_refused_again_and_again_is_forgotten_once_it_is_gone() {
    let (members, start) = (Members::default(), Instant::now());
    let (silent, lease) = (Duration::from_secs(1), Duration::from_secs(5));
    members.beat(&header("a", 1), beat("x", &["y"]), start, lane, alone);
    for epoch in 2..100 {
        members.beat(&header("b", epoch), beat("y", &["x"]), start, lane, alone);
    }
    assert_eq!(members.heard(), 2);
    members.overdue(start + Duration::from_secs(6), silent, lease);
    assert_eq!(members.heard(), 1);
}
