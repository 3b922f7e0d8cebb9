//! Dead letters.

use super::{AWKWARD, in_a_transaction};
use crate::tables::dead::{self, DeadLetter, DeadLetterFilter, DeadReason};

fn letter(id: &str, dead_at_ms: u64) -> DeadLetter {
    DeadLetter {
        id: id.into(),
        capability: "orders".into(),
        partition: 3,
        order_key: format!("key of {id}"),
        ordered: true,
        name: "orders.pay.v1".into(),
        reason: DeadReason::Attempts,
        attempts: 10,
        error: Some("no".into()),
        trace: "00-1-2-01".into(),
        first_at_ms: 1,
        dead_at_ms,
        held: false,
        record: vec![1, 2, 3],
    }
}

fn all() -> DeadLetterFilter {
    DeadLetterFilter { most: 10_000, ..DeadLetterFilter::default() }
}

fn ids(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|l| l.id.as_str()).collect()
}

#[test]
fn a_reason_is_the_same_word_everywhere() {
    for reason in DeadReason::ALL {
        assert_eq!(DeadReason::parse(reason.as_str()), Some(reason));
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
    assert_eq!(DeadReason::parse("bored"), None);
}

#[tokio::test]
async fn any_number_of_letters_is_listed_newest_last_in_parts() {
    in_a_transaction(async |tx| {
        dead::bury(tx, &[]).await.unwrap();
        dead::bury(tx, &[letter("first/1", 0)]).await.unwrap();
        // Ten die at each moment, and their ids decide then.
        let mut many: Vec<DeadLetter> = (0..1_000).map(|n| letter(&format!("m/{}", 999 - n), 1 + n / 10)).collect();
        dead::bury(tx, &many).await.unwrap();
        many.insert(0, letter("first/1", 0));
        many.sort_by(|a, b| (a.dead_at_ms, &a.id).cmp(&(b.dead_at_ms, &b.id)));
        let (mut listed, mut filter) = (Vec::new(), DeadLetterFilter { most: 333, ..DeadLetterFilter::default() });
        loop {
            let part = dead::list(tx, &filter).await.unwrap();
            let Some(last) = part.last() else { break };
            filter.after = Some(last.cursor());
            // A reader of the list may drop what it has seen.
            assert_eq!(dead::remove(tx, &[(&last.id, "orders"), ("unknown/1", "orders")]).await.unwrap(), 1);
            listed.extend(part);
        }
        assert_eq!(ids(&listed), ids(&many));
        assert_eq!(dead::count(tx).await.unwrap()[&DeadReason::Attempts], 1_001 - 4);
        let rest: Vec<_> = many.iter().map(|l| (l.id.as_str(), "orders")).collect();
        assert_eq!(dead::remove(tx, &rest).await.unwrap(), 1_001 - 4);
        assert_eq!(dead::remove(tx, &[]).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_letter_that_dies_again_takes_its_own_place_even_in_one_batch() {
    in_a_transaction(async |tx| {
        dead::bury(tx, &[letter("a/1", 1), letter("b/1", 2)]).await.unwrap();
        let again = DeadLetter { reason: DeadReason::Rejected, error: None, record: vec![], ..letter("a/1", 3) };
        let other = DeadLetter { dead_at_ms: 9, held: true, ..again.clone() };
        dead::bury(tx, &[other, again.clone()]).await.unwrap();
        assert_eq!(dead::find(tx, "a/1").await.unwrap(), [again]);
        assert_eq!(ids(&dead::list(tx, &all()).await.unwrap()), ["b/1", "a/1"]);
        assert_eq!(dead::find(tx, "c/1").await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn an_event_may_be_dead_for_each_of_its_subscribers() {
    in_a_transaction(async |tx| {
        let for_mail = DeadLetter { capability: "mail".into(), reason: DeadReason::Full, ..letter("a/1", 1) };
        dead::bury(tx, &[letter("a/1", 1), for_mail.clone()]).await.unwrap();
        assert_eq!(dead::find(tx, "a/1").await.unwrap(), [for_mail.clone(), letter("a/1", 1)]);
        assert_eq!(dead::remove(tx, &[("a/1", "orders")]).await.unwrap(), 1);
        assert_eq!(dead::list(tx, &all()).await.unwrap(), [for_mail]);
    })
    .await;
}

#[tokio::test]
async fn letters_are_chosen_by_reason_and_name_and_counted_by_reason() {
    in_a_transaction(async |tx| {
        let with = |id: &str, at, reason, name: &str| DeadLetter { reason, name: name.into(), ..letter(id, at) };
        let letters = [
            with("a/1", 1, DeadReason::TooOld, "x.v1"),
            with("b/1", 2, DeadReason::TooOld, "y.v1"),
            with("c/1", 3, DeadReason::Full, "y.v1"),
            with("d/1", 4, DeadReason::TooOld, "y.v1"),
        ];
        dead::bury(tx, &letters).await.unwrap();
        let too_old = DeadLetterFilter { reason: Some(DeadReason::TooOld), ..all() };
        assert_eq!(ids(&dead::list(tx, &too_old).await.unwrap()), ["a/1", "b/1", "d/1"]);
        let y = DeadLetterFilter { name: Some("y.v1".into()), ..all() };
        assert_eq!(ids(&dead::list(tx, &y).await.unwrap()), ["b/1", "c/1", "d/1"]);
        let both = DeadLetterFilter { name: y.name, after: Some(letters[1].cursor()), ..too_old };
        assert_eq!(ids(&dead::list(tx, &both).await.unwrap()), ["d/1"]);
        let counts: Vec<_> = dead::count(tx).await.unwrap().into_iter().collect();
        assert_eq!(counts, [(DeadReason::TooOld, 3), (DeadReason::Full, 1)]);
    })
    .await;
}

#[tokio::test]
async fn keys_on_hold_are_known_until_their_letter_goes() {
    in_a_transaction(async |tx| {
        let held = DeadLetter { held: true, ..letter("a/1", 1) };
        let elsewhere = DeadLetter { capability: "mail".into(), ..held.clone() };
        let second = DeadLetter { order_key: held.order_key.clone(), held: true, ..letter("b/1", 2) };
        dead::bury(tx, &[held, elsewhere, second, letter("c/1", 3)]).await.unwrap();
        assert_eq!(dead::held_keys(tx, "orders", 3).await.unwrap(), ["key of a/1"]);
        assert!(dead::held_keys(tx, "orders", 4).await.unwrap().is_empty());
        assert_eq!(dead::remove(tx, &[("a/1", "orders"), ("b/1", "orders")]).await.unwrap(), 2);
        assert!(dead::held_keys(tx, "orders", 3).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn awkward_ids_come_back_and_errors_lose_what_no_database_keeps() {
    in_a_transaction(async |tx| {
        let letters = AWKWARD.map(|word| DeadLetter { error: Some(format!("\0{word}")), ..letter(word, 1) });
        dead::bury(tx, &letters).await.unwrap();
        for word in AWKWARD {
            let expected = DeadLetter { error: Some(format!("\u{fffd}{word}")), ..letter(word, 1) };
            assert_eq!(dead::find(tx, word).await.unwrap(), [expected]);
            assert_eq!(dead::remove(tx, &[(word, "orders")]).await.unwrap(), 1);
        }
    })
    .await;
}
