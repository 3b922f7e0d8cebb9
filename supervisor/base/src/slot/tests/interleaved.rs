//! Asker, handler and mailbox at once: the model checker tries every interleaving of their steps.
//!
//! Faults that were planted in the slot and that these tests found: an answer that wakes nobody, a beginning that forgets the
//! asker's waker, a stale waker that is kept, an asker that looks under one lock and sleeps under the next, a beginning and a
//! refusal that look under one lock and change the state under the next, a running message that is said to be taken back, and a
//! late answer after the asker has had the first. (A slot has no atomics, so no ordering to relax.)

use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::super::*;

/// Runs `work` as a thread of the model.
fn beside<R: 'static>(slot: &Arc<Slot<u8>>, work: impl FnOnce(&Slot<u8>) -> R + 'static) -> thread::JoinHandle<R> {
    let slot = slot.clone();
    thread::spawn(move || work(&slot))
}

#[test]
fn a_message_is_taken_back_or_begins_and_never_both() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        let asker = beside(&slot, |slot| slot.give_up());
        let began = slot.begin().is_some();
        match asker.join().unwrap() {
            GivenUp::TakenBack => assert!(!began, "it ran although it was taken back"),
            GivenUp::Running(_) => assert!(began, "it is said to run and does not"),
            GivenUp::Answered(_) => unreachable!("nobody has answered"),
        }
        assert_eq!(slot.begin(), None, "a message begins once");
    });
}

#[test]
fn of_two_who_begin_a_message_one_gets_its_work() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        let other = beside(&slot, |slot| slot.begin().is_some());
        let began = slot.begin().is_some();
        assert!(began != other.join().unwrap());
        assert!(slot.has_begun());
    });
}

#[test]
fn a_mailbox_answers_what_has_not_begun_and_nothing_else() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        let handler = beside(&slot, |slot| {
            let began = slot.begin().is_some();
            if began {
                slot.answer(1);
            }
            began
        });
        slot.answer_unbegun(|| 2);
        let answer = block_on(slot.answered());
        assert_eq!(answer, if handler.join().unwrap() { 1 } else { 2 });
    });
}

#[test]
fn no_wake_up_is_lost_between_asking_and_answering() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        let handler = beside(&slot, |slot| {
            if slot.begin().is_some() {
                slot.answer(7);
            }
        });
        // A lost wake-up is a deadlock, which the model reports.
        assert_eq!(block_on(slot.answered()), 7);
        handler.join().unwrap();
        assert_eq!(slot.give_up(), GivenUp::TakenBack, "the answer is given once");
    });
}

#[test]
fn an_asker_that_moves_to_another_task_is_woken_there() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        let handler = beside(&slot, |slot| slot.answer(7));
        let before_it_moved = slot.poll(&mut Context::from_waker(Waker::noop()));
        if before_it_moved.is_pending() {
            assert_eq!(block_on(slot.answered()), 7);
        }
        handler.join().unwrap();
    });
}

#[test]
fn an_asker_at_its_deadline_gets_the_answer_or_learns_that_it_runs() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        let has_run = Arc::new(AtomicBool::new(false));
        let handler = beside(&slot, {
            let has_run = has_run.clone();
            move |slot| {
                if slot.begin().is_some() {
                    has_run.store(true, Ordering::Relaxed);
                    slot.answer(7);
                }
            }
        });
        // The asker polls once, as it does before its deadline, and then gives up.
        let polled = block_on(std::future::poll_fn(|cx: &mut Context<'_>| Poll::Ready(slot.poll(cx))));
        match polled {
            Poll::Ready(answer) => assert_eq!(answer, 7),
            Poll::Pending => match slot.give_up() {
                GivenUp::TakenBack => {
                    handler.join().unwrap();
                    assert!(!has_run.load(Ordering::Relaxed), "it ran although it was taken back");
                    return;
                }
                GivenUp::Running(_) => {}
                GivenUp::Answered(answer) => assert_eq!(answer, 7),
            },
        }
        handler.join().unwrap();
        assert!(has_run.load(Ordering::Relaxed), "it is said to have run");
    });
}

#[test]
fn the_first_of_two_answers_counts() {
    loom::model(|| {
        let slot = Arc::new(Slot::<u8>::new());
        slot.begin();
        let other = beside(&slot, |slot| slot.answer(2));
        slot.answer(1);
        let answer = block_on(slot.answered());
        other.join().unwrap();
        assert!(matches!(answer, 1 | 2));
        assert_eq!(slot.give_up(), GivenUp::TakenBack, "the answer is given once");
    });
}
