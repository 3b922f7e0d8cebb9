use std::task::{Context, Waker};

use futures_util::FutureExt;

use super::*;
use crate::Env;

fn poll<F: Future + Unpin>(activity: &Rc<Activity>, work: &mut F) -> Poll<F::Output> {
    let _polled = activity.poll();
    work.poll_unpin(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn others_see_what_a_handler_waits_for_and_the_database_is_added_up() {
    let visible = Arc::<VisibleActivity>::default();
    let activity = Activity::of(visible.clone());
    let second = || tokio::time::sleep(Duration::from_secs(1));
    let mut work = Box::pin(async {
        waiting(|| Wait::Connection, second()).await;
        waiting(|| Wait::Answer("shop.sell.v1".into()), second()).await;
        waiting(|| Wait::Commit, second()).await;
    });
    let (since, trace) = (Instant::now(), TraceContext::root(&Env::system()));
    let mut said = Vec::new();
    while poll(&activity, &mut work).is_pending() {
        activity.first_pending(&"desk.serve.v1".into(), trace, since);
        tokio::time::advance(Duration::from_millis(500)).await;
        said.push(visible.report(Instant::now()).expect("it runs").to_string());
    }
    said.dedup();
    assert_eq!(
        said.iter().step_by(2).map(String::as_str).collect::<Vec<_>>(),
        [
            "`desk.serve.v1`, running for 500 ms and waiting for a database connection for 500 ms",
            "`desk.serve.v1`, running for 1500 ms and waiting for the answer to `shop.sell.v1` for 500 ms",
            "`desk.serve.v1`, running for 2500 ms and waiting for a commit for 500 ms",
        ]
    );
    assert_eq!(activity.ended(), Duration::from_secs(2));
    assert_eq!(visible.report(Instant::now()), None);
}

#[tokio::test(start_paused = true)]
async fn of_several_waits_the_first_that_goes_on_is_seen_and_one_that_is_dropped_is_not() {
    let activity = Activity::of(Arc::default());
    let forever = |wait: Wait| Box::pin(waiting(move || wait, std::future::pending::<()>()));
    let (mut first, mut other) = (forever(Wait::Log), forever(Wait::Database));
    assert!(poll(&activity, &mut first).is_pending() && poll(&activity, &mut other).is_pending());
    activity.first_pending(&"a.b.v1".into(), TraceContext::root(&Env::system()), Instant::now());
    let waits = || activity.report(Instant::now()).and_then(|report| report.waits).map(|(wait, _)| wait);
    assert_eq!(waits(), Some(Wait::Log));
    drop(first);
    assert_eq!(waits(), Some(Wait::Database));
    drop(other);
    assert_eq!(waits(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_polled_computes_and_one_that_is_not_waits_for_something_of_its_own() {
    let visible = Arc::<VisibleActivity>::default();
    let (activity, look) = (Activity::of(visible.clone()), visible.clone());
    let said = || (look.doing(Instant::now()), look.ahead(Instant::now()));
    assert_eq!(said(), Default::default(), "nothing runs");
    let mut during = Vec::new();
    let mut work = Box::pin(async {
        during.push(said());
        tokio::time::sleep(Duration::from_secs(1)).await;
        during.push(said());
    });
    assert!(poll(&activity, &mut work).is_pending());
    activity.first_pending(&"desk.serve.v1".into(), TraceContext::root(&Env::system()), Instant::now());
    tokio::time::advance(Duration::from_secs(2)).await;
    let (own, serving) =
        ("waiting for something of its own, such as a lock or a timer", "`desk.serve.v1`, running for 2000 ms");
    assert_eq!(said(), (own.into(), format!("{serving} and {own}")));
    assert!(poll(&activity, &mut work).is_ready());
    drop(work);
    let computing = |ahead: &str| (COMPUTING.to_string(), format!("{ahead}{COMPUTING}"));
    assert_eq!(during, [computing("a handler that has not waited yet, "), computing(&format!("{serving} and "))]);
    activity.ended();
    assert_eq!(said(), Default::default());
}

#[test]
fn the_current_message_is_that_of_the_innermost_activity() {
    let messages = vec!["tick".into(), "shop.sell.v1".into()];
    let place = HandlerPlace { node: "a".into(), capability: "shop".into(), messages };
    let activity = Activity::at(Arc::default(), place);
    let _entered = activity.enter();
    assert!(current().is_none(), "it has no message yet");
    activity.begin(1, TraceContext::root(&Env::system()));
    let told = || current().map(|current| current.message.to_string());
    assert_eq!(told().as_deref(), Some("shop.sell.v1"));
    let computation = CurrentMessage { message: "shop.count.v1".into(), ..current().expect("it has one") };
    {
        let _computing = computation.enter();
        assert_eq!(told().as_deref(), Some("shop.count.v1"));
    }
    assert_eq!(told().as_deref(), Some("shop.sell.v1"));
    assert_eq!(std::thread::spawn(|| current().is_none()).join().ok(), Some(true));
}

#[tokio::test]
async fn outside_of_handlers_nothing_is_noted() {
    waiting(|| panic!("nobody looks"), async {}).await;
    waiting(|| Wait::Log, tokio::task::yield_now()).await;
}
