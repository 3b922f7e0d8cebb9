//! Subscriptions.

use super::probe::{Probe, Sell};
use super::stage::Stage;
use crate::support::eventually;

/// The exit code when a subscription does not exist.
const DATA: i32 = 65;

#[test]
fn subscriptions_are_listed_and_dropped() {
    let probe = Probe::default();
    let stage = Stage::embedded(&probe);
    let listed = stage.json(&["subscriptions", "list"]);
    let line = serde_json::json!({
        "event": "shop.sold.v1", "capability": "bell", "when_full": "overflow_to_disk", "from": "registration",
        "retention_ms": null, "since_ms": null, "live": true
    });
    assert_eq!(listed["subscriptions"], serde_json::json!([line]));
    stage.send(Sell { to: "ann".into(), what: "bread".into() });
    eventually("the bell", || probe.applied().contains(&"bell: sold bread".to_string()).then_some(()));
    let drop = ["subscriptions", "drop", "shop.sold.v1", "bell"];
    let refused = stage.essaim(&drop);
    assert!(refused.code == Some(2) && refused.text.contains("--yes"), "{}", refused.text);
    let dropped = stage.essaim(&[&drop[..], &["--yes"]].concat());
    assert_eq!(dropped.code, Some(0), "{}", dropped.text);
    assert!(dropped.text.contains("subscribes again at its next start"), "{}", dropped.text);
    assert_eq!(stage.essaim(&["subscriptions", "list"]).text, "no subscriptions");
    stage.send(Sell { to: "ann".into(), what: "butter".into() });
    eventually("the butter", || probe.applied().contains(&"shop: butter".to_string()).then_some(()));
    stage.at_rest();
    assert!(!probe.applied().contains(&"bell: sold butter".to_string()));
    let again = stage.essaim(&[&drop[..], &["--yes"]].concat());
    assert_eq!(again.code, Some(DATA), "{}", again.text);
}

#[test]
fn how_a_subscription_begins_and_since_when_it_is_there_are_listed() {
    let probe = Probe::default();
    let before = now_ms();
    let stage = Stage::collecting(&probe);
    let line = stage.json(&["subscriptions", "list"])["subscriptions"][0].clone();
    assert_eq!((&line["capability"], &line["from"]), (&"album".into(), &"earliest_retained".into()), "{line}");
    assert_eq!(line["retention_ms"], 90 * 60 * 1_000);
    let since = line["since_ms"].as_u64().expect("Redis keeps when it began");
    assert!((before..=now_ms()).contains(&since), "{before} {since}");
    let text = stage.essaim(&["subscriptions", "list"]).text;
    let shown = text.lines().last().expect("there is a line");
    assert!(shown.contains("what is kept") && shown.contains("1 h 30 min") && shown.contains("Z  yes"), "{text}");
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    now.as_millis() as u64
}
