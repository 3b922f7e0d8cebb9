//! Tasks that panic, end and are aborted.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use tokio::task::{LocalSet, yield_now};

use super::*;

const PANICS: u32 = 3;

fn backoff(first_ms: u64) -> Backoff {
    let first = Duration::from_millis(first_ms);
    Backoff { first, most: first * 100 }
}

fn tasks() -> (Tasks, watch::Receiver<Option<Fatal>>) {
    let (fatal, told) = watch::channel(None);
    (Tasks::new(Env::system(), backoff(100), fatal), told)
}

fn only(tasks: &Tasks) -> TaskStatus {
    let mut all = tasks.status();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test(start_paused = true)]
async fn what_can_be_rebuilt_starts_again_and_the_node_is_not_ready_meanwhile() {
    let (tasks, told) = tasks();
    let set = LocalSet::new();
    let lives = Arc::new(AtomicU32::new(0));
    let work = {
        let lives = lives.clone();
        move || {
            let life = lives.fetch_add(1, Ordering::Relaxed) + 1;
            async move { assert!(life > PANICS, "life {life}") }
        }
    };
    set.run_until(async {
        tasks.restarted(TaskName::of("relay", &"shop".into()).which("p/1"), work);
        yield_now().await;
        let status = only(&tasks);
        assert_eq!((status.state, status.running, status.restarts), (TaskState::Panicked, 0, 0));
        assert_eq!((status.name.as_str(), status.owner.as_str()), ("relay", "shop"));
        assert_eq!(tasks.not_ready(), ["the task `relay` of `shop` has panicked: life 1"]);
    })
    .await;
    set.await;
    let status = only(&tasks);
    assert_eq!((status.state, status.restarts, status.ended), (TaskState::Ended, u64::from(PANICS), 1));
    assert_eq!((lives.load(Ordering::Relaxed), tasks.not_ready()), (PANICS + 1, Vec::<String>::new()));
    assert_eq!(status.last_panic.as_deref(), Some("life 3"));
    assert_eq!(*told.borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rebuilt_ends_the_node_by_a_panic_or_an_end_with_a_reason() {
    let (panics, reasons) = (async { panic!("deaf") }, async { Err("mute".to_string()) });
    for (work, why) in [(panics.left_future(), "deaf"), (reasons.right_future(), "mute")] {
        let (tasks, told) = tasks();
        let set = LocalSet::new();
        set.run_until(async { tasks.vital(TaskName::of_node("inbox"), work) }).await;
        set.await;
        let fatal = told.borrow().clone().expect("the node ends");
        assert_eq!(fatal.code, exit::TASK);
        assert!(fatal.reason.contains("`inbox`") && fatal.reason.contains(why), "{fatal}");
        assert_eq!((only(&tasks).state, only(&tasks).last_panic.as_deref()), (TaskState::Panicked, Some(why)));
        assert_eq!(tasks.not_ready().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_apart_from_being_aborted_and_from_a_panic() {
    let (tasks, told) = tasks();
    let set = LocalSet::new();
    set.run_until(async {
        tasks.vital(TaskName::of_node("work"), async { Ok(()) });
        let endless = tasks.restarted(TaskName::of_node("work"), std::future::pending::<()>);
        let broken = tasks.restarted(TaskName::of_node("work"), || async { panic!("broken") });
        yield_now().await;
        let status = only(&tasks);
        assert_eq!((status.running, status.ended, status.aborted), (1, 1, 0));
        assert_eq!(status.state, TaskState::Panicked);
        endless.abort();
        broken.abort();
    })
    .await;
    set.await;
    let status = only(&tasks);
    assert_eq!((status.running, status.ended, status.aborted, status.restarts), (0, 1, 2, 0));
    assert_eq!((status.state, tasks.not_ready()), (TaskState::Ended, Vec::<String>::new()));
    assert_eq!(*told.borrow(), None);
}

#[test]
fn a_thread_starts_again_too() {
    let tasks = Tasks::new(Env::system(), backoff(1), watch::channel(None).0);
    let (told, lives) = std::sync::mpsc::sync_channel(1);
    let (mut life, name) = (0, TaskName::of_node("watchdog"));
    let work = move || {
        life += 1;
        assert!(life > PANICS, "life {life}");
        let _ = told.send(life);
    };
    tasks.restarted_thread(name, work).expect("a thread starts");
    assert_eq!(lives.recv(), Ok(PANICS + 1));
    // The end of the thread drops its sender.
    assert!(lives.recv().is_err());
    assert_eq!(only(&tasks).restarts, u64::from(PANICS));
}
