//! Dead letters, on either log.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::probe::{Probe, Ring, Sell};
use super::stage::{Stage, said};
use crate::support::{Cluster, essaim, eventually};

/// The exit code when a letter or a capability does not exist.
const DATA: i32 = 65;
/// The exit code when a host did not answer.
const UNAVAILABLE: i32 = 69;
/// The exit code of a command without confirmation.
const USAGE: i32 = 2;

macro_rules! both_logs {
    ($($case:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $case() { super::$case(super::Stage::embedded); })+
        }
        mod over_redis {
            $(#[test] fn $case() { super::$case(super::Stage::over_redis); })+
        }
    };
}

both_logs!(
    a_poisonous_message_is_found_shown_replayed_and_handled,
    a_letter_of_a_capability_without_a_database_is_replayed_from_the_log,
    letters_are_dropped_for_good,
    all_letters_of_a_capability_are_replayed_at_a_rate,
    letters_that_die_again_at_once_are_letters_still,
    an_id_that_is_given_twice_is_one_letter,
);

type Way = fn(&Probe) -> Stage;

fn sell(stage: &Stage, to: &str, what: &str) -> String {
    stage.send(Sell { to: to.into(), what: what.into() })
}

fn a_poisonous_message_is_found_shown_replayed_and_handled(way: Way) {
    let probe = Probe::broken();
    let stage = way(&probe);
    let id = sell(&stage, "ann", "poison");
    sell(&stage, "ann", "bread");
    let letters = stage.dead(1);
    let letter = &letters[0];
    assert_eq!((letter["id"].as_str(), letter["reason"].as_str()), (Some(&*id), Some("rejected")));
    assert_eq!((letter["name"].as_str(), letter["key"].as_str()), (Some("shop.sell.v1"), Some("ann")));
    let shown = stage.json(&["dead", "show", &id]);
    assert_eq!(shown[0]["payload"]["json"]["what"], "poison");
    let sheet = stage.essaim(&["dead", "show", &id]);
    assert!(sheet.text.contains("poison is poison") && sheet.text.contains("\"to\": \"ann\""), "{}", sheet.text);
    eventually("the bread", || probe.applied().contains(&"shop: bread".to_string()).then_some(()));
    probe.mend();
    let refused = stage.essaim(&["dead", "replay", &id]);
    assert_eq!(refused.code, Some(USAGE), "{}", refused.text);
    assert!(refused.text.contains("Replay 1 letter?") && refused.text.contains("--yes"), "{}", refused.text);
    assert!(refused.text.contains("nothing was done"), "{}", refused.text);
    stage.dead(1);
    let replayed = stage.essaim(&["dead", "replay", &id, "--yes"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    assert!(replayed.text.contains("replayed 1 letter") && replayed.text.contains("out of order"), "{}", replayed.text);
    assert_eq!(stage.acts(), [format!("replays dead letters {id}: done")]);
    eventually("the sale", || probe.applied().contains(&"shop: poison".to_string()).then_some(()));
    stage.dead(0);
    stage.at_rest();
    let balanced = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "{}", balanced.text);
    assert_eq!(probe.applied().iter().filter(|a| *a == "shop: poison").count(), 1);
}

fn a_letter_of_a_capability_without_a_database_is_replayed_from_the_log(way: Way) {
    let probe = Probe::broken();
    let stage = way(&probe);
    let id = stage.send(Ring { why: "poison".into() });
    assert_eq!(stage.dead(1)[0]["capability"], "bell");
    assert_eq!(stage.json(&["dead", "show", &id])[0]["payload"]["json"]["why"], "poison");
    probe.mend();
    let replayed = stage.essaim(&["dead", "replay", &id, "--yes"]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    eventually("the bell", || (probe.applied() == ["bell: poison"]).then_some(()));
    stage.dead(0);
    stage.at_rest();
    assert_eq!(stage.essaim(&["ledger", "--at-rest"]).code, Some(0));
}

fn letters_are_dropped_for_good(way: Way) {
    let probe = Probe::broken();
    let stage = way(&probe);
    let ids = [sell(&stage, "ann", "poison"), stage.send(Ring { why: "poison".into() })];
    stage.dead(2);
    let refused = stage.essaim(&["dead", "drop", &ids[0], &ids[1]]);
    assert_eq!(refused.code, Some(USAGE), "{}", refused.text);
    assert!(refused.text.contains("--yes") && refused.text.contains("nothing was done"), "{}", refused.text);
    stage.dead(2);
    let dropped = stage.essaim(&["dead", "drop", &ids[0], &ids[1], "--yes"]);
    assert_eq!(dropped.code, Some(0), "{}", dropped.text);
    stage.dead(0);
    probe.mend();
    assert_eq!(stage.acts(), [format!("drops dead letters {} {}: done", ids[0], ids[1])]);
    let gone = stage.essaim(&["dead", "replay", &ids[0], "--yes"]);
    assert_eq!(gone.code, Some(DATA), "{}", gone.text);
    assert!(gone.text.contains(&ids[0]), "{}", gone.text);
    stage.at_rest();
    assert_eq!(stage.essaim(&["ledger", "--at-rest"]).code, Some(0));
    assert!(probe.applied().is_empty(), "{:?}", probe.applied());
}

fn all_letters_of_a_capability_are_replayed_at_a_rate(way: Way) {
    let probe = Probe::broken();
    let stage = way(&probe);
    for number in 0..20 {
        sell(&stage, &format!("customer {}", number % 3), &format!("poison {number}"));
    }
    stage.send(Ring { why: "poison".into() });
    stage.dead(21);
    let all = ["dead", "replay", "--capability", "shop", "--reason", "rejected", "--rate", "40"];
    let refused = stage.essaim(&all);
    assert_eq!(refused.code, Some(USAGE), "{}", refused.text);
    // While all is as broken as before each is replayed once, and dies once more.
    let in_vain = stage.essaim(&[&all[..], &["--yes"]].concat());
    assert!(in_vain.text.contains("replayed 20 letters"), "{}", in_vain.text);
    stage.at_rest();
    stage.dead(21);
    probe.mend();
    let replayed = stage.essaim(&[&all[..], &["--yes"]].concat());
    assert_eq!(replayed.code, Some(0), "{}", replayed.text);
    eventually("all sales", || (probe.applied().iter().filter(|a| a.starts_with("shop")).count() == 20).then_some(()));
    assert_eq!(stage.dead(1)[0]["capability"], "bell");
    stage.at_rest();
    let balanced = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "{}", balanced.text);
}

fn letters_that_die_again_at_once_are_letters_still(way: Way) {
    const LETTERS: usize = 150;
    let probe = Probe::broken();
    let stage = way(&probe);
    let ids: BTreeSet<String> = (0..LETTERS).map(|n| stage.send(Ring { why: format!("poison {n}") })).collect();
    stage.dead(LETTERS);
    // All in one request: the first have died again before the last are dealt with.
    let all = ["dead", "replay", "--capability", "bell", "--rate", "100000", "--yes"];
    let replayed = stage.essaim(&all);
    assert!(replayed.text.contains(&format!("replayed {LETTERS} letters")), "{}", replayed.text);
    let ledger = stage.at_rest();
    let lines = ledger["lines"].as_array().expect("there are lines").iter();
    let died: u64 = lines.filter(|l| l["capability"] == "bell").filter_map(|l| l["dead"].as_u64()).sum();
    assert_eq!(died, 2 * LETTERS as u64);
    let letters = stage.json(&["dead", "list"])["letters"].as_array().cloned().unwrap_or_default();
    let left: BTreeSet<String> = letters.iter().filter_map(|l| Some(l["id"].as_str()?.to_string())).collect();
    assert_eq!(left.len(), LETTERS, "all of them rejected again, and kept again");
    assert_eq!(left, ids);
}

fn an_id_that_is_given_twice_is_one_letter(way: Way) {
    let probe = Probe::broken();
    let stage = way(&probe);
    let (sale, ring) = (sell(&stage, "ann", "poison"), stage.send(Ring { why: "poison".into() }));
    stage.dead(2);
    for id in [&sale, &ring] {
        let replayed = stage.essaim(&["dead", "replay", id, id, "--yes"]);
        assert!(replayed.text.contains("replayed 1 letter"), "{}", replayed.text);
        stage.at_rest();
    }
    stage.dead(2);
    probe.mend();
    // Requests without the command line are answered so, too.
    for id in [&sale, &ring] {
        let answer = stage.ask("/durable/dead/replay", json!({ "ids": [id, id] }));
        assert_eq!(answer["done"].as_array().map(Vec::len), Some(1), "{answer:#}");
    }
    stage.dead(0);
    let ledger = stage.at_rest();
    let lines = ledger["lines"].as_array().expect("there are lines");
    for capability in ["shop", "bell"] {
        let own = lines.iter().filter(|l| l["capability"] == capability);
        let commands: u64 = own.filter_map(|l| l["appended"].as_u64()).sum();
        // The bell rings for the sale, too.
        let expected = if capability == "bell" { 4 } else { 3 };
        assert_eq!(commands, expected, "{capability}: sent once, and replayed twice\n{ledger:#}");
    }
}

#[test]
fn a_key_that_waits_goes_on_behind_the_letter_that_is_replayed() {
    let probe = Probe::broken();
    let stage = Stage::holding(&probe);
    let id = sell(&stage, "ann", "poison");
    sell(&stage, "ann", "bread");
    sell(&stage, "bob", "butter");
    assert_eq!(stage.dead(1)[0]["held"], true);
    eventually("the butter", || probe.applied().contains(&"shop: butter".to_string()).then_some(()));
    probe.mend();
    let replayed = stage.essaim(&["dead", "replay", &id, "--yes"]);
    assert!(replayed.code == Some(0) && !replayed.text.contains("out of order"), "{}", replayed.text);
    eventually("the bread", || probe.applied().contains(&"shop: bread".to_string()).then_some(()));
    let sold: Vec<_> = probe.applied().into_iter().filter(|a| a.starts_with("shop")).collect();
    assert_eq!(sold, ["shop: butter", "shop: poison", "shop: bread"]);
    stage.at_rest();
    assert_eq!(stage.essaim(&["ledger", "--at-rest"]).code, Some(0));
}

#[test]
fn an_event_that_had_no_room_is_kept_by_its_publisher_and_published_again() {
    const SALES: usize = 12;
    let probe = Probe::broken();
    let stage = Stage::hoarding(&probe);
    for number in 0..SALES {
        let what = format!("bread {number}");
        sell(&stage, "ann", &what);
        eventually("the sale", || probe.applied().contains(&format!("shop: {what}")).then_some(()));
    }
    eventually("the end of the shop's outbox", || {
        (stage.json(&["status"])["capabilities"]["shop"]["durable"]["outbox"] == 0).then_some(())
    });
    let letters = stage.json(&["dead", "list", "--capability", "hoard"])["letters"].clone();
    let letters = letters.as_array().expect("a list").clone();
    assert!((1..SALES).contains(&letters.len()), "{letters:#?}");
    assert!(letters.iter().all(|l| l["kept_by"] == "shop" && l["reason"] == "full"), "{letters:#?}");
    let dropped = letters[0]["id"].as_str().expect("it has an id");
    // Its subscriber has never seen it.
    for command in
        [&["dead", "rehearse", dropped][..], &["dead", "replay", dropped, "--payload", "Cargo.toml", "--yes"]]
    {
        let not = stage.essaim(command);
        assert!(not.code != Some(0) && !not.text.contains("replayed 1"), "{command:?} {not:?}");
    }
    let shown = stage.json(&["dead", "show", dropped]);
    assert_eq!(shown[0]["editable"], Value::Null, "{shown:#}");
    assert_eq!(stage.json(&["dead", "list", "--capability", "hoard"])["letters"].as_array(), Some(&letters));
    let said = stage.essaim(&["dead", "drop", dropped, "--yes"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    probe.mend();
    let hoarded = || probe.applied().iter().filter(|a| a.starts_with("hoard")).count();
    eventually("what had room", || (hoarded() == SALES - letters.len()).then_some(()));
    // The shop's own outbox fills its subscriber again: events without room are dead letters anew.
    eventually("the rest", || {
        let said = stage.essaim(&["dead", "replay", "--capability", "hoard", "--yes"]);
        assert_eq!(said.code, Some(0), "{}", said.text);
        (hoarded() == SALES - 1).then_some(())
    });
    stage.dead(0);
    stage.at_rest();
    let balanced = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "{}", balanced.text);
}

#[test]
fn letters_with_long_errors_are_listed_however_little_goes_over_the_wire_at_a_time() {
    const LETTERS: usize = 60;
    let probe = Probe::broken();
    let stage = Stage::terse(&probe);
    let long = format!("poison {}", "é".repeat(3_000));
    let id = sell(&stage, "ann", &long);
    (1..LETTERS).for_each(|_| drop(sell(&stage, "ann", &long)));
    let letters = stage.dead(LETTERS);
    let error = letters[0]["error"].as_str().expect("there is an error");
    assert!(error.chars().count() <= 1_001 && error.ends_with('…'), "{error}");
    let ids: BTreeSet<_> = letters.iter().filter_map(|letter| letter["id"].as_str()).collect();
    assert_eq!(ids.len(), LETTERS);
    let shown = stage.json(&["dead", "show", &id]);
    assert_eq!(shown[0]["letter"]["error"], format!("{long} is poison"));
    probe.mend();
    let replayed = stage.essaim(&["dead", "replay", "--capability", "shop", "--rate", "10000", "--yes"]);
    assert!(replayed.text.contains(&format!("replayed {LETTERS} letters")), "{}", replayed.text);
    stage.dead(0);
}

#[test]
fn what_a_host_that_is_away_may_have_is_not_known_rather_than_not_there() {
    let probe = Probe::broken();
    let mut stage = Stage::over_redis(&probe);
    let (sale, ring) = (sell(&stage, "ann", "poison"), stage.send(Ring { why: "poison".into() }));
    stage.dead(2);
    stage.leave();
    for command in [
        &["dead", "show", &sale][..],
        &["dead", "replay", &sale, "--yes"],
        &["dead", "drop", &sale, "--yes"],
        &["dead", "replay", "--capability", "shop", "--yes"],
    ] {
        let said = stage.essaim(command);
        assert_eq!(said.code, Some(UNAVAILABLE), "{command:?} {}", said.text);
        assert!(said.text.contains("`shop` did not answer") && said.text.contains("not known"), "{}", said.text);
    }
    let listed = stage.essaim(&["dead", "list"]);
    assert!(listed.code == Some(UNAVAILABLE) && listed.text.contains(&ring), "{}", listed.text);
    let shown = stage.essaim(&["dead", "show", &ring]);
    assert_eq!(shown.code, Some(0), "what was found was found: {}", shown.text);
    let replayed = stage.essaim(&["dead", "replay", "--capability", "bell", "--yes"]);
    assert!(replayed.text.contains("replayed 1 letter"), "{}", replayed.text);
    assert_eq!(replayed.code, Some(UNAVAILABLE), "{}", replayed.text);
}

#[test]
fn a_reason_that_nothing_dies_of_is_refused_with_those_there_are() {
    let stage = Stage::embedded(&Probe::default());
    let refused = stage.essaim(&["dead", "list", "--reason", "boredom"]);
    assert_eq!(refused.code, Some(USAGE), "{}", refused.text);
    assert!(refused.text.contains("`boredom`") && refused.text.contains("rejected, attempts"), "{}", refused.text);
}

#[test]
fn a_node_is_found_by_its_data_directory_and_one_that_does_not_run_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let mut cluster = Cluster::single().start();
    let data = cluster.node("main").data();
    let run = |arguments: &[&str]| said(essaim().args(arguments).arg("--data-dir").arg(&data));
    let listed = run(&["dead", "list"]);
    assert_eq!((listed.code, listed.text.as_str()), (Some(0), "no dead letters"));
    let mode = std::fs::metadata(data.join("main.sock")).expect("there is a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may open it");
    let ledger = run(&["ledger", "--at-rest"]);
    assert_eq!(ledger.code, Some(0), "{}", ledger.text);
    let missing = run(&["dead", "drop", "nightly/1", "--yes"]);
    assert_eq!(missing.code, Some(DATA), "{}", missing.text);
    cluster.node("main").kill();
    let away = run(&["dead", "list"]);
    assert_eq!(away.code, Some(69), "{}", away.text);
    assert!(away.text.contains("main.sock") && away.text.contains("--url"), "{}", away.text);
    cluster.node("main").restart();
    assert_eq!(run(&["dead", "list"]).code, Some(0), "what was left of the socket is in nobody's way");
}

#[test]
fn the_gateway_shows_no_dead_letters() {
    let cluster = Cluster::single().start();
    let answer = cluster.admin().post("/durable/dead/list", serde_json::json!({}));
    assert_eq!(answer.status, 404, "{}", answer.text);
}

#[test]
fn a_browser_cannot_be_had_to_ask() {
    let mut cluster = Cluster::single().start();
    let admin = cluster.node("main").admin();
    assert_eq!(admin.post("/durable/dead/list", serde_json::json!({})).status, 200);
    // A request that a page of another site may send without a preflight.
    let url = format!("{}/durable/dead/list", admin.base());
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let answer = config.new_agent().post(&url).content_type("text/plain").send("{}").expect("it is answered");
    assert_ne!(answer.status(), 200);
}
