//! What is kept of somebody is listed and erased, and of nobody else.

use std::time::Duration;

use essaim::config::Settings;

use super::kiosk::Doings;
use super::probe::{Probe, Ring, Sell};
use super::stage::{Said, Stage};
use crate::support::{Postgres, Redis, eventually};

/// The exit codes for something that is left, and for a question that nobody can be asked.
const DATA: i32 = 65;
const USAGE: i32 = 2;
/// Longer than the test takes.
const LATER: Duration = Duration::from_hours(1);
/// Two people; what is to be applied to one of them is refused as poison.
const ANN: &str = "poison-ann";
const BOB: &str = "poison-bob";
/// Where something is kept of each of them.
const PLACES: [[&str; 3]; 4] = [
    ["bell", "dead", "bell.ring.v1"],
    ["shop", "dead", "shop.sell.v1"],
    ["shop", "parked", "shop.sell.v1"],
    ["shop", "retained", "shop.sold.v1"],
];

/// What is kept of somebody is personal.
const TOKEN: &str = "node.operator_token=sesame";

fn erase(stage: &Stage, arguments: &[&str]) -> Said {
    stage.essaim(&[&["erase"], arguments, &["--set", TOKEN]].concat())
}

/// The places of a list.
fn places(text: &str) -> Vec<[String; 3]> {
    let words = |line: &str| line.split_whitespace().take(3).map(String::from).collect::<Vec<_>>();
    let places = text.lines().filter_map(|line| <[String; 3]>::try_from(words(line)).ok());
    places.filter(|[first, ..]| first == "shop" || first == "bell").collect()
}

fn is_erased(stage: &Stage, probe: &Probe) {
    for who in [ANN, BOB] {
        stage.send(Sell { to: who.into(), what: "poison of a cup".into() });
        stage.send(Ring { why: who.into() });
    }
    stage.dead(4);
    probe.mend();
    for who in [ANN, BOB] {
        stage.send(Sell { to: "somebody".into(), what: who.into() });
        stage.send_later(Sell { to: who.into(), what: "tea".into() }, LATER);
    }
    eventually("all to be where it is kept", || {
        let list = |who: &str| places(&erase(stage, &[who, "--list"]).text);
        (list(ANN) == PLACES && list(BOB) == PLACES).then_some(())
    });
    let asked = erase(stage, &[ANN]);
    assert!(asked.code == Some(USAGE) && asked.text.contains("nothing was done"), "{}", asked.text);
    let erased = erase(stage, &[ANN, "--yes"]);
    assert!(erased.code == Some(DATA) && erased.text.contains("1 message is still to be applied"), "{}", erased.text);
    let left = erase(stage, &[ANN, "--list"]);
    assert_eq!(places(&left.text), [PLACES[2]], "{}", left.text);
    let all = erase(stage, &[ANN, "--parked", "--yes"]);
    assert_eq!(all.code, Some(0), "{}", all.text);
    let nothing = erase(stage, &[ANN, "--list"]);
    assert!(nothing.code == Some(0) && nothing.text.contains("nothing is kept of it"), "{}", nothing.text);
    assert_eq!(places(&erase(stage, &[BOB, "--list"]).text), PLACES, "nobody else's is gone");
    stage.dead(2);
    eventually("the ledger to balance", || (stage.essaim(&["ledger", "--at-rest"]).code == Some(0)).then_some(()));
    // And the key goes on.
    stage.send(Sell { to: ANN.into(), what: "more".into() });
    eventually("a later message to be applied", || probe.applied().contains(&"shop: more".to_string()).then_some(()));
}

fn token(settings: &mut Settings) {
    settings.node.operator_token = "sesame".into();
}

const HOSTS: [(&str, &[&str]); 1] = [("all", &["shop", "bell", "album"])];

#[test]
fn what_is_kept_of_somebody_is_erased_in_one_process() {
    let probe = Probe::broken();
    is_erased(&Stage::mending(&probe, &Doings::default(), &HOSTS, None, token), &probe);
}

#[test]
fn what_is_kept_of_somebody_is_erased_over_redis_and_on_postgres() {
    let (probe, database) = (Probe::broken(), Postgres::shared().database());
    let stage = Stage::mending(&probe, &Doings::default(), &HOSTS, Some(Redis::start()), |settings| {
        token(settings);
        settings.capabilities.entry("shop".into()).or_default().database = database.url().into();
    });
    is_erased(&stage, &probe);
}
