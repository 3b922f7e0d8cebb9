//! The runtime's own tasks: each has a name, an owner, and a policy for its panic.
//!
//! A panic in a handler is the capability's affair. A panic in a task of the runtime would leave the node deaf or mute while it
//! says that it is well, so it ends the node; a task whose whole state is in the stores is restarted instead, after a backoff.
//! Either way the log names it, `/status` counts it, and `/readyz` answers 503 until it is back. A dependency that a task finds
//! down is an outage, which is reported in `outages.rs`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockReadGuard, watch};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::exit::{self, Fatal};
use crate::lock::{Mutex, MutexGuard};
use crate::outages::Outages;
use crate::panic::{dismantle, panic_text};
use crate::threads::Thread;
use crate::{Env, crash};

/// The owner of those tasks that belong to no capability.
const NODE: &str = "node";

/// The tasks of one node. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
    /// Where those run that stay on one thread; absent: where they are begun.
    thread: Option<Thread>,
}

struct Inner {
    env: Env,
    outages: Outages,
    backoff: Backoff,
    fatal: watch::Sender<Option<Fatal>>,
    /// Read-locked by each task that has something to save before the node ends.
    saving: RwLock<()>,
    /// By owner and task. Bounded by the kinds of tasks of each capability.
    counts: Mutex<BTreeMap<(Arc<str>, &'static str), TaskCounts>>,
}

#[derive(Default)]
struct TaskCounts {
    running: u32,
    /// Tasks that have panicked and have not been restarted yet.
    down: u32,
    ended: u64,
    aborted: u64,
    restarts: u64,
    last_panic: Option<String>,
}

/// The name of a task, and its owner.
#[derive(Debug, Clone)]
pub struct TaskName {
    task: &'static str,
    owner: Arc<str>,
    /// Which of several of that name, such as the queue of a relay; for the log alone.
    which: String,
}

impl TaskName {
    /// A task of the node.
    pub fn of_node(task: &'static str) -> Self {
        Self::of(task, &NODE.into())
    }

    /// A task of a capability.
    pub fn of(task: &'static str, capability: &Arc<str>) -> Self {
        Self { task, owner: capability.clone(), which: String::new() }
    }

    /// The same with what tells it apart from others of its name.
    pub fn which(mut self, which: impl ToString) -> Self {
        self.which = which.to_string();
        self
    }
}

/// The tasks of one kind and owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    /// Their name, such as `relay`.
    pub name: String,
    /// The capability that they work for, or `node`.
    pub owner: String,
    /// Their state.
    pub state: TaskState,
    /// How many there are now.
    pub running: u32,
    /// How many ended by themselves because their work was done.
    pub ended: u64,
    /// How many their owner aborted.
    pub aborted: u64,
    /// Restarts after a panic.
    pub restarts: u64,
    /// The message of the last panic.
    pub last_panic: Option<String>,
}

/// The state of the tasks of one kind and owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// All run.
    #[default]
    Running,
    /// All have ended as they should.
    Ended,
    /// One has panicked and has not been restarted yet.
    Panicked,
}

impl Tasks {
    /// The tasks of a node that ends when `fatal` holds a reason; `backoff` has the pauses before restarts.
    pub fn new(env: Env, backoff: Backoff, fatal: watch::Sender<Option<Fatal>>) -> Self {
        let outages = Outages::new(env.clone());
        let inner = Inner { saving: RwLock::default(), env, outages, backoff, fatal, counts: Mutex::default() };
        Self { inner: Arc::new(inner), thread: None }
    }

    /// The tasks of a part that a test runs without a node.
    pub fn without_node() -> Self {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) };
        Self::new(Env::system(), backoff, watch::channel(None).0)
    }

    /// The same node's tasks, of which those that stay on one thread run on this one.
    pub fn on(&self, thread: Option<Thread>) -> Self {
        Self { inner: self.inner.clone(), thread }
    }

    /// Runs on this thread a task that the node cannot do without and whose state nothing could rebuild: a panic, or an end with
    /// a reason, ends the node. The reason is a text, since people alone read it: in the log and as the node's last words.
    #[allow(clippy::disallowed_methods)] // The one place that spawns on a thread.
    pub fn vital(&self, name: TaskName, work: impl Future<Output = Result<(), String>> + 'static) {
        tokio::task::spawn_local(Task::begin(self, name).once(work));
    }

    /// Runs a task that is restarted after a panic, all its state being rebuilt from the stores: on the thread of these tasks,
    /// or on this one if they have none.
    #[allow(clippy::disallowed_methods)] // As above.
    pub fn restarted<F: Future<Output = ()> + 'static>(
        &self,
        name: TaskName,
        make: impl FnMut() -> F + Send + 'static,
    ) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let task = Task::begin(self, name);
        self.begin(move || drop(tokio::task::spawn_local(Abortable::new(task.again(make), registration))));
        handle
    }

    fn begin(&self, begin: impl FnOnce() + Send + 'static) {
        match &self.thread {
            Some(thread) => thread.run(begin),
            None => begin(),
        }
    }

    /// As [`Tasks::restarted`], on any thread of the runtime if these tasks have none.
    #[allow(clippy::disallowed_methods)] // The one place that spawns on the runtime.
    pub fn restarted_anywhere<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: TaskName,
        make: impl FnMut() -> F + Send + 'static,
    ) {
        let task = Task::begin(self, name);
        self.begin(move || drop(tokio::spawn(task.again(make))));
    }

    /// Runs on a thread of its own a task that no arbiter may block; it is restarted after a panic.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    #[allow(clippy::disallowed_methods)] // The one place that makes a thread, and the pause is its own.
    pub fn restarted_thread(&self, name: TaskName, mut work: impl FnMut() + Send + 'static) -> std::io::Result<()> {
        let (task, thread) = (name.task, std::thread::Builder::new().name(name.task.into()));
        let mut counted = Task::begin(self, name);
        let run = move || {
            while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
                crash::in_task(task);
                work();
            })) {
                std::thread::sleep(counted.restarts_in(&panic_text(&*panic)));
                counted.is_back();
            }
            counted.ended();
        };
        thread.spawn(run).map(drop)
    }

    /// Ends the node because of a panic in a part of it that is no task of its own.
    pub fn lost(&self, name: TaskName, panic: &str) {
        Task::begin(self, name).ends_node("has panicked", panic);
    }

    /// Delays the end of the node by [`Tasks::end_node_later`] until the guard is dropped.
    pub async fn saving(&self) -> RwLockReadGuard<'_, ()> {
        self.inner.saving.read().await
    }

    /// As [`Tasks::end_node`], after a pause in which others begin to save, and once they have saved.
    pub async fn end_node_later(&self, pause: Duration, end: Fatal) {
        tokio::time::sleep(pause).await;
        let _all_is_saved = self.inner.saving.write().await;
        self.end_node(end);
    }

    /// Ends the node, unless it ends already. Returns whether this is the first reason; later ones change nothing.
    pub fn end_node(&self, end: Fatal) -> bool {
        self.inner.fatal.send_if_modified(|fatal| {
            let is_first = fatal.is_none();
            fatal.get_or_insert(end);
            is_first
        })
    }

    /// The outages that tasks report.
    pub fn outages(&self) -> &Outages {
        &self.inner.outages
    }

    /// All of them, by owner and name.
    pub fn status(&self) -> Vec<TaskStatus> {
        let status = |((owner, task), counts): (&(Arc<str>, &'static str), &TaskCounts)| TaskStatus {
            name: task.to_string(),
            owner: owner.to_string(),
            state: match counts {
                TaskCounts { down: 1.., .. } => TaskState::Panicked,
                TaskCounts { running: 0, .. } => TaskState::Ended,
                _ => TaskState::Running,
            },
            running: counts.running,
            ended: counts.ended,
            aborted: counts.aborted,
            restarts: counts.restarts,
            last_panic: counts.last_panic.clone(),
        };
        self.counts().iter().map(status).collect()
    }

    /// The reasons for which the node is not ready that are panics of its tasks.
    pub fn not_ready(&self) -> Vec<String> {
        let down = |task: TaskStatus| {
            let TaskStatus { name, owner, last_panic, .. } = task;
            format!("the task `{name}` of `{owner}` has panicked: {}", last_panic.unwrap_or_default())
        };
        self.status().into_iter().filter(|task| task.state == TaskState::Panicked).map(down).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, &'static str), TaskCounts>> {
        self.inner.counts.lock()
    }
}

/// One task, counted until it ends or is aborted.
struct Task {
    tasks: Tasks,
    name: TaskName,
    stage: TaskStage,
    /// Panics in a row, and the start of the current run.
    failures: u32,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TaskStage {
    Running,
    /// Between a panic and the restart.
    Pausing,
    /// It has ended, or has ended the node.
    Over,
}

impl Task {
    fn begin(tasks: &Tasks, name: TaskName) -> Self {
        let (tasks, stage, failures, since) = (tasks.clone(), TaskStage::Running, 0, tasks.inner.env.now());
        let task = Self { tasks, name, stage, failures, since };
        task.record(|counts| counts.running += 1);
        task
    }

    async fn once(mut self, work: impl Future<Output = Result<(), String>>) {
        match guarded(self.name.task, work).await {
            Ok(Ok(())) => self.ended(),
            Ok(Err(reason)) => self.ends_node("has ended", &reason),
            Err(panic) => self.ends_node("has panicked", &panic),
        }
    }

    async fn again<F: Future<Output = ()>>(mut self, mut make: impl FnMut() -> F) {
        while let Err(panic) = guarded(self.name.task, async { make().await }).await {
            tokio::time::sleep(self.restarts_in(&panic)).await;
            self.is_back();
        }
        self.ended();
    }

    fn ends_node(&mut self, how: &str, why: &str) {
        self.stage = TaskStage::Over;
        self.down(why);
        let TaskName { task, owner, which } = &self.name;
        tracing::error!(task, %owner, which, panic = why, "a task of the runtime {how}: the node ends, and may start again");
        let reason = format!("the task `{task}` of `{owner}` {how}: {why}; the node ends, start it again");
        self.tasks.end_node(Fatal::new(exit::TASK, reason));
    }

    /// Records a panic, and returns the pause before the restart.
    fn restarts_in(&mut self, panic: &str) -> Duration {
        let Inner { env, backoff, .. } = &*self.tasks.inner;
        // After a run longer than the longest pause a panic counts as the first.
        let is_first = env.now().saturating_duration_since(self.since) > backoff.most;
        self.failures = if is_first { 1 } else { self.failures.saturating_add(1) };
        let pause = backoff.delay(self.failures, env);
        self.stage = TaskStage::Pausing;
        self.down(panic);
        let (TaskName { task, owner, which }, retry_ms) = (&self.name, pause.as_millis() as u64);
        tracing::error!(task, %owner, which, panic, retry_ms, "a task of the runtime has panicked; it starts again");
        pause
    }

    fn down(&self, panic: &str) {
        self.record(|counts| {
            counts.running -= 1;
            counts.down += 1;
            counts.last_panic = Some(panic.into());
        });
    }

    fn is_back(&mut self) {
        (self.stage, self.since) = (TaskStage::Running, self.tasks.inner.env.now());
        self.record(|counts| {
            counts.running += 1;
            counts.down -= 1;
            counts.restarts += 1;
        });
    }

    fn ended(&mut self) {
        self.stage = TaskStage::Over;
        self.record(|counts| {
            counts.running -= 1;
            counts.ended += 1;
        });
    }

    fn record(&self, change: impl FnOnce(&mut TaskCounts)) {
        let key = (self.name.owner.clone(), self.name.task);
        change(self.tasks.counts().entry(key).or_default());
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let was_down = match self.stage {
            TaskStage::Over => return,
            TaskStage::Running => 0,
            TaskStage::Pausing => 1,
        };
        self.record(|counts| {
            counts.running -= 1 - was_down;
            counts.down -= was_down;
            counts.aborted += 1;
        });
    }
}

/// The output of `work`, or the message of its panic.
async fn guarded<F: Future>(task: &'static str, work: F) -> Result<F::Output, String> {
    let mut work = Some(Box::pin(work));
    poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            crash::in_task(task);
            work.as_mut().map(|work| work.as_mut().poll(cx))
        }));
        match polled {
            Ok(Some(Poll::Ready(output))) => Poll::Ready(Ok(output)),
            Ok(_) => Poll::Pending,
            Err(panic) => {
                dismantle(|| work = None);
                Poll::Ready(Err(panic_text(&*panic)))
            }
        }
    })
    .await
}
