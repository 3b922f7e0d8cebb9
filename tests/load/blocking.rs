//! A handler that blocks its thread.

use essaim::{NodeStatus, Roster};
use tokio::runtime::Builder;

use super::actors::{Block, Echo, Leave, RudeActor, SteadyActor, Wait};
use super::clients::ask_aside;
use super::log;
use crate::errors::{TestNode, config};
use crate::support::eventually;

/// How long a thread may be blocked, in milliseconds.
const WATCHDOG_MS: u64 = 400;

#[test]
fn a_handler_that_blocks_its_thread_is_named_and_other_threads_go_on() {
    log::keep();
    let mut config = config("blocking", None);
    config.settings.node.arbiters = 2;
    config.settings.node.watchdog_ms = WATCHDOG_MS;
    config.settings.ask.timeout_ms = 60_000;
    // Instances go round: of two, one is on each thread; a single one is on the first.
    config.settings.capabilities.entry("rude".into()).or_default().instances = 2;
    config.settings.capabilities.entry("steady".into()).or_default().instances = 1;
    let leave = Leave::none();
    let roster = Roster::new().host::<RudeActor>().host::<SteadyActor>().provide(leave.clone());
    let node = TestNode::try_start(roster, &["rude", "steady"], config).expect("the node starts");
    let client = node.client();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let rude = || runtime.block_on(NodeStatus::of(client)).capabilities["rude"].clone();
    eventually("both instances", || (rude().up == 2).then_some(()));

    // The instance of the first thread waits, so that the one of the second gets to block.
    let waiting = ask_aside(&runtime, client, Wait);
    eventually("the first message", || (rude().admitted == 1).then_some(()));
    let blocking = ask_aside(&runtime, client, Block);
    let line = log::wait_for_line(&["blocks its arbiter", "rude.block.v1"]);
    assert!(line.contains("ERROR") && line.contains("arbiter=1"), "{line}");
    for n in 0..100 {
        assert_eq!(runtime.block_on(client.ask(Echo(n))), Ok(n));
    }
    let status = runtime.block_on(NodeStatus::of(client));
    assert!(status.blocked_arbiters >= 1 && status.capabilities["rude"].admitted == 2);

    leave.unblock();
    leave.gate.let_pass(3);
    for ended in [waiting, blocking] {
        assert_eq!(runtime.block_on(ended).expect("it does not panic"), Ok(()));
    }
    for _ in 0..2 {
        assert_eq!(runtime.block_on(client.ask(Block)), Ok(()));
        assert_eq!(runtime.block_on(client.ask(Wait)), Ok(()));
    }
    assert_eq!(rude().restarts, 0);
}
