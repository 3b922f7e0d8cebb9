//! The generic actix actor that runs one instance of any capability.
//!
//! actix provides the thread, the context and the lifetime of an instance. Its supervisor does not survive a panic (the
//! mailbox closes for good), so a panic is caught around the handler, the state is dropped and rebuilt, and the mailbox
//! keeps its queued messages. One future in the actor's context takes messages one at a time; an asker on the same thread
//! whose message would be the only one runs it in place of that future.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{AsyncContext, Context as ActixContext};
use essaim_base::crash;
use essaim_base::panic::panic_text;
use essaim_base::task::TaskName;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, Sleep, sleep};

use crate::StartError;
use crate::api::actor::Actor;
use crate::api::start::Start;
use crate::local::local_call::{self, LocalInstance};
use crate::local::mailbox::{Dispatched, ErasedDispatch, ErasedLocalEnvelope, QueuedMessage, earlier};
use crate::local::run::InstanceState;

/// What an instance's own future is called among the tasks.
const TASK: &str = "instance";
/// Messages handled, and states built, before others on the thread have their turn.
const STEPS_IN_A_ROW: usize = 256;

/// The actix actor of one instance.
pub struct Cell<A: Actor>(Rc<RefCell<InstanceLoop<A>>>);

/// The message loop of one instance.
struct InstanceLoop<A: Actor> {
    /// Waker of the instance's own future; `None` while that future is being polled, and before its first poll.
    waker: Option<Waker>,
    activity: Activity<A>,
    instance: Rc<InstanceState<A>>,
    /// Messages taken from the mailbox, not yet begun.
    taken: VecDeque<QueuedMessage>,
    /// Lower bound of the deadlines in `taken`.
    earliest: Option<Instant>,
    /// Timer for the earliest deadline among the waiting messages.
    alarm: Pin<Box<Sleep>>,
    /// One runner per handler entry, created at first use.
    runners: Box<[Option<LocalBoxFuture<'static, ()>>]>,
    start: Arc<dyn Fn() -> Start + Send + Sync>,
}

/// Current activity of an instance.
enum Activity<A> {
    /// Waiting for a message, with its state.
    Idle(Box<A>),
    /// The runner of this entry holds the state and a message.
    Running(usize),
    /// The state is being built.
    Starting(LocalBoxFuture<'static, Box<A>>),
}

/// Starts an instance on this thread.
pub fn start<A: Actor>(instance: InstanceState<A>, start: Arc<dyn Fn() -> Start + Send + Sync>) {
    let (instance, taken, earliest, alarm) =
        (Rc::new(instance), VecDeque::new(), None, Box::pin(sleep(Duration::ZERO)));
    let runners = instance.table.iter().map(|_| None).collect();
    let activity = Activity::Starting(build(instance.clone(), start.clone(), true));
    let id = instance.handle().id;
    let running =
        Rc::new(RefCell::new(InstanceLoop { waker: None, activity, instance, taken, earliest, alarm, runners, start }));
    local_call::register(id, running.clone());
    actix::Actor::start(Cell(running));
}

impl<A: Actor> actix::Actor for Cell<A> {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(LoopFuture);
    }
}

impl<A: Actor> Drop for Cell<A> {
    fn drop(&mut self) {
        // Borrowed here only when an uncaught panic unwinds through a poll.
        let Ok(mut running) = self.0.try_borrow_mut() else { return };
        local_call::unregister(running.instance.handle().id);
        let left = running.instance.handle().mailbox.close();
        let taken = std::mem::take(&mut running.taken);
        for queued in taken.into_iter().chain(left) {
            running.instance.ended();
            queued.envelope.refuse(running.instance.host.instance_ended());
        }
    }
}

/// The future that drives an instance.
struct LoopFuture;

/// Guard: reports a panic outside of handlers, which is the runtime's own fault and ends the instance; its messages would
/// never be answered.
struct PanicReport<A: Actor>(Rc<InstanceState<A>>);

impl<A: Actor> Drop for PanicReport<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (tasks, host) = (&self.0.context.bus.tasks, &self.0.host);
            tasks.lost(TaskName::of(TASK, &host.name), "an instance panicked outside of its handlers");
        }
    }
}

impl<A: Actor> ActorFuture<Cell<A>> for LoopFuture {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        cell: &mut Cell<A>,
        _: &mut ActixContext<Cell<A>>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let mut running = cell.0.borrow_mut();
        let _report = PanicReport(running.instance.clone());
        crash::in_task(TASK);
        running.waker = None;
        for _ in 0..STEPS_IN_A_ROW {
            if running.step(task).is_pending() {
                running.expire(task);
                running.waker = Some(task.waker().clone());
                return Poll::Pending;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<A: Actor> LocalInstance for RefCell<InstanceLoop<A>> {
    fn is_free(&self) -> bool {
        // Borrowed while one of its handlers is being polled.
        let free = |running: &InstanceLoop<A>| running.waker.is_some() && running.taken.is_empty() && running.is_idle();
        self.try_borrow().is_ok_and(|running| free(&running))
    }

    fn run_now(&self, entry: usize, envelope: Rc<dyn ErasedLocalEnvelope>) {
        let running = &mut *self.borrow_mut();
        // Wake-ups of the handler go to the instance's own future, not to the asker whose turn this is.
        let Some(waker) = running.waker.take() else { return };
        let _report = PanicReport(running.instance.clone());
        let mut task = TaskContext::from_waker(&waker);
        running.begin(entry, Dispatched::Local(envelope));
        if running.step(&mut task).is_pending() {
            running.expire(&mut task);
        } else if !running.is_idle() {
            // The state is being rebuilt: the instance's own future goes on.
            waker.wake_by_ref();
        }
        running.waker = Some(waker);
    }
}

impl<A: Actor> InstanceLoop<A> {
    /// One step: takes a message, polls its handler to the end, or builds the state.
    fn step(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let state = match &mut self.activity {
            Activity::Idle(_) => return self.next(task),
            Activity::Running(entry) => {
                let (entry, instance) = (*entry, &self.instance);
                let new = || instance.table[entry].runner(instance.clone(), entry);
                let polled = self.runners[entry].get_or_insert_with(new).as_mut().poll(task);
                debug_assert!(polled.is_pending(), "a runner never returns; it leaves the state in `InstanceState`");
                ready!(instance.take_done().map_or(Poll::Pending, Poll::Ready))
            }
            Activity::Starting(building) => Some(ready!(building.as_mut().poll(task))),
        };
        let again = || {
            let in_order = self.instance.was_rehearsed.take();
            Activity::Starting(build(self.instance.clone(), self.start.clone(), in_order))
        };
        self.activity = state.map_or_else(again, Activity::Idle);
        Poll::Ready(())
    }

    /// Takes the next message.
    fn next(&mut self, task: &TaskContext<'_>) -> Poll<()> {
        let queued = loop {
            match self.taken.pop_front() {
                // The handler before it may have held the thread past this deadline.
                Some(late) if late.deadline <= Instant::now() => {
                    self.instance.ended();
                    late.envelope.refuse(self.instance.handle().expired(0, 0));
                }
                Some(queued) => break queued,
                None => self.earliest = ready!(self.instance.handle().mailbox.poll_take(&mut self.taken, task)),
            }
        };
        self.begin(queued.entry, Dispatched::Queued(queued.envelope));
        Poll::Ready(())
    }

    /// Hands state and message to the entry's runner.
    fn begin(&mut self, entry: usize, dispatched: ErasedDispatch) {
        debug_assert!(self.is_idle(), "an instance runs one message at a time");
        if let Activity::Idle(state) = std::mem::replace(&mut self.activity, Activity::Running(entry)) {
            self.instance.give(state, dispatched);
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self.activity, Activity::Idle(_))
    }

    /// While a handler or a start is pending: refuses queued messages whose deadline has passed.
    fn expire(&mut self, task: &mut TaskContext<'_>) {
        if self.is_idle() {
            return;
        }
        while let Some(due) = self.instance.handle().mailbox.poll_earliest(self.earliest, task) {
            if self.alarm.deadline() != due {
                self.alarm.as_mut().reset(due);
            }
            if self.alarm.as_mut().poll(task).is_pending() {
                return;
            }
            self.instance.handle().mailbox.take_more(&mut self.taken);
            let running = u32::from(matches!(self.activity, Activity::Running(_)));
            let (now, mut ahead) = (Instant::now(), running);
            self.earliest = None;
            self.taken.retain(|queued| {
                let late = queued.deadline <= now;
                if late {
                    self.instance.ended();
                    queued.envelope.refuse(self.instance.handle().expired(ahead, 0));
                } else {
                    self.earliest = earlier(self.earliest, Some(queued.deadline));
                }
                ahead += 1;
                !late
            });
        }
    }
}

/// Builds the state of an instance, at once if nothing went wrong (`in_order`), retrying with backoff until it succeeds; the mailbox keeps queueing meanwhile.
fn build<A: Actor>(
    instance: Rc<InstanceState<A>>,
    start: Arc<dyn Fn() -> Start + Send + Sync>,
    in_order: bool,
) -> LocalBoxFuture<'static, Box<A>> {
    Box::pin(async move {
        let supervision = &instance.host.supervision;
        let handle = instance.handle();
        if !in_order {
            let delay = supervision.restart_delay();
            if !delay.is_zero() {
                handle.set_up(false);
                tokio::time::sleep(delay).await;
            }
        }
        let mut tries = 0;
        loop {
            supervision.rest().await;
            let mut start = start();
            let building = async {
                let built = A::start(&instance.shared, &mut start).await;
                start.certain(built).await
            };
            let built = AssertUnwindSafe(building).catch_unwind().await;
            let error = match built {
                Ok(Ok(actor)) => {
                    handle.set_up(true);
                    supervision.started();
                    return Box::new(actor);
                }
                Ok(Err(error)) => error,
                Err(panic) => StartError::new(format_args!("it panicked: {}", panic_text(&*panic))),
            };
            handle.set_up(false);
            tries += 1;
            let delay = supervision.start_failed(&error, tries, instance.host.instances_up() > 0);
            tokio::time::sleep(delay).await;
        }
    })
}

#[cfg(test)]
mod tests;
