//! The ledger: what balances at rest, and what does not.

use super::probe::{Probe, Sell};
use super::stage::Stage;

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
    assert_eq!(status["capabilities"]["shop"]["durable"]["partitions"], serde_json::json!([0, 1]));
}
