//! Message spans: the tracing span of one handled message, and the log line at its end.
//!
//! Every handler has a span id of its own; what it sends carries that id, and the spans of what it sends name it as
//! their parent. So the ids join across processes even where no subscriber is. The span itself exists only while a
//! subscriber enables it: at level `info` for messages of sampled traces, `debug` for the others. For an unobserved message
//! no clock is read and nothing is allocated, unless its handler waits, which costs more than both.

use std::cell::Cell;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use essaim_contract::AskError;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Level, Span};

use essaim_base::Env;
use essaim_base::call::Call;
use essaim_base::trace::TraceContext;

/// The target of message spans and of the lines that end them, for filters such as `info,essaim::message=debug`.
pub const TARGET: &str = "essaim::message";

/// Whether a subscriber enables the spans of this trace.
pub fn is_observed(trace: &TraceContext) -> bool {
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
}

/// One message in its handler.
pub struct MessageSpan<'a> {
    observer: &'a Observer,
    message: &'a str,
    trace: TraceContext,
    span: Span,
    began: Cell<Option<Instant>>,
}

impl<'a> MessageSpan<'a> {
    /// A message about to be handled, which entered the mailbox at `queued` if it is observed. From here on
    /// the call is the handler's: what is sent with it has the handler's span as its parent.
    pub fn begin(observer: &'a Observer, message: &'a str, call: &mut Call, queued: Option<Instant>) -> Self {
        let env = &observer.env;
        let parent = call.trace;
        call.trace = parent.child(env);
        let began = queued.map(|_| env.now());
        let waited = queued.zip(began).map(|(queued, began)| began.saturating_duration_since(queued));
        let span = waited.map_or_else(Span::none, |waited| span(observer, message, parent, call.trace, waited));
        Self { observer, message, trace: call.trace, span, began: Cell::new(began) }
    }

    /// The handler's span; disabled if the message is not observed.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The handler's first `Pending` was at `now`; the running time of an unobserved handler counts from here.
    pub fn first_pending(&self, now: Instant) {
        if self.began.get().is_none() {
            self.began.set(Some(now));
        }
    }

    /// The handler has its answer.
    pub fn answered<E: Display>(&self, error: Option<&AskError<E>>) {
        let ran = self.ran();
        let ran_ms = ran.map(ms);
        let outcome = match error {
            None => "ok",
            Some(AskError::Rejected(_)) => "rejected",
            Some(error) => {
                let _entered = self.record("failed", ran_ms);
                let (handler, trace) = (self.message, &self.trace);
                tracing::warn!(target: TARGET, handler, %trace, ran_ms, %error, "a handler failed");
                return;
            }
        };
        let _entered = self.record(outcome, ran_ms);
        if ran.is_some_and(|ran| self.is_slow(ran)) {
            let (handler, trace) = (self.message, &self.trace);
            tracing::info!(target: TARGET, handler, %trace, ran_ms, outcome, "a handler was slow");
        } else {
            tracing::debug!(target: TARGET, handler = self.message, ran_ms, outcome, "handled");
        }
    }

    /// The handler panicked.
    pub fn panicked(&self, panic: &str) {
        let ran_ms = self.ran().map(ms);
        let _entered = self.record("panicked", ran_ms);
        let (handler, trace) = (self.message, &self.trace);
        tracing::error!(
            target: TARGET, handler, %trace, ran_ms, panic, "a handler panicked; the instance starts anew"
        );
    }

    /// The handler was dropped at its deadline.
    pub fn timed_out(&self, running_ms: u64) {
        let ran_ms = self.ran().map(ms);
        let _entered = self.record("timed_out", ran_ms);
        let (handler, trace) = (self.message, &self.trace);
        tracing::warn!(target: TARGET, handler, %trace, running_ms, "a handler was dropped at its deadline");
    }

    /// For how long the handler has been running, if that is known.
    fn ran(&self) -> Option<Duration> {
        self.began.get().map(|began| self.observer.env.now().saturating_duration_since(began))
    }

    fn is_slow(&self, ran: Duration) -> bool {
        let limit_ms = self.observer.slow_ms;
        limit_ms > 0 && ran.as_millis() >= u128::from(limit_ms)
    }

    fn record(&self, outcome: &str, ran_ms: Option<f64>) -> tracing::span::Entered<'_> {
        self.span.record("outcome", outcome);
        self.span.record("ran_ms", ran_ms);
        self.span.enter()
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
