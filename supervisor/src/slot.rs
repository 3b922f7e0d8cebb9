//! The place where an asker and the one who answers meet.
//!
//! A slot knows at every moment whether its message is still waiting or has begun to run, and moves between the two
//! under one lock. That is what makes the errors of a deadline true: an asker that gives up either takes the message
//! back before it began, and then it surely never runs, or learns since when it has been running.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

/// Where one message is, and its answer once there is one.
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    progress: AtomicU8,
}

enum State<T> {
    Waiting(Option<Waker>),
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
    pub fn new() -> Self {
        Self { state: Mutex::new(State::Waiting(None)), progress: AtomicU8::new(Progress::Nothing as u8) }
    }

    /// Called by the one who runs the message. False: the asker took it back, do not run it.
    pub fn begin(&self) -> bool {
        let mut state = self.lock();
        match &mut *state {
            State::Waiting(waker) => {
                let waker = waker.take();
                *state = State::Running { since: None, waker };
                true
            }
            _ => false,
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
                State::Waiting(waker) | State::Running { waker, .. } => {
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
            State::Waiting(waker) | State::Running { waker, .. } => {
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
            State::Waiting(_) | State::Closed => GivenUp::TakenBack,
            State::Running { since, .. } => GivenUp::Running(since),
            State::Answered(value) => GivenUp::Answered(value),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the handler's own writes have come; decides what a failure may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Progress {
    /// Nothing was committed.
    Nothing = 0,
    /// A commit was sent and not answered.
    Committing = 1,
    /// Something was committed.
    Committed = 2,
}

/// The side of a slot that a handler's context sees, whatever the answer's type.
pub(crate) trait Track: Send + Sync {
    fn progress(&self) -> Progress;
    fn set_progress(&self, progress: Progress);
}

impl<T: Send> Track for Slot<T> {
    fn progress(&self) -> Progress {
        match self.progress.load(Ordering::Acquire) {
            0 => Progress::Nothing,
            1 => Progress::Committing,
            _ => Progress::Committed,
        }
    }

    fn set_progress(&self, progress: Progress) {
        self.progress.store(progress as u8, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_taken_back_never_begins() {
        let slot = Slot::<u8>::new();
        assert_eq!(slot.give_up(), GivenUp::TakenBack);
        assert!(!slot.begin());
    }

    #[test]
    fn a_message_that_began_cannot_be_taken_back() {
        let slot = Slot::<u8>::new();
        assert!(slot.begin());
        assert!(!slot.begin(), "a message begins once");
        assert_eq!(slot.give_up(), GivenUp::Running(None));
    }

    #[test]
    fn the_first_answer_counts_and_a_late_asker_still_finds_it() {
        let slot = Slot::new();
        slot.begin();
        slot.answer(1);
        slot.answer(2);
        assert!(slot.is_settled());
        assert_eq!(slot.give_up(), GivenUp::Answered(1));
    }

    #[tokio::test]
    async fn the_asker_is_woken_by_the_answer() {
        let slot = std::sync::Arc::new(Slot::new());
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
