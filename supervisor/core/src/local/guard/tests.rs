use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// Sets a flag when it is dropped.
struct Flag(Rc<Cell<bool>>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Guards a future with a deadline in a second; how it ended, and how often a first pending was reported.
async fn guard<F: Future>(work: F) -> (GuardedEnd<F::Output>, u32) {
    let (monitor, reports) = (TurnMonitor::default(), Cell::new(0));
    let work = pin!(Some(work));
    let report = |_| reports.set(reports.get() + 1);
    let end = guarded(
        work,
        Instant::now() + Duration::from_secs(1),
        (&monitor, 0),
        &Activity::of(Arc::default()),
        &Span::none(),
        report,
    )
    .await;
    (end, reports.get())
}

#[tokio::test(start_paused = true)]
async fn what_ends_at_its_first_poll_was_never_pending() {
    let (end, reports) = guard(ready(7)).await;
    assert!(matches!(end, GuardedEnd::Done(7)));
    assert_eq!(reports, 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_pending_is_reported_once_however_often_it_is_polled() {
    let work = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        7
    };
    let (end, reports) = guard(work).await;
    assert!(matches!(end, GuardedEnd::Done(7)));
    assert_eq!(reports, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_in_the_guard_and_drops_the_work() {
    let dropped = Rc::new(Cell::new(false));
    let flag = Flag(dropped.clone());
    let (end, _) = guard(async move {
        let _flag = flag;
        tokio::task::yield_now().await;
        panic!("asked to");
    })
    .await;
    assert!(matches!(end, GuardedEnd::<()>::Panicked(what) if what == "asked to"));
    assert!(dropped.get());
}

#[tokio::test(start_paused = true)]
async fn a_missed_deadline_drops_the_work_and_says_for_how_long_it_ran() {
    let dropped = Rc::new(Cell::new(false));
    let flag = Flag(dropped.clone());
    let (end, reports) = guard(async move {
        let _flag = flag;
        pending::<()>().await;
    })
    .await;
    assert!(matches!(end, GuardedEnd::TimedOut { running_ms, .. } if running_ms >= 1_000));
    assert_eq!(reports, 1);
    assert!(dropped.get());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_destructor_at_the_deadline_ends_in_the_guard() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let (end, _) = guard(async {
        let _bomb = Bomb;
        pending::<()>().await;
    })
    .await;
    assert!(matches!(end, GuardedEnd::TimedOut { .. }));
}
