//! The place where an asker and the one who answers meet.
//!
//! A slot knows at every moment whether its message is still waiting or has begun to run, and moves between the two
//! under one lock. That is what makes the errors of a deadline true: an asker that gives up either takes the message
//! back before it began, and then it surely never runs, or learns since when it has been running.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

/// Where one message is: what is to be run, `W`, until it begins, and its answer, `T`, once there is one.
pub(crate) struct Slot<T, W = ()> {
    state: Mutex<State<T, W>>,
}

enum State<T, W> {
    Waiting {
        work: W,
        waker: Option<Waker>,
    },
    Running {
        since: Option<Instant>,
        waker: Option<Waker>,
    },
    Answered(T),
    /// The asker went away, or has its answer.
    Closed,
}

/// What an asker that gave up finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GivenUp<T> {
    /// The message had not begun, and now never will.
    TakenBack,
    /// It has been running, since that moment if it did not finish at its first poll.
    Running(Option<Instant>),
    /// The answer was there after all.
    Answered(T),
}

impl<T> Slot<T> {
    /// A slot whose work is known elsewhere.
    pub fn new() -> Self {
        Self::holding(())
    }
}

impl<T, W> Slot<T, W> {
    /// A slot that holds the work.
    pub fn holding(work: W) -> Self {
        Self { state: Mutex::new(State::Waiting { work, waker: None }) }
    }

    /// Called by the one who runs the message. None: the asker took it back, do not run it.
    pub fn begin(&self) -> Option<W> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Waiting { work, waker } => {
                *state = State::Running { since: None, waker };
                Some(work)
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Notes since when the message runs, once it is known not to finish at once.
    pub fn running_since(&self, now: Instant) {
        if let State::Running { since, .. } = &mut *self.lock() {
            since.get_or_insert(now);
        }
    }

    /// Gives the answer; the first one counts.
    pub fn answer(&self, value: T) {
        let waker = {
            let mut state = self.lock();
            match &mut *state {
                State::Waiting { waker, .. } | State::Running { waker, .. } => {
                    let waker = waker.take();
                    *state = State::Answered(value);
                    waker
                }
                State::Answered(_) | State::Closed => None,
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives the answer if the message has not begun; it never begins then.
    pub fn answer_unbegun(&self, value: impl FnOnce() -> T) {
        let waker = {
            let mut state = self.lock();
            let State::Waiting { waker, .. } = &mut *state else { return };
            let waker = waker.take();
            *state = State::Answered(value());
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the message has begun and has no answer yet.
    pub fn has_begun(&self) -> bool {
        matches!(*self.lock(), State::Running { .. })
    }

    /// Whether nobody waits for the answer any more, or it has been given.
    #[cfg(test)]
    pub fn is_settled(&self) -> bool {
        matches!(*self.lock(), State::Answered(_) | State::Closed)
    }

    /// Waits for the answer.
    pub async fn answered(&self) -> T {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.lock();
        match &mut *state {
            State::Waiting { waker, .. } | State::Running { waker, .. } => {
                match waker {
                    Some(known) if known.will_wake(cx.waker()) => {}
                    _ => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Answered(_) => match std::mem::replace(&mut *state, State::Closed) {
                State::Answered(value) => Poll::Ready(value),
                _ => unreachable!("matched above"),
            },
            State::Closed => Poll::Pending,
        }
    }

    /// Called by the asker at its deadline, or when it goes away.
    pub fn give_up(&self) -> GivenUp<T> {
        match std::mem::replace(&mut *self.lock(), State::Closed) {
            State::Waiting { .. } | State::Closed => GivenUp::TakenBack,
            State::Running { since, .. } => GivenUp::Running(since),
            State::Answered(value) => GivenUp::Answered(value),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
