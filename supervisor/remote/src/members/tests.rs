//! Nodes that join, fall silent and are lost; in `refused`: nodes that would close a cycle in the ask graph.

use super::*;

mod refused;
use crate::link::LinkLimits;
use essaim_protocol::frame::{HostReport, VERSION};

pub fn header(from: &str, epoch: u64) -> FrameHeader<'_> {
    let (sent_bytes, granted_bytes, message_count, number) = (0, 0, 1, 0);
    FrameHeader { version: VERSION, from, epoch, inbox: "i", sent_bytes, granted_bytes, message_count, number }
}

pub fn heartbeat(capability: &str, asks: &[&str]) -> Heartbeat {
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

/// The members, none yet, of a node that hosts nothing.
pub fn no_members() -> Members {
    members_of("me", 1_000, &Heartbeat { capabilities: BTreeMap::new(), ..heartbeat("none", &[]) })
}

/// The members, none yet, of this node.
fn members_of(name: &str, epoch: u64, own: &Heartbeat) -> Members {
    Members::of(OwnNode { name: name.into(), epoch, asks: declared_asks(&own.capabilities), max_refused_nodes: 3 })
}

pub fn link() -> Arc<PeerLink> {
    let limits =
        LinkLimits { frame_bytes: 1, queue_bytes: 1, window_bytes: 1, credit_request_after: Duration::from_secs(1) };
    Arc::new(PeerLink::new("n".into(), "i".into(), limits, 1))
}

#[tokio::test(start_paused = true)]
async fn a_higher_epoch_takes_over_and_a_lower_one_is_ignored() {
    let (members, now) = (no_members(), Instant::now());
    let hear = |epoch| match members.record_heartbeat(&header("a", epoch), heartbeat("x", &[]), now, link) {
        MembershipChange::New { over_epoch, refused: false } => Some(over_epoch),
        _ => None,
    };
    assert_eq!((hear(5), hear(4), hear(6)), (Some(None), None, Some(Some(5))));
    assert!(members.remove("a", 5, Absence::Left, now).is_none(), "the farewell of a dead epoch changes nothing");
    assert!(members.remove("a", 6, Absence::Left, now).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_inbox_has_no_subscriber_is_silent_at_once_until_its_next_heartbeat() {
    let (members, now) = (no_members(), Instant::now());
    members.record_heartbeat(&header("a", 1), heartbeat("x", &[]), now, link);
    let peer = members.get("a").unwrap();
    assert!(!peer.is_silent() && members.reach("x"));
    peer.link.record_receivers(0);
    assert!(peer.is_silent() && !members.reach("x"));
    members.record_heartbeat(&header("a", 1), heartbeat("x", &[]), now, link);
    assert!(!peer.is_silent());
}

#[tokio::test(start_paused = true)]
async fn silence_comes_before_loss_and_a_heartbeat_ends_it() {
    let (members, start) = (no_members(), Instant::now());
    let (silent, lease) = (Duration::from_secs(1), Duration::from_secs(5));
    members.record_heartbeat(&header("a", 1), heartbeat("x", &[]), start, link);
    assert!(members.mark_silent(start + Duration::from_secs(2), silent, lease).is_empty());
    let peer = members.get("a").unwrap();
    assert!(peer.is_silent());
    assert_eq!(members.mark_silent(start + Duration::from_secs(6), silent, lease).len(), 1);
    members.record_heartbeat(&header("a", 1), heartbeat("x", &[]), start + Duration::from_secs(6), link);
    assert!(!peer.is_silent());
}

#[tokio::test(start_paused = true)]
async fn a_node_hosts_what_its_last_heartbeat_says() {
    let (members, now) = (no_members(), Instant::now());
    members.record_heartbeat(&header("a", 1), heartbeat("shop", &[]), now, link);
    assert!(members.hosts("a", "shop") && !members.hosts("a", "till") && !members.hosts("b", "shop"));
    members.record_heartbeat(&header("a", 1), heartbeat("till", &[]), now, link);
    assert!(members.hosts("a", "till") && !members.hosts("a", "shop"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_is_remembered_with_what_it_hosted_until_it_is_back_or_ten_minutes_have_gone() {
    let (members, now) = (no_members(), Instant::now());
    let hear = |name, epoch| {
        members.record_heartbeat(&header(name, epoch), heartbeat("x", &[]), now, link);
    };
    let absent = |later: u64| {
        let all = members.absent(now + Duration::from_secs(later)).into_iter();
        all.map(|(name, node)| (name, node.hosted.concat(), node.absence)).collect::<Vec<_>>()
    };
    hear("left", 1);
    hear("lost", 1);
    assert_eq!(absent(0), []);
    members.remove("left", 1, Absence::Left, now);
    members.remove("lost", 1, Absence::Lost, now);
    let both = [("left", Absence::Left), ("lost", Absence::Lost)].map(|(name, why)| (name.into(), "x".into(), why));
    assert_eq!(absent(600), both);
    assert_eq!(absent(601), []);
    hear("lost", 2);
    assert_eq!(absent(0), both[..1]);
}
