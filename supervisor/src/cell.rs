//! The generic actix actor that runs one instance of any capability.
//!
//! actix gives the thread, the context and the life of an instance. What it lacks is made here: its supervisor does not
//! survive a panic (the mailbox closes for good), so a panic is caught around the handler, the state is dropped and
//! built anew, and the mailbox with all that waits in it stays. One future in the actor's context takes the messages,
//! one at a time; an asker on the same thread whose message would be the only one does so in its place.

use std::any::Any;
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
use essaim_contract::NotDelivered;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, Sleep, sleep};

use crate::actor::Actor;
use crate::guard::panic_text;
use crate::mailbox::{AnyPost, Delivery, Post, earlier};
use crate::nearby::{self, Nearby};
use crate::run::Desk;
use crate::start::Start;
use crate::task::TaskName;
use crate::{StartError, crash};

/// What an instance's own future is called among the tasks.
const TASK: &str = "instance";
/// Messages handled, and states built, before others on the thread have their turn.
const STEPS_IN_A_ROW: usize = 256;

/// One instance, as actix knows it.
pub(crate) struct Cell<A: Actor>(Rc<RefCell<Work<A>>>);

/// What an instance does and has.
struct Work<A: Actor> {
    /// Wakes the instance's own future; none while that runs, and before it has run.
    life: Option<Waker>,
    doing: Doing<A>,
    desk: Rc<Desk<A>>,
    /// Messages taken from the mailbox and not yet begun.
    taken: VecDeque<Delivery>,
    /// None of them is due before this.
    earliest: Option<Instant>,
    /// Rings when a message that waits may have passed its deadline.
    alarm: Pin<Box<Sleep>>,
    /// The runners of the table's entries, made when they are first needed.
    runners: Box<[Option<LocalBoxFuture<'static, ()>>]>,
    start: Arc<dyn Fn() -> Start + Send + Sync>,
}

/// What an instance is doing.
enum Doing<A> {
    /// It waits for a message.
    Nothing(Box<A>),
    /// The runner of this entry has its state and a message.
    Running(usize),
    /// Its state is being built.
    Starting(LocalBoxFuture<'static, Box<A>>),
}

/// Starts an instance on this thread.
pub(crate) fn start<A: Actor>(desk: Desk<A>, start: Arc<dyn Fn() -> Start + Send + Sync>) {
    let (desk, taken, earliest, alarm) = (Rc::new(desk), VecDeque::new(), None, Box::pin(sleep(Duration::ZERO)));
    let runners = desk.table.iter().map(|_| None).collect();
    let doing = Doing::Starting(build(desk.clone(), start.clone(), true));
    let id = desk.instance().id;
    let work = Rc::new(RefCell::new(Work { life: None, doing, desk, taken, earliest, alarm, runners, start }));
    nearby::moved_in(id, work.clone());
    actix::Actor::start(Cell(work));
}

impl<A: Actor> actix::Actor for Cell<A> {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Life);
    }
}

impl<A: Actor> Drop for Cell<A> {
    fn drop(&mut self) {
        // It is borrowed only if it ends by a panic that nobody caught.
        let Ok(mut work) = self.0.try_borrow_mut() else { return };
        nearby::moved_out(work.desk.instance().id);
        let left = work.desk.instance().mailbox.close();
        let taken = std::mem::take(&mut work.taken);
        for delivery in taken.into_iter().chain(left) {
            work.desk.ended();
            delivery.envelope.refuse(work.desk.host.instance_ended());
        }
    }
}

/// All that an instance does by itself.
struct Life;

/// A panic outside of a handler is the runtime's own, and the instance is lost by it: nobody would answer what it is sent.
struct Seen<A: Actor>(Rc<Desk<A>>);

impl<A: Actor> Drop for Seen<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (tasks, host) = (&self.0.context.bus.tasks, &self.0.host);
            tasks.lost(TaskName::of(TASK, &host.name), "an instance panicked outside of its handlers");
        }
    }
}

impl<A: Actor> ActorFuture<Cell<A>> for Life {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        cell: &mut Cell<A>,
        _: &mut ActixContext<Cell<A>>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let mut work = cell.0.borrow_mut();
        let _seen = Seen(work.desk.clone());
        crash::in_task(TASK);
        work.life = None;
        for _ in 0..STEPS_IN_A_ROW {
            if work.step(task).is_pending() {
                work.expire(task);
                work.life = Some(task.waker().clone());
                return Poll::Pending;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<A: Actor> Nearby for RefCell<Work<A>> {
    fn is_free(&self) -> bool {
        // It is borrowed while one of its handlers is being polled.
        let free = |work: &Work<A>| work.life.is_some() && work.taken.is_empty() && work.is_idle();
        self.try_borrow().is_ok_and(|work| free(&work))
    }

    fn run_now(&self, entry: usize, envelope: Rc<dyn Any>) {
        let work = &mut *self.borrow_mut();
        // Whatever the handler waits for wakes the instance, not the asker who began it.
        let Some(life) = work.life.take() else { return };
        let _seen = Seen(work.desk.clone());
        let mut task = TaskContext::from_waker(&life);
        work.begin(entry, Post::Here(envelope));
        if work.step(&mut task).is_pending() {
            work.expire(&mut task);
        } else if !work.is_idle() {
            // Its state is being built anew.
            life.wake_by_ref();
        }
        work.life = Some(life);
    }
}

impl<A: Actor> Work<A> {
    /// Goes on until a message has been taken or has ended, or a state has been built.
    fn step(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let state = match &mut self.doing {
            Doing::Nothing(_) => return self.next(task),
            Doing::Running(entry) => {
                let (entry, desk) = (*entry, &self.desk);
                let new = || (desk.table[entry].runner)(desk.clone(), entry);
                // It never ends by itself; what it has to say lies on the desk.
                let _ = self.runners[entry].get_or_insert_with(new).as_mut().poll(task);
                ready!(desk.take_done().map_or(Poll::Pending, Poll::Ready))
            }
            Doing::Starting(building) => Some(ready!(building.as_mut().poll(task))),
        };
        let again = || Doing::Starting(build(self.desk.clone(), self.start.clone(), false));
        self.doing = state.map_or_else(again, Doing::Nothing);
        Poll::Ready(())
    }

    /// Takes the next message.
    fn next(&mut self, task: &TaskContext<'_>) -> Poll<()> {
        let delivery = loop {
            match self.taken.pop_front() {
                // What ran before it may have kept this thread until then.
                Some(late) if late.deadline <= Instant::now() => {
                    self.desk.ended();
                    late.envelope.refuse(NotDelivered::Expired { queued_behind: 0 });
                }
                Some(delivery) => break delivery,
                None => self.earliest = ready!(self.desk.instance().mailbox.poll_take(&mut self.taken, task)),
            }
        };
        self.begin(delivery.entry, Post::Sent(delivery.envelope));
        Poll::Ready(())
    }

    /// Gives the message with the state to its runner.
    fn begin(&mut self, entry: usize, post: AnyPost) {
        if let Doing::Nothing(state) = std::mem::replace(&mut self.doing, Doing::Running(entry)) {
            self.desk.give(state, post);
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Nothing(_))
    }

    /// While the instance waits for something: refuses the messages whose deadline passes before they begin.
    fn expire(&mut self, task: &mut TaskContext<'_>) {
        if self.is_idle() {
            return;
        }
        while let Some(due) = self.desk.instance().mailbox.poll_earliest(self.earliest, task) {
            if self.alarm.deadline() != due {
                self.alarm.as_mut().reset(due);
            }
            if self.alarm.as_mut().poll(task).is_pending() {
                return;
            }
            self.desk.instance().mailbox.take_more(&mut self.taken);
            let running = u32::from(matches!(self.doing, Doing::Running(_)));
            let (now, mut ahead) = (Instant::now(), running);
            self.earliest = None;
            self.taken.retain(|delivery| {
                let late = delivery.deadline <= now;
                if late {
                    self.desk.ended();
                    delivery.envelope.refuse(NotDelivered::Expired { queued_behind: ahead });
                } else {
                    self.earliest = earlier(self.earliest, Some(delivery.deadline));
                }
                ahead += 1;
                !late
            });
        }
    }
}

/// Builds the state of an instance, again and again until it succeeds; the mailbox waits meanwhile.
fn build<A: Actor>(
    desk: Rc<Desk<A>>,
    start: Arc<dyn Fn() -> Start + Send + Sync>,
    first: bool,
) -> LocalBoxFuture<'static, Box<A>> {
    Box::pin(async move {
        let supervision = &desk.host.supervision;
        let instance = desk.instance();
        if !first {
            let delay = supervision.restart_delay();
            if !delay.is_zero() {
                instance.set_up(false);
                tokio::time::sleep(delay).await;
            }
        }
        let mut tries = 0;
        loop {
            supervision.rest().await;
            let mut start = start();
            let building = async {
                let built = A::start(&desk.shared, &mut start).await;
                start.certain(built).await
            };
            let built = AssertUnwindSafe(building).catch_unwind().await;
            let error = match built {
                Ok(Ok(actor)) => {
                    instance.set_up(true);
                    supervision.started();
                    return Box::new(actor);
                }
                Ok(Err(error)) => error,
                Err(panic) => StartError::new(format_args!("it panicked: {}", panic_text(&*panic))),
            };
            instance.set_up(false);
            tries += 1;
            let delay = supervision.start_failed(&error, tries, desk.host.instances_up() > 0);
            tokio::time::sleep(delay).await;
        }
    })
}
