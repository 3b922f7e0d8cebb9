use std::sync::Arc;

use essaim_base::measure::Outcome;

use super::*;
use crate::record::sample;

fn record() -> MessageRecord {
    MessageRecord {
        key: Some("order-7".into()),
        error: Some("No host of `catalog`".into()),
        outcome: Outcome::Failed,
        attributes: Some(Arc::new([("request_id".to_string(), "r1".to_string())].into())),
        at_us: 10_000_000,
        waited_us: 2_000,
        ran_us: 150_000,
        bytes: 20,
        ..sample(0xab)
    }
}

fn takes(condition: &str) -> bool {
    // A minute later.
    Filter::of([condition]).unwrap_or_else(|e| panic!("{e}")).takes_at(&record(), 70_000_000)
}

#[test]
fn every_operator_is_there_for_every_kind_of_field() {
    let right = [
        "capability=orders",
        "capability!=users",
        "capability<p",
        "capability<=orders",
        "capability>o",
        "capability>=orders",
        "capability~RDER",
        "capability!~user",
        "ran=150ms",
        "ran!=1s",
        "ran<1s",
        "ran<=150ms",
        "ran>0.1s",
        "ran>=150000us",
        "ran~15",
        "ran!~16",
        "bytes=20",
        "bytes!=21",
        "bytes<21",
        "bytes<=20",
        "bytes>19",
        "bytes>=20",
        "bytes~2",
        "bytes!~3",
        "at>61s",
        "at<59s",
        "at>=10000",
        "at<=10000",
        "at=10000",
        "at!=9",
        "at~1000",
        "at!~7",
        "attr.request_id=r1",
        "attr.other=",
        "attr.request_id>r",
        "attr.request_id~R",
        "attr.other!~r",
    ];
    let wrong = [
        "capability=users",
        "capability!=orders",
        "capability<o",
        "capability>=p",
        "capability~x",
        "capability!~orders",
        "ran=1s",
        "ran!=150ms",
        "ran<150ms",
        "ran>150ms",
        "ran!~15",
        "bytes=2",
        "bytes<20",
        "bytes>20",
        "bytes!~2",
        "at<61s",
        "at>59s",
        "at!=10000",
        "attr.request_id=",
        "attr.other=r1",
    ];
    right.iter().for_each(|condition| assert!(takes(condition), "{condition}"));
    wrong.iter().for_each(|condition| assert!(!takes(condition), "{condition}"));
}

#[test]
fn every_field_can_be_asked_for() {
    for field in MessageRecord::FIELDS {
        for (sign, _) in OPERATORS {
            let condition = format!("{field}{sign}1ms");
            let parsed = Filter::of([&condition]).or_else(|_| Filter::of([format!("{field}{sign}1")]));
            parsed.unwrap_or_else(|e| panic!("{condition}: {e}"));
        }
    }
    for condition in [
        "key=order-7",
        "error~no host",
        "outcome=failed",
        "kind=ask",
        "half=handled",
        "span=00000000000000ab",
        "parent=",
        "name~place",
        "node=a",
        "took>=152ms",
        "database=0us",
        "attempt=0",
        "trace~7",
        "id=",
        "sender=",
        "peer=",
        "instance=",
        "waited=2ms",
    ] {
        assert!(takes(condition), "{condition}");
    }
}

#[test]
fn what_cannot_be_understood_says_what_would_be_right() {
    let error = |condition: &str| Filter::of([condition]).unwrap_err().to_string();
    assert!(error("orders").contains("FIELD OPERATOR VALUE"));
    assert!(error("colour=red").contains("capability, sender"));
    assert!(error("attr.=red").contains("attr.NAME"));
    assert!(error("ran>5").contains("us, ms, s"));
    assert!(error("bytes>many").contains("no number"));
    assert!(error("at>noon").contains("how long ago"));
}

#[test]
fn all_conditions_must_hold_and_a_filter_survives_its_encoding() {
    let both = Filter::of(["capability=orders", "ran>1s"]).unwrap();
    assert!(!both.takes(&record()));
    let json = serde_json::to_string(&both).unwrap();
    assert_eq!(json, r#"["capability=orders","ran>1s"]"#);
    assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), both);
    assert!(serde_json::from_str::<Filter>(r#"["x"]"#).is_err());
}
