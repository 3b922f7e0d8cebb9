//! The ledger: capabilities that balance at rest, and one that does not.

use serde_json::json;

use super::probe::{Probe, Sell};
use super::stage::Stage;
use crate::support::eventually;

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
        "balances": true, "approximate": false
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
