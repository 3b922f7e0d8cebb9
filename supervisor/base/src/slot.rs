//! The slot of one ask, in which its asker and its handler meet.
//!
//! A slot knows at every moment whether its message waits or has begun to run, and the step from one to the other is made under
//! one lock. That is why the error at a deadline is true: an asker that gives up either takes the message back before it has
//! begun, and then it never runs, or learns since when it has been running. The model checker loom tries this in every
//! interleaving: `cargo test -p essaim-base --features loom --lib slot`.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::sync::{Mutex, MutexGuard};

/// The state of one message: its work, `W`, until it begins, and its answer, `T`, once there is one.
pub struct Slot<T, W = ()> {
    state: Mutex<SlotState<T, W>>,
}

enum SlotState<T, W> {
    Waiting {
        work: W,
        waker: Option<Waker>,
    },
    Running {
        since: Option<Instant>,
        waker: Option<Waker>,
    },
    Answered(T),
    /// The asker has gone away, or has its answer.
    Closed,
}

/// The state in which an asker that gives up finds its message.
#[derive(Debug, PartialEq, Eq)]
pub enum GivenUp<T> {
    /// The message had not begun, and now never will.
    TakenBack,
    /// It has begun; the moment is that of its first `Pending`, if it had one.
    Running(Option<Instant>),
    /// The answer had come after all.
    Answered(T),
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slot<T> {
    /// A slot whose work is kept elsewhere.
    #[inline]
    pub fn new() -> Self {
        Self::holding(())
    }
}

impl<T, W> Slot<T, W> {
    /// A slot that holds the work.
    #[inline]
    pub fn holding(work: W) -> Self {
        Self { state: Mutex::new(SlotState::Waiting { work, waker: None }) }
    }

    /// Takes the work in order to run it. `None`: the asker took the message back, or it has begun already; it must not run.
    #[inline]
    pub fn begin(&self) -> Option<W> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, SlotState::Closed) {
            SlotState::Waiting { work, waker } => {
                *state = SlotState::Running { since: None, waker };
                Some(work)
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Records the first `Pending` of the handler, from which its running time counts.
    #[inline]
    pub fn running_since(&self, now: Instant) {
        if let SlotState::Running { since, .. } = &mut *self.lock() {
            since.get_or_insert(now);
        }
    }

    /// Gives the answer; the first one counts.
    #[inline]
    pub fn answer(&self, value: T) {
        let waker = {
            let mut state = self.lock();
            match &mut *state {
                SlotState::Waiting { waker, .. } | SlotState::Running { waker, .. } => {
                    let waker = waker.take();
                    *state = SlotState::Answered(value);
                    waker
                }
                SlotState::Answered(_) | SlotState::Closed => None,
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Gives the answer unless the message has begun; after that it never begins.
    #[inline]
    pub fn answer_unbegun(&self, value: impl FnOnce() -> T) {
        let waker = {
            let mut state = self.lock();
            let SlotState::Waiting { waker, .. } = &mut *state else { return };
            let waker = waker.take();
            *state = SlotState::Answered(value());
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the message has begun and has no answer yet.
    #[inline]
    pub fn has_begun(&self) -> bool {
        matches!(*self.lock(), SlotState::Running { .. })
    }

    /// Whether the answer has been given, or the asker has gone away.
    pub fn is_settled(&self) -> bool {
        matches!(*self.lock(), SlotState::Answered(_) | SlotState::Closed)
    }

    /// Waits for the answer.
    #[inline]
    pub async fn answered(&self) -> T {
        poll_fn(|cx| self.poll(cx)).await
    }

    #[inline]
    fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.lock();
        match &mut *state {
            SlotState::Waiting { waker, .. } | SlotState::Running { waker, .. } => {
                match waker {
                    Some(known) if known.will_wake(cx.waker()) => {}
                    _ => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            SlotState::Answered(_) => match std::mem::replace(&mut *state, SlotState::Closed) {
                SlotState::Answered(value) => Poll::Ready(value),
                _ => unreachable!("matched above"),
            },
            SlotState::Closed => Poll::Pending,
        }
    }

    /// Closes the slot for the asker: at its deadline, or when it goes away.
    #[inline]
    pub fn give_up(&self) -> GivenUp<T> {
        match std::mem::replace(&mut *self.lock(), SlotState::Closed) {
            SlotState::Waiting { .. } | SlotState::Closed => GivenUp::TakenBack,
            SlotState::Running { since, .. } => GivenUp::Running(since),
            SlotState::Answered(value) => GivenUp::Answered(value),
        }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, SlotState<T, W>> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests;
