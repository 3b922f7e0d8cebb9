//! Commands whose time is further ahead than the clocks of nodes may be apart: that is no sign of a wrong clock.

use std::time::Duration;

use super::probe::{Probe, Sell};
use super::stage::Stage;
use crate::support::{Redis, eventually};

const SECRET: &str = "the secret of more than 32 characters that nodes have";
/// How far the clocks of nodes may be apart.
const APART_MS: u64 = 100;
const SOON: Duration = Duration::from_millis(10 * APART_MS);
const HOUR: Duration = Duration::from_hours(1);

fn sell(what: &str) -> Sell {
    Sell { to: "ann".into(), what: what.into() }
}

#[track_caller]
fn waits_for_its_time(redis: Option<Redis>, secret: &str) {
    let probe = Probe::default();
    let stage = Stage::with_good_clocks(&probe, redis, APART_MS, secret);
    let sent = stage.send_later(sell("bread of tomorrow"), HOUR);
    stage.send_later(sell("bread"), SOON);
    eventually("what is due soon", || probe.applied().contains(&"shop: bread".to_string()).then_some(()));
    let parked = stage.json(&["parked", "list"]);
    let messages = parked["messages"].as_array().expect("a list");
    let [later] = messages.as_slice() else { panic!("one message is not due: {parked}") };
    assert_eq!((later["id"].as_str(), &later["error"]), (Some(&*sent), &serde_json::Value::Null));
    let (due, asked) = (later["due_ms"].as_u64(), parked["asked_at_ms"].as_u64());
    assert!(due.zip(asked).is_some_and(|(due, asked)| due > asked + 59 * 60_000), "{parked}");
    assert!(stage.dead(0).is_empty());
    let remembered = stage.sql("shop", &format!("SELECT at_ms FROM essaim_inbox WHERE id = '{sent}'"));
    assert_eq!(
        remembered.trim().parse().ok(),
        due,
        "copies of it are known for as long after its time as those of any other"
    );
}

#[test]
fn in_one_process_a_command_is_applied_when_it_is_due_however_far_ahead() {
    waits_for_its_time(None, "");
    waits_for_its_time(None, SECRET);
}

#[test]
fn over_redis_a_command_is_applied_when_it_is_due_however_far_ahead() {
    waits_for_its_time(Some(Redis::start()), "");
    waits_for_its_time(Some(Redis::start()), SECRET);
}
