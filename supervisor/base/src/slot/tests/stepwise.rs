//! One step after the other.

use super::super::*;

#[test]
fn a_message_that_was_taken_back_never_begins() {
    let slot = Slot::<u8>::new();
    assert_eq!(slot.give_up(), GivenUp::TakenBack);
    assert_eq!(slot.begin(), None);
}

#[test]
fn a_message_that_began_cannot_be_taken_back() {
    let slot = Slot::<u8>::new();
    assert_eq!(slot.begin(), Some(()));
    assert_eq!(slot.begin(), None, "a message begins once");
    assert_eq!(slot.give_up(), GivenUp::Running(None));
}

#[test]
fn the_first_answer_counts_and_a_late_asker_still_finds_it() {
    let slot = Slot::<u8>::new();
    slot.begin();
    slot.answer(1);
    slot.answer(2);
    assert!(slot.is_settled());
    assert_eq!(slot.give_up(), GivenUp::Answered(1));
}

#[tokio::test]
async fn the_asker_is_woken_by_the_answer() {
    let slot = std::sync::Arc::new(Slot::<&str>::new());
    let asker = tokio::spawn({
        let slot = slot.clone();
        async move { slot.answered().await }
    });
    tokio::task::yield_now().await;
    slot.begin();
    slot.answer("yes");
    assert_eq!(asker.await.unwrap(), "yes");
}
