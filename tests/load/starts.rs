//! A capability whose start fails, again and again, and then succeeds.

use std::time::Duration;

use essaim::config::Config;
use essaim::{Client, Health, NodeStatus, Roster};
use essaim_contract::{AskError, NotDelivered};
use tokio::runtime::Builder;

use super::actors::{Echo, Hello, LateActor, SteadyActor, Step, Tries};
use crate::errors::{TestNode, config};
use crate::support::eventually;

/// How often the start fails.
const FAILING: u32 = 10;
/// The longest wait before the second try, and between any two, in milliseconds.
const BACKOFF_MS: (u64, u64) = (20, 160);
/// Longer than any test waits.
const FOR_EVER_MS: u64 = 3_600_000;

#[test]
fn what_instances_share_is_tried_until_it_can_be_built() {
    comes_up_by_itself(Step::Share);
}

#[test]
fn an_instance_is_tried_until_it_can_be_built() {
    comes_up_by_itself(Step::Start);
}

/// The defaults, but for waits that a test can wait out.
fn config_of(instances: usize) -> Config {
    let mut config = config("starts", None);
    let supervision = &mut config.settings.supervision;
    (supervision.backoff_first_ms, supervision.backoff_most_ms) = BACKOFF_MS;
    supervision.failed_retry_ms = FOR_EVER_MS;
    config.settings.capabilities.entry("late".into()).or_default().instances = instances;
    config
}

fn start(config: Config, tries: &Tries) -> TestNode {
    let roster = Roster::new().host::<LateActor>().host::<SteadyActor>().provide(tries.clone());
    TestNode::try_start_without_waiting(roster, &["late", "steady"], config).expect("a late capability is no error")
}

fn comes_up_by_itself(step: Step) {
    let tries = Tries::failing(step, FAILING);
    let node = start(config_of(1), &tries);
    let client = node.client();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let ask = || runtime.block_on(client.ask(Hello));
    // At each moment an ask is refused at once, with the reason.
    while tries.count() < FAILING {
        let refused = ask();
        assert!(matches!(&refused, Err(AskError::NotDelivered(NotDelivered::Starting { .. }))), "{refused:?}");
        runtime.block_on(others_go_on(client));
    }
    let reason = format!("try {} failed", FAILING - 1);
    let starting = NotDelivered::Starting { capability: "late".into(), reason: reason.clone() };
    assert_eq!(ask(), Err(AskError::NotDelivered(starting)));
    let health = || runtime.block_on(NodeStatus::of(client)).capabilities["late"].health.clone();
    assert_eq!(health(), Health::Starting { reason });
    tries.last.let_pass(1);
    eventually("the capability", || (health() == Health::Running).then_some(()));
    assert_eq!(ask(), Ok("here at last".into()));

    let begun = tries.begun();
    assert_eq!(begun.len() as u32, FAILING + 1, "it is not tried again once it is up");
    for (failures, pair) in begun.windows(2).enumerate() {
        let longest = (BACKOFF_MS.0 << failures).min(BACKOFF_MS.1);
        let waited = pair[1] - pair[0];
        // The jitter takes up to a half; a busy machine only adds.
        assert!(waited >= Duration::from_millis(longest / 2), "{waited:?} after {} failures", failures + 1);
    }
}

async fn others_go_on(client: &Client) {
    // The two capabilities start independently, and this one is up at once.
    loop {
        match client.ask(Echo(7)).await {
            Err(AskError::NotDelivered(NotDelivered::Starting { reason, .. })) if reason.is_empty() => {
                tokio::task::yield_now().await;
            }
            answer => return assert_eq!(answer, Ok(7)),
        }
    }
}

#[test]
fn many_instances_that_fail_once_each_do_not_use_up_the_tries() {
    // As many as a capability with a database has, and more than `supervision.max_failures`.
    let instances = 32;
    let tries = Tries::failing(Step::Start, instances as u32);
    tries.last.let_pass(1);
    let node = start(config_of(instances), &tries);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    // A capability that was given up would come back after an hour.
    eventually("the capability", || runtime.block_on(node.client().ask(Hello)).ok());
    let up = || runtime.block_on(NodeStatus::of(node.client())).capabilities["late"].up;
    eventually("every instance", || (up() == instances).then_some(()));
}
