//! Who joins, and who is silent or lost; in `refused`: with whom the ask graph would have a cycle.

use super::*;

mod refused;
use crate::remote::frame::VERSION;
use crate::remote::lane::LaneLimits;

pub fn header(from: &str, epoch: u64) -> FrameHeader<'_> {
    FrameHeader { version: VERSION, from, epoch, inbox: "i", sent_bytes: 0, granted_bytes: 0, message_count: 1 }
}

pub fn beat(capability: &str, asks: &[&str]) -> Heartbeat {
    let host = HostReport {
        running: true,
        load: 0,
        limit: 10,
        instances: 1,
        up: 1,
        restarts: 0,
        asks: asks.iter().map(|a| a.to_string()).collect(),
        messages: vec![format!("{capability}.do.v1")],
    };
    Heartbeat {
        hello: false,
        state: NodeState::Ready,
        version: "1".into(),
        cluster: String::new(),
        window_bytes: 1,
        capabilities: BTreeMap::from([(capability.to_string(), host)]),
    }
}

/// What a node hears that hosts nothing itself, before it hears anybody.
pub fn nobody() -> Members {
    heard_by("me", 1_000, &Heartbeat { capabilities: BTreeMap::new(), ..beat("none", &[]) })
}

/// What this node hears, before it hears anybody.
fn heard_by(name: &str, epoch: u64, own: &Heartbeat) -> Members {
    Members::of(Own { name: name.into(), epoch, asks: declared(own), refused_nodes: 3 })
}

pub fn lane() -> Arc<Lane> {
    let limits = LaneLimits { frame_bytes: 1, queue_bytes: 1, window_bytes: 1, want_after: Duration::from_secs(1) };
    Arc::new(Lane::new("n".into(), "i".into(), limits, 1))
}

#[tokio::test(start_paused = true)]
async fn a_higher_epoch_takes_over_and_a_lower_one_is_ignored() {
    let (members, now) = (nobody(), Instant::now());
    let hear = |epoch| match members.beat(&header("a", epoch), beat("x", &[]), now, lane) {
        Change::New { over_epoch, refused: false } => Some(over_epoch),
        _ => None,
    };
    assert_eq!((hear(5), hear(4), hear(6)), (Some(None), None, Some(Some(5))));
    assert!(members.remove("a", 5).is_none(), "the farewell of a dead epoch changes nothing");
    assert!(members.remove("a", 6).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_at_whose_inbox_nobody_listens_is_silent_at_once_until_it_beats() {
    let (members, now) = (nobody(), Instant::now());
    members.beat(&header("a", 1), beat("x", &[]), now, lane);
    let peer = members.get("a").unwrap();
    assert!(!peer.is_silent() && members.reach("x"));
    peer.lane.received_by(0);
    assert!(peer.is_silent() && !members.reach("x"));
    members.beat(&header("a", 1), beat("x", &[]), now, lane);
    assert!(!peer.is_silent());
}

#[tokio::test(start_paused = true)]
async fn silence_comes_before_loss_and_a_beat_ends_it() {
    let (members, start) = (nobody(), Instant::now());
    let (silent, lease) = (Duration::from_secs(1), Duration::from_secs(5));
    members.beat(&header("a", 1), beat("x", &[]), start, lane);
    assert!(members.overdue(start + Duration::from_secs(2), silent, lease).is_empty());
    let peer = members.get("a").unwrap();
    assert!(peer.is_silent());
    assert_eq!(members.overdue(start + Duration::from_secs(6), silent, lease).len(), 1);
    members.beat(&header("a", 1), beat("x", &[]), start + Duration::from_secs(6), lane);
    assert!(!peer.is_silent());
}
