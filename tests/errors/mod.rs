//! Every way in which an ask can end without a reply has the same error in one process and across Redis.
//!
//! # Layout
//!
//! - [`probe`]: capabilities that do what they are asked to, such as panicking.
//! - [`stage`]: the probes in one node, or in two with a real Redis between them.

mod probe;
mod stage;

use std::time::Duration;

use essaim::{NodeError, Roster};
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered, Unknown};

use crate::support::Redis;
use probe::{Ask as Question, Deed, Do, Relay, Whisper};
pub use probe::{AskingProbeActor, RelayActor};
use stage::Stage;
pub use stage::{FarNode, TestNode, config};

/// Time limit of asks that end by themselves, long enough on a busy machine.
const AMPLE: Duration = Duration::from_secs(30);
/// Short enough to wait out, and longer than the stage's margin.
const SHORT: Duration = Duration::from_millis(800);

/// Runs each case in one node, and with the probe in another node than the asker.
macro_rules! both_ways {
    ($($case:ident),+ $(,)?) => {
        mod in_one_process {
            $(#[test] fn $case() { super::$case(super::Stage::local); })+
        }
        mod across_redis {
            $(#[test] fn $case() { super::$case(super::Stage::over_redis); })+
        }
    };
}

both_ways!(
    an_answer_and_a_rejection_arrive,
    a_panic_is_a_failure,
    a_handler_that_runs_too_long_is_unknown,
    a_message_that_waits_too_long_surely_did_not_run,
    an_overload_is_refused_at_once,
    a_missing_host_is_named,
    a_cycle_is_refused_with_its_chain,
);

type Way = fn(stage::Bounds) -> Stage;

fn an_answer_and_a_rejection_arrive(way: Way) {
    let stage = way(stage::Bounds::default());
    assert_eq!(stage.ask(AMPLE, Do(Deed::Answer)), Ok("answered".into()));
    assert_eq!(stage.ask(AMPLE, Do(Deed::Reject)), Err(AskError::Rejected("no".into())));
}

fn a_panic_is_a_failure(way: Way) {
    let stage = way(stage::Bounds::default());
    let failure = Failure { kind: FailureKind::Panicked, detail: "asked to".into() };
    assert_eq!(stage.ask(AMPLE, Do(Deed::Panic)), Err(AskError::Failed(failure)));
    assert_eq!(stage.ask(AMPLE, Do(Deed::Answer)), Ok("answered".into()), "the capability goes on");
}

fn a_handler_that_runs_too_long_is_unknown(way: Way) {
    let stage = way(stage::Bounds::default());
    let Err(AskError::Unknown(Unknown::TimedOut { doing, .. })) = stage.ask(SHORT, Do(Deed::Wait)) else {
        panic!("{SHORT:?}")
    };
    assert_eq!(doing, "waiting for something of its own, such as a lock or a timer");
}

fn a_message_that_waits_too_long_surely_did_not_run(way: Way) {
    let stage = way(stage::Bounds { instances: 1, mailbox: 8 });
    let _running = stage.ask_aside(Do(Deed::Wait));
    stage.wait_until_running(1);
    let ended = stage.ask(SHORT, Do(Deed::Answer));
    assert!(matches!(&ended, Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1, .. }))), "{ended:?}");
}

fn an_overload_is_refused_at_once(way: Way) {
    let stage = way(stage::Bounds { instances: 2, mailbox: 2 });
    let _running = [stage.ask_aside(Do(Deed::Wait)), stage.ask_aside(Do(Deed::Wait))];
    stage.wait_until_running(2);
    let bound = "capabilities.probe.mailbox = 2 messages".to_string();
    let overloaded = NotDelivered::Overloaded { capability: "probe".into(), bound };
    assert_eq!(stage.ask(AMPLE, Do(Deed::Answer)), Err(AskError::NotDelivered(overloaded)));
}

fn a_missing_host_is_named(way: Way) {
    let stage = way(stage::Bounds::default());
    let no_host = NotDelivered::NoHost { capability: "nobody".into() };
    assert_eq!(stage.ask(AMPLE, Whisper), Err(AskError::NotDelivered(no_host)));
}

fn a_cycle_is_refused_with_its_chain(way: Way) {
    let stage = way(stage::Bounds::default());
    let refused = stage.ask(AMPLE, Relay(Question::BackToMe)).expect("the relay tells what its ask came to");
    let chain = ["relay", "probe", "relay"].map(String::from).to_vec();
    assert_eq!(refused, Some(AskError::NotDelivered(NotDelivered::Cycle { chain })));
}

#[test]
fn a_handler_that_blocks_its_thread_is_told_from_one_that_waits() {
    let stage = Stage::local(stage::Bounds { instances: 1, mailbox: 8 });
    let blocked = stage.ask(SHORT, Do(Deed::Block));
    let behind = stage.ask(SHORT, Do(Deed::Answer));
    probe::unblock();
    let computing = "computing or blocking its thread";
    let timed_out = Unknown::TimedOut { running_ms: 0, doing: computing.into() };
    assert_eq!(blocked, Err(AskError::Unknown(timed_out)), "it has not waited: nobody knows since when it runs");
    let Err(AskError::NotDelivered(NotDelivered::Expired { behind, .. })) = behind else { panic!("{behind:?}") };
    assert_eq!(behind, format!("a handler that has not waited yet, {computing}"));
    assert_eq!(stage.ask(AMPLE, Do(Deed::Answer)), Ok("answered".into()), "the capability goes on");
}

#[test]
fn a_roster_whose_asks_go_round_does_not_start() {
    let roster = Roster::new().host::<RelayActor>().host::<AskingProbeActor>();
    let refused = TestNode::try_start(roster, &["relay", "probe"], config("all", None)).err();
    assert!(matches!(&refused, Some(NodeError::Cycle(way)) if way == "probe -> relay -> probe"), "{refused:?}");
}

#[test]
fn a_node_whose_asks_go_round_with_those_of_others_is_refused_when_it_joins() {
    let redis = Redis::start();
    let url = redis.url();
    let join = |name, roster, hosts| TestNode::try_start(roster, hosts, config(name, Some(&url)));
    let _present = join("present", Roster::new().host::<RelayActor>(), &["relay"]).expect("alone it has no cycle");
    let refused = join("joining", Roster::new().host::<AskingProbeActor>(), &["probe"]).err();
    assert!(matches!(&refused, Some(NodeError::Cycle(way)) if way.contains("probe -> relay")), "{refused:?}");
}
