//! Runs a handler's future so that neither a panic nor a missed deadline leaves it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use essaim_base::activity::Activity;
use essaim_base::panic::{dismantle, panic_text};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Span;

use crate::local::watchdog::TurnMonitor;

/// How a guarded future ended.
pub enum GuardedEnd<T> {
    Done(T),
    Panicked(String),
    TimedOut {
        running_ms: u64,
        /// What it was doing, in words.
        doing: String,
    },
}

/// Polls `work` until it is done, panics or passes the deadline; then it is dropped, and its transaction with it.
///
/// The clock is read and the timer set only when the first poll does not finish: a handler that has nothing to wait
/// for pays for neither. `first_pending` gets the moment of the first `Pending`. The work runs in the span.
pub async fn guarded<F: Future>(
    mut work: Pin<&mut Option<F>>,
    deadline: Instant,
    (monitor, label): (&TurnMonitor, usize),
    activity: &Rc<Activity>,
    span: &Span,
    first_pending: impl FnOnce(Instant),
) -> GuardedEnd<F::Output> {
    let mut first_pending = Some(first_pending);
    let mut since = None;
    let mut timer: Pin<&mut Option<Sleep>> = pin!(None);
    poll_fn(move |cx| {
        let polled = {
            let (_polling, _entered, _active) = (monitor.polling(label), span.enter(), activity.poll());
            catch_unwind(AssertUnwindSafe(|| work.as_mut().as_pin_mut().map(|w| w.poll(cx))))
        };
        match polled {
            Ok(Some(Poll::Ready(value))) => return Poll::Ready(GuardedEnd::Done(value)),
            Ok(Some(Poll::Pending)) => {}
            Ok(None) => unreachable!("polled after it ended"),
            Err(panic) => {
                let what = panic_text(&*panic);
                dismantle(|| work.set(None));
                return Poll::Ready(GuardedEnd::Panicked(what));
            }
        }
        if let Some(first_pending) = first_pending.take() {
            let now = Instant::now();
            since = Some(now);
            first_pending(now);
            timer.set(Some(sleep_until(deadline)));
        }
        if let Some(sleep) = timer.as_mut().as_pin_mut()
            && sleep.poll(cx).is_ready()
        {
            let (_entered, _active) = (span.enter(), activity.enter());
            let doing = activity.report(Instant::now()).map(|report| report.doing()).unwrap_or_default();
            dismantle(|| work.set(None));
            let running_ms = since.map_or(0, |s: Instant| s.elapsed().as_millis() as u64);
            return Poll::Ready(GuardedEnd::TimedOut { running_ms, doing });
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
