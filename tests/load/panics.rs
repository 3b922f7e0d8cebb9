//! A handler that panics at every third message, a thousand times; and one that only panics.

use std::time::Duration;

use essaim::config::Settings;
use essaim::{Client, Harness, Health, NodeStatus, Roster};
use essaim_contract::{AskError, Failure, FailureKind, NotDelivered};

use super::actors::{Echo, Gate, Moody, MoodyActor, Say, Stay, SteadyActor};
use super::clients::ask_aside;
use crate::errors::{TestNode, config};
use crate::support::eventually;

const PANICS: u64 = 1_000;
/// Messages that may be admitted at a time.
const MAILBOX: u32 = 8;

#[test]
fn a_thousand_panics_cost_nobody_but_those_who_asked_for_them() {
    let mut config = config("panics", None);
    config.settings.node.arbiters = 2;
    // The breaker would open at the second panic without a success between.
    config.settings.supervision.max_failures = 2;
    let moody = config.settings.capabilities.entry("moody".into()).or_default();
    (moody.instances, moody.mailbox) = (1, MAILBOX);
    let gate = Gate::shut();
    let roster = Roster::new().host::<MoodyActor>().host::<SteadyActor>().provide(gate.clone());
    let node = TestNode::try_start(roster, &["moody", "steady"], config).expect("the node starts");
    let client = node.client();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async { tokio::join!(provoke(client), others_go_on(client), others_go_on(client)) });
    all_places_are_free(client, &runtime, &gate);
    let status = runtime.block_on(NodeStatus::of(client));
    let moody = &status.capabilities["moody"];
    assert_eq!((&moody.health, moody.panics, moody.restarts), (&Health::Running, PANICS, PANICS));
    assert_eq!(status.capabilities["steady"].panics, 0);
}

/// Asks three by three, of which the third panics.
async fn provoke(client: &Client) {
    for n in 1..=3 * PANICS {
        let said = client.ask(Say(n)).await;
        match n % 3 {
            0 => {
                let failure = Failure { kind: FailureKind::Panicked, detail: format!("{n} is too much") };
                assert_eq!(said, Err(AskError::Failed(failure)));
            }
            // What the state counts begins anew after every panic.
            since_the_panic => assert_eq!(said, Ok(since_the_panic)),
        }
    }
}

async fn others_go_on(client: &Client) {
    for n in 0..PANICS {
        assert_eq!(client.ask(Echo(n)).await, Ok(n));
    }
}

/// As many are admitted as ever, and one more is not.
fn all_places_are_free(client: &Client, runtime: &tokio::runtime::Runtime, gate: &Gate) {
    let staying: Vec<_> = (0..MAILBOX).map(|_| ask_aside(runtime, client, Stay)).collect();
    let admitted = || runtime.block_on(NodeStatus::of(client)).capabilities["moody"].admitted;
    eventually("every place to be taken", || (admitted() == MAILBOX).then_some(()));
    let bound = format!("capabilities.moody.mailbox = {MAILBOX} messages");
    let overloaded =
        NotDelivered::Overloaded { capability: <Moody as essaim_contract::Capability>::NAME.into(), bound };
    assert_eq!(runtime.block_on(client.ask(Stay)), Err(AskError::NotDelivered(overloaded)));
    gate.let_pass(MAILBOX as usize);
    for stayed in staying {
        assert_eq!(runtime.block_on(stayed).expect("it does not panic"), Ok(()));
    }
    assert_eq!(admitted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_capability_that_only_panics_is_given_up_by_all_its_instances_and_tried_again() {
    let (max_failures, rest) = (3, Duration::from_secs(30));
    let settings = |s: &mut Settings| {
        s.supervision.max_failures = max_failures;
        s.supervision.failed_retry_ms = rest.as_millis() as u64;
        s.capabilities.entry("moody".into()).or_default().instances = 2;
    };
    let t = Harness::<MoodyActor>::bare().provide(Gate::shut()).runtime(settings).start().await;
    let pass = |time| t.run(tokio::time::sleep(time));
    for n in 1..=u64::from(max_failures) {
        assert!(matches!(t.ask(Say(3 * n)).await, Err(AskError::Failed(_))));
        // The one that panicked second has begun to wait, so the other one gets the third.
        pass(Duration::from_millis(1)).await;
    }
    let refused = |said| matches!(said, Err(AskError::NotDelivered(NotDelivered::Failed { .. })));
    assert!(refused(t.ask(Say(1)).await));
    // By now the first instance would have come back, and ended the rest of the other.
    pass(rest - Duration::from_secs(1)).await;
    assert!(refused(t.ask(Say(1)).await));
    pass(Duration::from_secs(1)).await;
    assert_eq!(t.ask(Say(1)).await, Ok(1));
}
