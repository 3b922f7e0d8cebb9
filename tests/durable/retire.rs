//! Capabilities that are gone for good.

use super::probe::{Probe, Ring, Sell};
use super::stage::Stage;
use crate::support::eventually;

/// The exit code of a request that the present state refuses.
const DATA: i32 = 65;
/// The exit code of a command without confirmation.
const USAGE: i32 = 2;
/// The exit code when a host did not answer.
const UNAVAILABLE: i32 = 69;

#[test]
fn a_capability_that_is_gone_for_good_is_retired_over_redis() {
    let mut stage = Stage::over_redis(&Probe::default());
    stage.send(Ring { why: "somebody is at the door".into() });
    let refused = stage.essaim(&["retire", "shop", "--yes"]);
    assert_eq!(refused.code, Some(DATA), "{}", refused.text);
    assert!(refused.text.contains("`shop` is hosted by far: have it hosted nowhere"), "{}", refused.text);
    stage.leave();
    for what in ["bread", "butter"] {
        stage.send(Sell { to: "ann".into(), what: what.into() });
    }
    is_retired(&stage, "shop", "2 waiting messages are and 0 dead letters are lost");
    // A command for it makes it known again, as a capability that has never been hosted.
    stage.send(Sell { to: "ann".into(), what: "cheese".into() });
    is_retired(&stage, "shop", "1 waiting message is and 0 dead letters are lost");
}

#[test]
fn a_capability_that_is_gone_for_good_is_retired_in_one_process() {
    let probe = Probe::broken();
    let stage = Stage::embedded(&probe);
    stage.send(Ring { why: "poison".into() });
    stage.dead(1);
    let refused = stage.essaim(&["retire", "bell", "--yes"]);
    assert!(refused.code == Some(DATA) && refused.text.contains("is hosted by all"), "{}", refused.text);
    let stage = Stage::shop_alone(&probe, stage.end());
    stage.send(Sell { to: "ann".into(), what: "bread".into() });
    eventually("the event", || {
        let status = stage.json(&["status"]);
        let shop = &status["capabilities"]["shop"]["durable"];
        (shop["ledger"]["handled"] == 1 && shop["outbox"] == 0).then_some(())
    });
    is_retired(&stage, "bell", "1 waiting message is and 1 dead letter is lost. It gets shop.sold.v1 no longer.");
    assert_eq!(stage.essaim(&["subscriptions", "list"]).text, "no subscriptions");
    stage.send(Sell { to: "ann".into(), what: "butter".into() });
    eventually("the butter", || probe.applied().contains(&"shop: butter".to_string()).then_some(()));
    let balanced = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "nobody publishes to it: {}", balanced.text);
}

/// Retires a capability, which makes the ledger whole.
fn is_retired(stage: &Stage, capability: &str, lost: &str) {
    let unknown = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(unknown.code, Some(UNAVAILABLE), "{}", unknown.text);
    let asked = eventually("it to be gone", || {
        let said = stage.essaim(&["retire", capability]);
        (!said.text.contains("is hosted by")).then_some(said)
    });
    assert_eq!(asked.code, Some(USAGE), "{}", asked.text);
    assert!(asked.text.contains(lost) && asked.text.contains("--yes"), "{}", asked.text);
    let retired = stage.essaim(&["retire", capability, "--yes"]);
    assert_eq!(retired.code, Some(0), "{}", retired.text);
    assert!(retired.text.contains("is retired"), "{}", retired.text);
    let balanced = stage.essaim(&["ledger", "--at-rest"]);
    assert_eq!(balanced.code, Some(0), "{}", balanced.text);
    let retires = format!("retires {capability}: done");
    assert_eq!(stage.acts().last(), Some(&retires), "and what was refused is no act");
    let again = stage.essaim(&["retire", capability, "--yes"]);
    assert!(again.code == Some(DATA) && again.text.contains("knows no capability"), "{}", again.text);
}
