//! Entries of a log, and rows of an outbox, that no node has written, or that cannot be read any more.

use serde_json::Value;

use super::probe::{Probe, Ring, Sell};
use super::stage::Stage;
use crate::support::{Redis, Scratch, eventually};

/// The exit code of a command that was refused in part.
const DATA: i32 = 65;

/// Entries that no node would write.
const FOREIGN: &[&str] =
    &["junk x", "c 1 f 0", "c -1 f 0 b xyz", "c nan f 0 b xyz", "c 9007199254740992 f 0 b xyz", "c 1e21 f 0 b xyz"];

#[track_caller]
fn balances(stage: &Stage) {
    stage.at_rest();
    let said = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[track_caller]
fn all_can_be_dropped(stage: &Stage, letters: &[Value]) {
    for letter in letters {
        let id = letter["id"].as_str().expect("it has an id");
        assert_eq!(letter["reason"], "unreadable", "{letter}");
        let replayed = stage.essaim(&["dead", "replay", id, "--yes"]);
        assert_eq!(replayed.code, Some(DATA), "{}", replayed.text);
        assert!(replayed.text.contains("it can only be dropped"), "{}", replayed.text);
        let dropped = stage.essaim(&["dead", "drop", id, "--yes"]);
        assert_eq!(dropped.code, Some(0), "{}", dropped.text);
    }
    stage.dead(0);
}

#[test]
fn foreign_entries_over_redis_are_dead_letters_and_stop_nothing() {
    let probe = Probe::default();
    let stage = Stage::over_redis(&probe);
    for number in 0..4 {
        stage.send(Sell { to: format!("before {number}"), what: format!("early {number}") });
    }
    for fields in FOREIGN {
        for partition in ["shop:0", "shop:1", "bell:0", "bell:1"] {
            let _: String = stage.redis().command(&format!("XADD essaim:log:{partition} * {fields}"));
        }
    }
    for number in 0..6 {
        stage.send(Sell { to: format!("customer {number}"), what: format!("bread {number}") });
    }
    eventually("all to be sold and rung for", || (probe.applied().len() == 20).then_some(()));
    let letters = stage.dead(4 * FOREIGN.len());
    let junk = letters.iter().find_map(|letter| {
        let shown = stage.json(&["dead", "show", letter["id"].as_str()?]);
        shown.to_string().contains("6a756e6b3d78").then_some(())
    });
    assert!(junk.is_some(), "what was found is shown, as bytes");
    balances(&stage);
    all_can_be_dropped(&stage, &letters);
    balances(&stage);
}

#[test]
fn a_key_of_another_kind_stops_its_own_partition_alone_until_it_is_gone() {
    let probe = Probe::default();
    let stage = Stage::over_redis(&probe);
    let _: () = stage.redis().command("SET essaim:log:bell:0 x");
    for number in 0..8 {
        stage.send(Sell { to: format!("customer {number}"), what: format!("bread {number}") });
    }
    let sold = || probe.applied().iter().filter(|applied| applied.starts_with("shop")).count();
    eventually("all to be sold", || (sold() == 8).then_some(()));
    let _: u64 = stage.redis().command("DEL essaim:log:bell:0");
    eventually("all to be rung for", || (probe.applied().len() == 16).then_some(()));
    balances(&stage);
}

#[test]
fn a_host_of_which_the_log_takes_no_note_is_not_ready_and_says_why() {
    let probe = Probe::default();
    let stage = Stage::over_redis(&probe);
    let readiness = |status: u16| {
        eventually("its readiness to change", || {
            let answer = stage.admin().get("/readyz");
            (answer.status == status).then_some(answer.text)
        })
    };
    readiness(200);
    let _: () = stage.redis().command("SET essaim:log:bell:hosts x");
    let why = readiness(503);
    assert!(why.contains("the work on the partitions of `bell` does not work") && why.contains("namespace"), "{why}");
    stage.send_at_last(Sell { to: "a customer".into(), what: "bread".into() });
    let _: u64 = stage.redis().command("DEL essaim:log:bell:hosts");
    readiness(200);
    eventually("all to be rung for", || (probe.applied().len() == 2).then_some(()));
    balances(&stage);
}

/// Three messages that wait for a capability without a host, one of which cannot be read any more.
fn broken(probe: &Probe, there: &'static [&'static str], send: fn(&Stage, u32) -> String) -> Scratch {
    let stage = Stage::on(probe, there, None, None);
    for number in 0..3 {
        send(&stage, number);
    }
    let one = "partition = (SELECT partition FROM entries LIMIT 1) AND position = 1";
    stage.sql("log", &format!("UPDATE entries SET batch = x'c107' WHERE {one}"));
    stage.end()
}

/// For the bell, which has no database, and for the shop, which has one and has each sale rung for.
fn what_is_broken_is_a_dead_letter(redis: fn() -> Option<Redis>) {
    let ring = |stage: &Stage, number| stage.send(Ring { why: format!("{number}") });
    let sell =
        |stage: &Stage, number| stage.send(Sell { to: format!("customer {number}"), what: format!("bread {number}") });
    for (data, applied) in
        [(broken(&Probe::default(), &["shop"], ring), 2), (broken(&Probe::default(), &["bell"], sell), 4)]
    {
        let probe = Probe::default();
        let stage = Stage::on(&probe, &["shop", "bell"], redis(), Some(data));
        eventually("the two others", || (probe.applied().len() == applied).then_some(()));
        let letters = stage.dead(1);
        balances(&stage);
        all_can_be_dropped(&stage, &letters);
    }
}

#[test]
fn what_cannot_be_read_in_the_embedded_log_is_a_dead_letter_and_stops_nothing() {
    what_is_broken_is_a_dead_letter(|| None);
}

#[test]
fn what_cannot_be_read_does_not_stop_the_move_to_redis() {
    what_is_broken_is_a_dead_letter(|| Some(Redis::start()));
}

#[test]
fn what_cannot_be_read_in_an_outbox_is_a_dead_letter_that_can_be_dropped() {
    let probe = Probe::default();
    let stage = Stage::on(&probe, &["shop", "bell"], None, None);
    let lane = "'n/all/' || lower(hex(randomblob(4)))";
    let row =
        format!("INSERT INTO essaim_outbox (lane, seq, event, target, record) VALUES ({lane}, 1, 0, NULL, x'c107')");
    stage.sql("shop", &row);
    // The next life of the node finds what an earlier one has left.
    let stage = Stage::on(&probe, &["shop", "bell"], None, Some(stage.end()));
    let letters = stage.dead(1);
    assert_eq!(letters[0]["capability"], "shop");
    all_can_be_dropped(&stage, &letters);
    stage.send(Sell { to: "ann".into(), what: "bread".into() });
    eventually("what comes later", || (probe.applied().len() == 2).then_some(()));
    balances(&stage);
}
