//! Message spans: the tracing span of one handled message, the log line at its end, its measures and its record.
//!
//! Every handler has a span id of its own; what it sends carries that id, and the spans of what it sends name it as
//! their parent. So the ids join across processes even where no subscriber is. The span itself exists only while a
//! subscriber enables it: at level `info` for messages of sampled traces, `debug` for the others. The record is written if
//! the trace is kept, and in any case if the handler failed or was slow. For a message that is neither looked at nor kept
//! no clock is read and nothing is allocated, unless its handler waits, which costs more than both.

use std::cell::Cell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::activity::Activity;
use essaim_base::call::Call;
use essaim_base::measure::Outcome;
use essaim_base::panic::panic_location;
use essaim_base::trace::TraceContext;
use essaim_contract::AskError;
use essaim_trace::{MessageKind, MessageRecord, Recorder, Shown, Text};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Level, Span};

use crate::Cx;
use crate::local::handler::{HandlerInfo, HandlerKind};

/// The target of message spans and of the lines that end them, for filters such as `info,essaim::message=debug`.
pub const TARGET: &str = "essaim::message";

/// What is noted of a message in a mailbox if somebody looks at its trace, or it is kept.
pub struct Observed {
    /// When it entered the mailbox.
    pub queued: Instant,
    pub shown: Shown,
}

impl Observed {
    /// What is noted of a message that enters a mailbox now.
    pub fn of(trace: &TraceContext, shown: Shown) -> Option<Box<Self>> {
        (trace.kept || is_observed(trace)).then(|| Box::new(Self { queued: Instant::now(), shown }))
    }
}

/// Whether a subscriber enables the spans of this trace.
fn is_observed(trace: &TraceContext) -> bool {
    if trace.sampled {
        tracing::span_enabled!(target: TARGET, Level::INFO)
    } else {
        tracing::span_enabled!(target: TARGET, Level::DEBUG)
    }
}

/// What the spans of one capability's messages have in common.
pub struct Observer {
    pub env: Env,
    pub node: Arc<str>,
    pub capability: Arc<str>,
    /// A handler that runs for as long is logged (`log.slow_ms`); 0: none is.
    pub slow_ms: u64,
    pub recorder: Arc<Recorder>,
}

/// One message in its handler.
pub struct MessageSpan<'a> {
    observer: &'a Observer,
    handler: &'a HandlerInfo,
    instance: usize,
    trace: TraceContext,
    parent_id: u64,
    observed: Option<Box<Observed>>,
    span: Span,
    began: Cell<Option<Instant>>,
    /// The activity of its handler, once that has waited.
    waited: Cell<Option<Rc<Activity>>>,
}

impl<'a> MessageSpan<'a> {
    /// A message about to be handled by an instance. From here on the call is the handler's: what is sent with it has the
    /// handler's span as its parent.
    pub fn begin(
        observer: &'a Observer,
        handler: &'a HandlerInfo,
        instance: usize,
        call: &mut Call,
        observed: Option<Box<Observed>>,
    ) -> Self {
        let env = &observer.env;
        let parent = call.trace;
        call.trace = parent.child(env);
        let began = observed.as_ref().map(|_| env.now());
        let waited = observed.as_ref().zip(began).map(|(observed, began)| began - observed.queued);
        let span = match waited {
            Some(waited) if is_observed(&parent) => span(observer, &handler.name, parent, call.trace, waited),
            _ => Span::none(),
        };
        let (trace, parent_id, began, waited) = (call.trace, parent.span_id, Cell::new(began), Cell::default());
        Self { observer, handler, instance, trace, parent_id, observed, span, began, waited }
    }

    /// The handler's span; disabled if the message is not observed.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The handler's first `Pending` was at `now`; the running time of an unobserved handler counts from here.
    pub fn first_pending(&self, now: Instant, activity: &Rc<Activity>) {
        if self.began.get().is_none() {
            self.began.set(Some(now));
        }
        activity.first_pending(&self.handler.name, self.trace, now);
        self.waited.set(Some(activity.clone()));
    }

    /// How long the handler has waited for the database, now that it has ended.
    fn database(&self) -> Duration {
        self.waited.take().map(|activity| activity.ended()).unwrap_or_default()
    }

    /// The handler has its answer.
    pub fn answered<E: Display>(&self, cx: &Cx, error: Option<&AskError<E>>) {
        let ran = self.ran();
        let ran_ms = ran.map(ms);
        let (handler, trace) = (&*self.handler.name, &self.trace);
        let (outcome, failed) = match error {
            None => (Outcome::Ok, false),
            Some(AskError::Rejected(_)) => (Outcome::Rejected, false),
            Some(AskError::Unknown(_)) => (Outcome::Unknown, true),
            Some(_) => (Outcome::Failed, true),
        };
        self.ended(cx, outcome, ran, error.map(|error| error as &dyn Display));
        let _entered = self.enter_ended(if failed { "failed" } else { outcome.as_str() }, ran_ms);
        match error {
            Some(error) if failed => {
                tracing::warn!(target: TARGET, handler, %trace, ran_ms, %error, "a handler failed");
            }
            _ if ran.is_some_and(|ran| self.is_slow(ran)) => {
                let outcome = outcome.as_str();
                tracing::info!(target: TARGET, handler, %trace, ran_ms, outcome, "a handler was slow");
            }
            _ => tracing::debug!(target: TARGET, handler, ran_ms, outcome = outcome.as_str(), "handled"),
        }
    }

    /// The handler was only rehearsed: it counts nowhere, and no record says that it ran.
    pub fn rehearsed(&self) {
        self.database();
        tracing::info!(target: TARGET, handler = &*self.handler.name, "a handler was rehearsed");
    }

    /// The handler panicked.
    pub fn panicked(&self, cx: &Cx, panic: &str) {
        let ran = self.ran();
        let ran_ms = ran.map(ms);
        self.ended(cx, Outcome::Panicked, ran, Some(&panic));
        let _entered = self.enter_ended("panicked", ran_ms);
        let (handler, trace, location) = (&*self.handler.name, &self.trace, panic_location(panic));
        tracing::error!(
            target: TARGET, handler, %trace, ran_ms, panic, location, "a handler panicked; the instance starts anew"
        );
    }

    /// The handler was dropped at its deadline.
    pub fn timed_out(&self, cx: &Cx, running_ms: u64, doing: &str) {
        let ran = self.ran();
        self.ended(cx, Outcome::TimedOut, ran, Some(&format_args!("it was dropped at its deadline, {doing}")));
        let _entered = self.enter_ended("timed_out", ran.map(ms));
        let (handler, trace) = (&*self.handler.name, &self.trace);
        tracing::warn!(target: TARGET, handler, %trace, running_ms, doing, "a handler was dropped at its deadline");
    }

    /// For how long the handler has been running, if that is known.
    fn ran(&self) -> Option<Duration> {
        self.began.get().map(|began| self.observer.env.now().saturating_duration_since(began))
    }

    fn is_slow(&self, ran: Duration) -> bool {
        let limit_ms = self.observer.slow_ms;
        limit_ms > 0 && ran.as_millis() >= u128::from(limit_ms)
    }

    fn enter_ended(&self, outcome: &str, ran_ms: Option<f64>) -> tracing::span::Entered<'_> {
        self.span.record("outcome", outcome);
        self.span.record("ran_ms", ran_ms);
        self.span.enter()
    }

    /// Counts the message, and writes its record if that is to be kept.
    fn ended(&self, cx: &Cx, outcome: Outcome, ran: Option<Duration>, error: Option<&dyn Display>) {
        let (recorder, kept) = (&self.observer.recorder, self.trace.kept);
        let (waited, database) = (self.queued(), self.database());
        self.handler.measures.ended(outcome, waited, ran, kept.then_some(&self.trace));
        let is_well = matches!(outcome, Outcome::Ok | Outcome::Rejected);
        if (kept || !is_well || ran.is_some_and(|ran| recorder.is_slow(ran))) && recorder.is_on() {
            recorder.write(self.record(cx, outcome, (ran, database), error));
        }
    }

    /// How long the message was queued, if that is known.
    fn queued(&self) -> Option<Duration> {
        self.observed.as_ref().zip(self.began.get()).map(|(observed, began)| began - observed.queued)
    }

    #[cold]
    fn record(
        &self,
        cx: &Cx,
        outcome: Outcome,
        (ran, database): (Option<Duration>, Duration),
        error: Option<&dyn Display>,
    ) -> MessageRecord {
        let (recorder, call, delivery) = (&self.observer.recorder, cx.call(), cx.delivery());
        let waited = self.queued().unwrap_or_default();
        let ran = ran.unwrap_or_default();
        let admitted = self.began.get().map_or_else(|| self.observer.env.now(), |began| began - waited);
        let shown = self.observed.as_ref().map(|observed| observed.shown.clone()).unwrap_or_default();
        let is_scheduled = delivery.is_some_and(|delivery| delivery.is_scheduled(&self.observer.capability));
        let (kind, span) = (kind_of(self.handler.kind, is_scheduled), (&self.trace, self.parent_id));
        MessageRecord {
            sender: call.chain.last().map(Text::from),
            peer: call.origin.as_ref().and_then(|origin| origin.node.as_ref()).map(Text::from),
            link: call.origin.as_ref().map_or(0, |origin| origin.link),
            message_id: delivery.map(|delivery| delivery.id.as_str().into()),
            key: shown.key,
            payload: shown.payload,
            instance: Some(self.instance as u32),
            waited_us: waited.as_micros() as u64,
            ran_us: ran.as_micros() as u64,
            database_us: database.as_micros() as u64,
            attempt: delivery.map_or(0, |delivery| delivery.attempt),
            bytes: call.origin.as_ref().map_or(0, |origin| origin.bytes),
            outcome,
            error: error.map(|error| error.to_string().into()),
            attributes: call.metadata.clone(),
            ..recorder.handled(kind, span, &self.handler.name, &self.observer.capability, admitted)
        }
    }
}

fn kind_of(kind: HandlerKind, is_scheduled: bool) -> MessageKind {
    match kind {
        HandlerKind::Ask => MessageKind::Ask,
        HandlerKind::Broadcast => MessageKind::Broadcast,
        HandlerKind::Durable(Some(_)) => MessageKind::Event,
        HandlerKind::Durable(None) if is_scheduled => MessageKind::Schedule,
        HandlerKind::Durable(None) => MessageKind::Command,
        HandlerKind::Tick => MessageKind::Timer,
    }
}

fn span(observer: &Observer, message: &str, parent: TraceContext, own: TraceContext, waited: Duration) -> Span {
    // The level of a span is part of its call site, so there are two.
    macro_rules! at {
        ($level:expr) => {
            tracing::span!(
                target: TARGET,
                // Parents are joined by ids; the span that this thread is in belongs to another task.
                parent: None,
                $level,
                "message",
                message,
                trace_id = format_args!("{:032x}", own.trace_id),
                span_id = format_args!("{:016x}", own.span_id),
                parent = format_args!("{:016x}", parent.span_id),
                node = &*observer.node,
                capability = &*observer.capability,
                waited_ms = ms(waited),
                ran_ms = Empty,
                outcome = Empty,
            )
        };
    }
    if own.sampled { at!(Level::INFO) } else { at!(Level::DEBUG) }
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}
