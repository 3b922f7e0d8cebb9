//! The ledger: capabilities that balance at rest, and those that do not.

use serde_json::json;

use super::probe::{Probe, Sell};
use super::stage::Stage;
use crate::support::{Redis, eventually};

/// The exit code of a ledger that does not balance.
const DATA: i32 = 65;

fn a_forged_count_is_found(stage: &Stage) {
    for number in 0..10 {
        stage.send(Sell { to: format!("customer {number}"), what: "bread".into() });
    }
    let ledger = stage.at_rest();
    let sum = |capability: &str, column: &str| -> u64 {
        let lines = ledger["lines"].as_array().expect("there are lines");
        lines.iter().filter(|l| l["capability"] == capability).filter_map(|l| l[column].as_u64()).sum()
    };
    assert_eq!((sum("shop", "appended"), sum("shop", "handled")), (10, 10));
    let balanced = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "{}", balanced.text);
    let partition = stage.sql("shop", "SELECT min(partition) FROM essaim_fence WHERE handled > 1");
    let partition = partition.trim();
    stage.sql("shop", &format!("UPDATE essaim_fence SET handled = handled - 2 WHERE partition = {partition}"));
    let forged = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(forged.code, Some(DATA), "{}", forged.text);
    let told = format!("`shop`, partition {partition}: 2 messages are missing");
    assert!(forged.text.contains(&told), "{}", forged.text);
    let live = stage.essaim(&["ledger"]);
    assert!(live.code == Some(0) && live.text.contains("approximate"), "{}", live.text);
}

#[test]
fn a_forged_count_is_found_in_one_process() {
    a_forged_count_is_found(&Stage::embedded(&Probe::default()));
}

#[test]
fn a_forged_count_is_found_from_another_node() {
    a_forged_count_is_found(&Stage::over_redis(&Probe::default()));
}

/// As if the log had been restored to a state of three messages ago, of which the database has applied the last one.
fn what_a_log_has_forgotten_is_named(redis: Option<Redis>) {
    let (probe, hosts) = (Probe::default(), &["shop", "bell"]);
    let stage = Stage::on(&probe, hosts, redis, None);
    for number in 0..10 {
        stage.send(Sell { to: format!("customer {number}"), what: "bread".into() });
    }
    stage.at_rest();
    let line = stage.sql("shop", "SELECT partition, through FROM essaim_fence WHERE handled > 0 LIMIT 1");
    let (partition, first) = line.trim().split_once('|').expect("two columns");
    let (number, first): (u64, u64) = (partition.parse().expect("a number"), first.parse().expect("a number"));
    let ahead = "UPDATE essaim_fence SET handled = handled + 1, through = through + 3 WHERE partition = ";
    stage.sql("shop", &format!("{ahead}{partition}"));
    let (data, redis) = stage.end_beside_redis();
    let stage = Stage::on(&probe, hosts, redis, Some(data));
    let found = eventually("the gap to be found", || {
        let ledger = stage.at_rest();
        let lines = ledger["lines"].as_array()?.clone();
        lines.into_iter().find(|line| line["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()))
    });
    assert_eq!((&found["capability"], &found["partition"]), (&json!("shop"), &json!(number)));
    let gap = &found["gaps"][0];
    assert_eq!((&gap["first"], &gap["through"]), (&json!(first), &json!(first + 3)), "{found}");
    for number in 0..10 {
        stage.send_at_last(Sell { to: format!("customer {number}"), what: "butter".into() });
    }
    stage.at_rest();
    let told = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(told.code, Some(DATA), "{}", told.text);
    let missing = format!("`shop`, partition {partition}: 2 messages are missing");
    let gone = format!("forgotten 3 messages (offsets {first} to {})", first + 2);
    assert!(told.text.contains(&missing) && told.text.contains(&gone), "{}", told.text);
}

#[test]
fn what_a_log_has_forgotten_is_named_in_one_process() {
    what_a_log_has_forgotten_is_named(None);
}

#[test]
fn what_a_log_has_forgotten_is_named_over_redis() {
    what_a_log_has_forgotten_is_named(Some(Redis::start()));
}

#[test]
fn status_tells_how_much_waits_and_is_dead() {
    let stage = Stage::embedded(&Probe::broken());
    stage.send(Sell { to: "ann".into(), what: "poison".into() });
    stage.dead(1);
    stage.at_rest();
    let said = stage.essaim(&["status"]);
    let line = said.text.lines().find(|line| line.starts_with("shop")).unwrap_or_else(|| panic!("{}", said.text));
    let heading = said.text.lines().find(|line| line.starts_with("CAPABILITY")).expect("there is a heading");
    let column = heading.find("DEAD").expect("there is such a column");
    assert!(line[column..].starts_with("1 "), "{}", said.text);
    let status = stage.json(&["status"]);
    assert_eq!(status["capabilities"]["shop"]["durable"]["partitions"], json!([0, 1]));
}

#[test]
fn status_tells_what_became_of_all_messages() {
    let probe = Probe::broken();
    let stage = Stage::embedded(&probe);
    let id = stage.send(Sell { to: "ann".into(), what: "poison".into() });
    stage.send(Sell { to: "bob".into(), what: "bread".into() });
    stage.dead(1);
    let dropped = stage.essaim(&["dead", "drop", &id, "--yes"]);
    assert_eq!(dropped.code, Some(0), "{}", dropped.text);
    stage.dead(0);
    stage.at_rest();
    let durable = stage.json(&["status"])["capabilities"]["shop"]["durable"].clone();
    // The drop went through the log like a message.
    let expected = json!({
        "appended": 3, "handled": 2, "duplicates": 0, "died": 1, "expired": 0, "in_flight": 0, "difference": 0,
        "balances": true, "gaps": 0, "approximate": false
    });
    assert_eq!((&durable["ledger"], &durable["dead"]), (&expected, &json!(0)));
    let text = stage.essaim(&["status"]).text;
    let heading = text.lines().position(|line| line.starts_with("MESSAGES OF")).unwrap_or_else(|| panic!("{text}"));
    let line = text.lines().skip(heading).find(|line| line.starts_with("shop")).expect("the shop has a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["shop", "3", "2", "0", "1", "0", "0", "0"]);
    stage.sql("shop", "UPDATE essaim_fence SET handled = handled - 1 WHERE handled > 0");
    let forged = stage.json(&["status"])["capabilities"]["shop"]["durable"]["ledger"].clone();
    assert!(forged["balances"] == false && forged["difference"].as_i64() < Some(0), "{forged}");
    // A scrape may have what was asked for a few seconds ago.
    eventually("the metrics to tell that messages are missing", || {
        let text = stage.admin().get("/metrics").is(200).text;
        let differs = |line: &str| line.starts_with("essaim_ledger_difference_messages{") && line.contains("} -");
        text.lines().any(differs).then_some(())
    });
}

#[test]
fn a_capability_that_the_log_does_not_know_is_told() {
    let stage = Stage::embedded(&Probe::default());
    for command in [&["ledger"][..], &["dead", "list"], &["dead", "replay", "--yes"]] {
        let said = stage.essaim(&[command, &["--capability", "shpo"]].concat());
        assert_eq!(said.code, Some(DATA), "{}", said.text);
        assert!(said.text.contains("the log knows no capability `shpo`"), "{}", said.text);
    }
}
