//! Another log than before: one process first, then over Redis, then one process again.

use super::probe::{Probe, Ring, Sell};
use super::stage::Stage;
use crate::support::{Redis, eventually};

fn sell(stage: &Stage, probe: &Probe, what: &str) {
    for number in 0..6 {
        stage.send(Sell { to: format!("customer {number}"), what: format!("{what} {number}") });
    }
    let sold = format!("shop: {what}");
    let all = || probe.applied().iter().filter(|applied| applied.starts_with(&sold)).count() == 6;
    eventually(&format!("all {what} to be sold"), || all().then_some(()));
}

#[track_caller]
fn balances(stage: &Stage) {
    stage.at_rest();
    let said = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn what_the_embedded_log_holds_is_taken_along_to_redis_and_the_ledgers_go_on() {
    let probe = Probe::default();
    let stage = Stage::on(&probe, &["shop"], None, None);
    sell(&stage, &probe, "bread");
    for number in 0..3 {
        stage.send(Ring { why: format!("early {number}") });
    }
    let stage = Stage::on(&probe, &["shop", "bell"], Some(Redis::start()), Some(stage.end()));
    let rung = || probe.applied().iter().filter(|applied| applied.starts_with("bell: early")).count();
    eventually("what waited for the bell", || (rung() == 3).then_some(()));
    sell(&stage, &probe, "butter");
    balances(&stage);
    let stage = Stage::on(&probe, &["shop", "bell"], None, Some(stage.end()));
    sell(&stage, &probe, "jam");
    balances(&stage);
    assert_eq!(rung(), 3, "nothing rings again");
}

#[test]
fn over_a_redis_that_was_restarted_empty_all_ledgers_balance_also_of_capabilities_without_a_database() {
    let probe = Probe::default();
    let mut stage = Stage::over_redis(&probe);
    sell(&stage, &probe, "bread");
    balances(&stage);
    for time in 0..3 {
        stage.restart_redis();
        let what = format!("butter {time}");
        for number in 0..6 {
            let sell = Sell { to: format!("customer {number}"), what: format!("{what} {number}") };
            stage.send_at_last(sell);
        }
        let all = || probe.applied().iter().filter(|a| a.contains(&format!("shop: {what}"))).count() == 6;
        eventually("all to be sold", || all().then_some(()));
        balances(&stage);
    }
}

#[test]
fn over_a_redis_that_forgets_while_it_runs_the_ledger_of_a_capability_without_a_database_balances() {
    let probe = Probe::default();
    let stage = Stage::over_redis(&probe);
    sell(&stage, &probe, "bread");
    balances(&stage);
    // Of two partitions one is like the other.
    let mut keys: Vec<String> =
        stage.redis().keys("essaim:log:bell:").into_iter().filter(|k| !k.contains(":1")).collect();
    keys.extend(["essaim:log:registry", "essaim:log:identity", "*"].map(String::from));
    println!("{keys:?}");
    for key in keys {
        println!("without {key}");
        let () = match key.as_str() {
            "*" => stage.redis().command("FLUSHALL"),
            key => drop(stage.redis().command::<u64>(&format!("DEL {key}"))),
        };
        let what = format!("jam {key}");
        for number in 0..6 {
            stage.send_at_last(Sell { to: format!("customer {number}"), what: format!("{what} {number}") });
        }
        let all = || probe.applied().iter().filter(|applied| applied.contains(&format!("shop: {what}"))).count() == 6;
        eventually("all to be sold", || all().then_some(()));
        balances(&stage);
    }
}
