//! What a handler does at the moment: since when it runs, and what it waits for. Others may look at any time, so that an ask that
//! is slow or stuck can say where it is.
//!
//! Nothing is noted of a handler that never waits.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::Mutex;
use crate::trace::TraceContext;

/// What a handler waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A connection of the pool, or its turn as the one that writes.
    Connection,
    /// The database's answer to a statement.
    Database,
    /// The commit of its transaction, or of one whose writes it has read.
    Commit,
    /// The answer to an ask of this wire name.
    Answer(Arc<str>),
    /// The log, which is to store a message.
    Log,
    /// A long computation, or a place for it.
    Computation,
}

impl Wait {
    /// Whether it is the database that is waited for.
    pub fn is_database(&self) -> bool {
        matches!(self, Self::Connection | Self::Database | Self::Commit)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection => f.write_str("a database connection"),
            Self::Database => f.write_str("the database"),
            Self::Commit => f.write_str("a commit"),
            Self::Answer(name) => write!(f, "the answer to `{name}`"),
            Self::Log => f.write_str("the log to store a message"),
            Self::Computation => f.write_str("a long computation or a place for it (node.blocking_threads)"),
        }
    }
}

/// The activity of one instance's handler, for its own thread. What is on the way of every message costs no atomic operation.
#[derive(Debug, Default)]
pub struct Activity {
    visible: Arc<VisibleActivity>,
    place: HandlerPlace,
    /// The message that is handled: its entry among the place's messages, and its handler's span.
    message: Cell<Option<(usize, TraceContext)>>,
}

/// What an instance's messages have in common, for log lines.
#[derive(Debug, Clone, Default)]
pub struct HandlerPlace {
    pub node: Arc<str>,
    pub capability: Arc<str>,
    /// Wire names by entry of the handlers' table.
    pub messages: Vec<Arc<str>>,
}

/// The message whose handler this thread runs, as log lines tell it.
#[derive(Debug, Clone)]
pub struct CurrentMessage {
    pub node: Arc<str>,
    pub capability: Arc<str>,
    /// The wire name.
    pub message: Arc<str>,
    /// The handler's span.
    pub trace: TraceContext,
}

impl CurrentMessage {
    /// What this thread does until the answer is dropped is done for this message: for computations away from its arbiter.
    pub fn enter(self) -> Entered {
        let place = HandlerPlace { node: self.node, capability: self.capability, messages: vec![self.message] };
        let activity = Activity::at(Arc::default(), place);
        activity.begin(0, self.trace);
        activity.enter()
    }
}

/// The activity of one instance's handler, for everybody.
#[derive(Debug, Default)]
pub struct VisibleActivity {
    state: Mutex<ActivityState>,
    /// Whether the handler is being polled, as its own thread says: then it does not wait.
    is_polled: AtomicBool,
}

#[derive(Debug, Default)]
struct ActivityState {
    running: Option<RunningHandler>,
    /// What it waits for, the first first. Bounded by what the handler awaits at the same time.
    waits: Vec<(u64, Wait, Instant)>,
    /// The number of the next wait.
    next: u64,
    /// How long it has waited for the database in all.
    database: Duration,
}

#[derive(Debug, Clone)]
struct RunningHandler {
    message: Arc<str>,
    trace: TraceContext,
    since: Instant,
}

/// What a handler does at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityReport {
    /// The message's wire name.
    pub message: Arc<str>,
    /// The handler's span.
    pub trace: TraceContext,
    pub running: Duration,
    /// What it has waited for longest, and for how long; none if it computes, or waits for something of its own.
    pub waits: Option<(Wait, Duration)>,
    /// Whether it was being polled.
    pub is_polled: bool,
}

/// What a handler does that is being polled: whether it will ever return cannot be seen.
const COMPUTING: &str = "computing or blocking its thread";

thread_local! {
    static CURRENT: RefCell<Option<Rc<Activity>>> = const { RefCell::new(None) };
}

/// An activity is that of the code that runs on this thread, until this is dropped.
pub struct Entered(Option<Rc<Activity>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

/// A handler is being polled, until this is dropped.
pub struct Polled<'a> {
    visible: &'a VisibleActivity,
    _entered: Entered,
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        self.visible.is_polled.store(false, Ordering::Relaxed);
    }
}

impl Activity {
    /// Of an instance whose activity others see there.
    pub fn of(visible: Arc<VisibleActivity>) -> Rc<Self> {
        Self::at(visible, HandlerPlace::default())
    }

    /// As [`Activity::of`], of an instance whose log lines tell where it is.
    pub fn at(visible: Arc<VisibleActivity>, place: HandlerPlace) -> Rc<Self> {
        Rc::new(Self { visible, place, message: Cell::default() })
    }

    /// The message of this entry is handled from now on, in this span.
    #[inline]
    pub fn begin(&self, entry: usize, trace: TraceContext) {
        self.message.set(Some((entry, trace)));
    }

    /// What is polled until the answer is dropped is this handler's.
    pub fn enter(self: &Rc<Self>) -> Entered {
        Entered(CURRENT.replace(Some(self.clone())))
    }

    /// The handler is polled until the answer is dropped.
    #[inline]
    pub fn poll(self: &Rc<Self>) -> Polled<'_> {
        self.visible.is_polled.store(true, Ordering::Relaxed);
        Polled { visible: &self.visible, _entered: self.enter() }
    }

    /// The handler has waited for the first time.
    pub fn first_pending(&self, message: &Arc<str>, trace: TraceContext, since: Instant) {
        self.visible.state.lock().running = Some(RunningHandler { message: message.clone(), trace, since });
    }

    /// The handler has ended, having waited: how long for the database.
    pub fn ended(&self) -> Duration {
        std::mem::take(&mut *self.visible.state.lock()).database
    }

    fn current(&self) -> Option<CurrentMessage> {
        let (entry, trace) = self.message.get()?;
        let HandlerPlace { node, capability, messages } = &self.place;
        let message = messages.get(entry)?.clone();
        Some(CurrentMessage { node: node.clone(), capability: capability.clone(), message, trace })
    }

    /// What it does now.
    pub fn report(&self, now: Instant) -> Option<ActivityReport> {
        self.visible.report(now)
    }
}

impl VisibleActivity {
    /// What the handler does now; none if none runs that has waited.
    pub fn report(&self, now: Instant) -> Option<ActivityReport> {
        let state = self.state.lock();
        let RunningHandler { message, trace, since } = state.running.clone()?;
        let is_polled = self.is_polled.load(Ordering::Relaxed);
        let waits = state.waits.first().map(|(_, wait, since)| (wait.clone(), now.saturating_duration_since(*since)));
        Some(ActivityReport { message, trace, running: now.saturating_duration_since(since), waits, is_polled })
    }

    /// What the handler does now, in words; empty if none is seen to run.
    pub fn doing(&self, now: Instant) -> String {
        match self.report(now) {
            Some(report) => report.doing(),
            // Nothing else is noted of one that has not waited.
            None if self.is_polled.load(Ordering::Relaxed) => COMPUTING.into(),
            None => String::new(),
        }
    }

    /// The handler that a message is queued behind, in words; empty if none is seen to run.
    pub fn ahead(&self, now: Instant) -> String {
        match self.report(now) {
            Some(report) => report.to_string(),
            None if self.is_polled.load(Ordering::Relaxed) => format!("a handler that has not waited yet, {COMPUTING}"),
            None => String::new(),
        }
    }

    fn wait(&self, wait: Wait, since: Instant) -> u64 {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.waits.push((number, wait, since));
        number
    }

    fn end_wait(&self, wait: &BegunWait) {
        let mut state = self.state.lock();
        state.waits.retain(|(number, ..)| *number != wait.number);
        if wait.is_database {
            state.database += wait.since.elapsed();
        }
    }
}

impl ActivityReport {
    /// What it does, in words.
    pub fn doing(&self) -> String {
        match &self.waits {
            Some((wait, since)) => format!("waiting for {wait} for {} ms", since.as_millis()),
            None if self.is_polled => COMPUTING.into(),
            None => "waiting for something of its own, such as a lock or a timer".into(),
        }
    }
}

impl fmt::Display for ActivityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, running for {} ms and {}", self.message, self.running.as_millis(), self.doing())
    }
}

/// The message whose handler this thread runs now; none outside of handlers, and where no activity can be looked at.
pub fn current() -> Option<CurrentMessage> {
    CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref()?.current()).ok()?
}

/// One wait that has begun; it ends when this is dropped.
struct BegunWait {
    activity: Arc<VisibleActivity>,
    number: u64,
    since: Instant,
    is_database: bool,
}

impl Drop for BegunWait {
    fn drop(&mut self) {
        self.activity.end_wait(self);
    }
}

/// Awaits `work`, and lets it be seen that the handler which does so waits for that. Outside of handlers nothing is noted.
pub async fn waiting<F: Future>(wait: impl FnOnce() -> Wait, work: F) -> F::Output {
    let mut work = pin!(work);
    let (mut wait, mut begun) = (Some(wait), None);
    poll_fn(|cx| {
        let polled = work.as_mut().poll(cx);
        match (&polled, wait.take()) {
            (Poll::Pending, Some(wait)) => begun = begin(wait()),
            (Poll::Ready(_), _) => drop(begun.take()),
            (Poll::Pending, None) => {}
        }
        polled
    })
    .await
}

fn begin(wait: Wait) -> Option<BegunWait> {
    let activity = CURRENT.with_borrow(|current| current.as_ref().map(|activity| activity.visible.clone()))?;
    let (since, is_database) = (Instant::now(), wait.is_database());
    let number = activity.wait(wait, since);
    Some(BegunWait { activity, number, since, is_database })
}

#[cfg(test)]
mod tests;
