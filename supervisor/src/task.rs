//! The runtime's own tasks: each has a name, an owner, and a policy for the case that it panics.
//!
//! A panic in a handler is the capability's (`guard.rs`, `tree.rs`). A panic in a task of the runtime would leave the node
//! deaf or mute while it says that it is well, so it ends the node; a task whose state is in the stores alone starts again
//! instead, after a backoff. Either way the log names it, `/status` counts it, and `/readyz` says no until it is back.
//! What a task finds not working that is no task is an outage (`outages.rs`), and is reported there.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{RwLock, RwLockReadGuard, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::config::SupervisionConfig;
use crate::exit::{self, Fatal};
use crate::guard::{dismantle, panic_text};
use crate::outages::Outages;
use crate::{Env, crash};

/// The owner of those tasks that belong to no capability.
const NODE: &str = "node";

/// The tasks of one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tasks(Arc<Inner>);

struct Inner {
    env: Env,
    outages: Outages,
    backoff: Backoff,
    fatal: watch::Sender<Option<Fatal>>,
    /// Held for reading by those who have something to save before the node ends.
    saving: RwLock<()>,
    /// By owner and task. Bounded by the kinds of tasks of each capability.
    figures: Mutex<BTreeMap<(Arc<str>, &'static str), Figures>>,
}

#[derive(Default)]
struct Figures {
    running: u32,
    /// Those that have panicked and are not back.
    down: u32,
    ended: u64,
    aborted: u64,
    restarts: u64,
    last_panic: Option<String>,
}

/// What a task is called and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct TaskName {
    task: &'static str,
    owner: Arc<str>,
    /// Which of several, such as the lane of a relay; for the log alone.
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

    /// Tells it apart from its siblings.
    pub fn which(mut self, which: impl ToString) -> Self {
        self.which = which.to_string();
        self
    }
}

/// The tasks of one kind and owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// What they do, such as `relay`.
    pub name: String,
    /// The capability that they work for, or `node`.
    pub owner: String,
    /// How they are.
    pub state: TaskState,
    /// How many there are now.
    pub running: u32,
    /// How many ended by themselves, since their work was done.
    pub ended: u64,
    /// How many were given up by their owner.
    pub aborted: u64,
    /// Restarts after a panic.
    pub restarts: u64,
    /// What the last panic said.
    pub last_panic: Option<String>,
}

/// How the tasks of one kind and owner are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// All run.
    Running,
    /// None is left, and none is missed.
    Ended,
    /// One has panicked and is not back.
    Panicked,
}

impl Tasks {
    /// The tasks of a node that ends when `fatal` says so.
    pub fn new(env: Env, config: &SupervisionConfig, fatal: watch::Sender<Option<Fatal>>) -> Self {
        let backoff = Backoff {
            first: Duration::from_millis(config.backoff_first_ms),
            most: Duration::from_millis(config.backoff_most_ms),
        };
        let outages = Outages::new(env.clone());
        Self(Arc::new(Inner { saving: RwLock::default(), env, outages, backoff, fatal, figures: Mutex::default() }))
    }

    /// Tasks of a part that a test runs without a node.
    #[cfg(test)]
    pub fn without_node() -> Self {
        Self::new(Env::system(), &SupervisionConfig::default(), watch::channel(None).0)
    }

    /// Runs on this thread what the node cannot do without and nothing could rebuild: a panic, or an end with a reason,
    /// ends the node.
    #[allow(clippy::disallowed_methods)] // The one place that spawns on a thread.
    pub fn vital(&self, name: TaskName, work: impl Future<Output = Result<(), String>> + 'static) {
        tokio::task::spawn_local(Task::begin(self, name).once(work));
    }

    /// Runs on this thread what begins again after a panic: all its state is rebuilt from the stores.
    #[allow(clippy::disallowed_methods)] // As above.
    pub fn restarted<F: Future<Output = ()> + 'static>(
        &self,
        name: TaskName,
        make: impl FnMut() -> F + 'static,
    ) -> AbortHandle {
        tokio::task::spawn_local(Task::begin(self, name).again(make)).abort_handle()
    }

    /// As [`Tasks::restarted`], on whichever thread.
    #[allow(clippy::disallowed_methods)] // The one place that spawns on the runtime.
    pub fn restarted_anywhere<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: TaskName,
        make: impl FnMut() -> F + Send + 'static,
    ) -> AbortHandle {
        tokio::spawn(Task::begin(self, name).again(make)).abort_handle()
    }

    /// Runs on a thread of its own what no arbiter may block, again after a panic.
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

    /// Something has panicked that is no task of its own, and without which the node must not go on.
    pub fn lost(&self, name: TaskName, panic: &str) {
        Task::begin(self, name).ends_node("has panicked", panic);
    }

    /// Has the node end no sooner than this is dropped, if it ends by [`Tasks::end_node_later`].
    pub async fn saving(&self) -> RwLockReadGuard<'_, ()> {
        self.0.saving.read().await
    }

    /// As [`Tasks::end_node`], after a pause in which others begin to save, and once they have.
    pub async fn end_node_later(&self, pause: Duration, end: Fatal) {
        tokio::time::sleep(pause).await;
        let _all_is_saved = self.0.saving.write().await;
        self.end_node(end);
    }

    /// Ends the node, unless it ends already.
    pub fn end_node(&self, end: Fatal) {
        self.0.fatal.send_if_modified(|fatal| {
            let is_first = fatal.is_none();
            fatal.get_or_insert(end);
            is_first
        });
    }

    /// Where they report what the node depends on and does not work.
    pub fn outages(&self) -> &Outages {
        &self.0.outages
    }

    /// All of them, by owner and name.
    pub fn status(&self) -> Vec<TaskStatus> {
        let status = |((owner, task), figures): (&(Arc<str>, &'static str), &Figures)| TaskStatus {
            name: task.to_string(),
            owner: owner.to_string(),
            state: match figures {
                Figures { down: 1.., .. } => TaskState::Panicked,
                Figures { running: 0, .. } => TaskState::Ended,
                _ => TaskState::Running,
            },
            running: figures.running,
            ended: figures.ended,
            aborted: figures.aborted,
            restarts: figures.restarts,
            last_panic: figures.last_panic.clone(),
        };
        self.figures().iter().map(status).collect()
    }

    /// Why the node is not ready, as far as its tasks are the reason.
    pub fn not_ready(&self) -> Vec<String> {
        let down = |task: TaskStatus| {
            let TaskStatus { name, owner, last_panic, .. } = task;
            format!("the task `{name}` of `{owner}` has panicked: {}", last_panic.unwrap_or_default())
        };
        self.status().into_iter().filter(|task| task.state == TaskState::Panicked).map(down).collect()
    }

    fn figures(&self) -> MutexGuard<'_, BTreeMap<(Arc<str>, &'static str), Figures>> {
        self.0.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task, counted until it ends or is given up.
struct Task {
    tasks: Tasks,
    name: TaskName,
    stage: Stage,
    /// Panics in a row, and since when it runs without one.
    failures: u32,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// It has panicked, and starts again.
    Pausing,
    /// It has ended, or the node does because of it.
    Over,
}

impl Task {
    fn begin(tasks: &Tasks, name: TaskName) -> Self {
        let (tasks, stage, failures, since) = (tasks.clone(), Stage::Running, 0, tasks.0.env.now());
        let task = Self { tasks, name, stage, failures, since };
        task.note(|figures| figures.running += 1);
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
        self.stage = Stage::Over;
        self.down(why);
        let TaskName { task, owner, which } = &self.name;
        tracing::error!(task, %owner, which, panic = why, "a task of the runtime {how}: the node ends, and may start again");
        let reason = format!("the task `{task}` of `{owner}` {how}: {why}; the node ends, start it again");
        self.tasks.end_node(Fatal::new(exit::TASK, reason));
    }

    /// It has panicked; how long until it starts again.
    fn restarts_in(&mut self, panic: &str) -> Duration {
        let Inner { env, backoff, .. } = &*self.tasks.0;
        // One that has run for longer than the longest pause has not failed in a row.
        let is_first = env.now().saturating_duration_since(self.since) > backoff.most;
        self.failures = if is_first { 1 } else { self.failures.saturating_add(1) };
        let pause = backoff.delay(self.failures, env);
        self.stage = Stage::Pausing;
        self.down(panic);
        let (TaskName { task, owner, which }, retry_ms) = (&self.name, pause.as_millis() as u64);
        tracing::error!(task, %owner, which, panic, retry_ms, "a task of the runtime has panicked; it starts again");
        pause
    }

    fn down(&self, panic: &str) {
        self.note(|figures| {
            figures.running -= 1;
            figures.down += 1;
            figures.last_panic = Some(panic.into());
        });
    }

    fn is_back(&mut self) {
        (self.stage, self.since) = (Stage::Running, self.tasks.0.env.now());
        self.note(|figures| {
            figures.running += 1;
            figures.down -= 1;
            figures.restarts += 1;
        });
    }

    fn ended(&mut self) {
        self.stage = Stage::Over;
        self.note(|figures| {
            figures.running -= 1;
            figures.ended += 1;
        });
    }

    fn note(&self, change: impl FnOnce(&mut Figures)) {
        let key = (self.name.owner.clone(), self.name.task);
        change(self.tasks.figures().entry(key).or_default());
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let was_down = match self.stage {
            Stage::Over => return,
            Stage::Running => 0,
            Stage::Pausing => 1,
        };
        self.note(|figures| {
            figures.running -= 1 - was_down;
            figures.down -= was_down;
            figures.aborted += 1;
        });
    }
}

/// What the work has come to, or what its panic said.
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
