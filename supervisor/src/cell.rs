//! The generic actix actor that runs one instance of any capability.
//!
//! actix gives the mailbox, the thread and one-message-at-a-time. What it lacks is made here: its supervisor does not
//! survive a panic (the mailbox closes for good), so a panic is caught around the handler's future, the state is
//! dropped and built anew, and the mailbox with all that waits in it stays. A handler is polled once where the message
//! arrives and parked with `ctx.wait` only if it has something to wait for.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use actix::fut::WrapFuture;
use actix::{ActorFutureExt, AsyncContext, Context as ActixContext};
use futures_util::FutureExt;

use crate::StartError;
use crate::actor::Actor;
use crate::guard::panic_text;
use crate::handles::{InstanceRuntime, Job};
use crate::host::{Delivery, Host, Mailbox};
use crate::start::Start;

/// One instance.
pub(crate) struct Cell<A: Actor> {
    /// Absent while the state is being built, or is inside a handler that waits.
    state: Option<Box<A>>,
    runtime: Rc<InstanceRuntime<A>>,
    start: Arc<dyn Fn() -> Start + Send + Sync>,
    index: usize,
}

/// Starts an instance on this thread; it opens its mailbox in the host at once.
pub(crate) fn start<A: Actor>(runtime: InstanceRuntime<A>, start: Arc<dyn Fn() -> Start + Send + Sync>, index: usize) {
    let host: Arc<Host> = runtime.host.clone();
    let cell = Cell { state: None, runtime: Rc::new(runtime), start, index };
    let address = actix::Actor::start(cell);
    host.instances()[index].open(Box::new(address));
}

impl<A: Actor> Mailbox for actix::Addr<Cell<A>> {
    fn deliver(&self, delivery: Delivery) {
        // The permit bounds what is in the mailbox, so this unbounded send cannot fill it.
        self.do_send(delivery);
    }
}

impl actix::Message for Delivery {
    type Result = ();
}

impl<A: Actor> actix::Actor for Cell<A> {
    type Context = ActixContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.build(ctx, true);
    }
}

impl<A: Actor> actix::Handler<Delivery> for Cell<A> {
    type Result = ();

    fn handle(&mut self, delivery: Delivery, ctx: &mut Self::Context) {
        let Some(state) = self.state.take() else {
            // `ctx.wait` keeps the mailbox shut while there is no state.
            debug_assert!(false, "a message was taken without state");
            return;
        };
        let Delivery { entry, envelope, call, permit, queued } = delivery;
        let job = Job { envelope, call, permit, queued, runtime: self.runtime.clone(), entry };
        let mut run = (self.runtime.table[entry].run)(state, job);
        // `ctx.wait` polls at once with the real waker, so nothing is missed by this one.
        match run.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(state) => self.resume(state, ctx),
            Poll::Pending => ctx.wait(run.into_actor(self).map(|state, cell: &mut Self, ctx| cell.resume(state, ctx))),
        }
    }
}

impl<A: Actor> Cell<A> {
    fn resume(&mut self, state: Option<Box<A>>, ctx: &mut ActixContext<Self>) {
        match state {
            Some(state) => self.state = Some(state),
            None => self.build(ctx, false),
        }
    }

    /// Builds the state, again and again until it succeeds; the mailbox waits meanwhile.
    fn build(&mut self, ctx: &mut ActixContext<Self>, first: bool) {
        let (runtime, start, index) = (self.runtime.clone(), self.start.clone(), self.index);
        let building = async move {
            let supervision = &runtime.host.supervision;
            let instance = &runtime.host.instances()[index];
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
                let built = AssertUnwindSafe(A::start(&runtime.shared, &mut start)).catch_unwind().await;
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
                let delay = supervision.start_failed(&error, tries, runtime.host.instances_up() > 0);
                tokio::time::sleep(delay).await;
            }
        };
        ctx.wait(building.into_actor(self).map(|state, cell: &mut Self, _| cell.state = Some(state)));
    }
}
