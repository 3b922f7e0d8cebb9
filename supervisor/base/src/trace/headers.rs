//! The two headers of an HTTP request that carry a trace.

use super::state::trim;
use super::{TraceContext, TraceState};
use crate::Env;

/// The name of the header with the ids and flags.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header with what goes along for others.
pub const TRACESTATE: &str = "tracestate";

/// What the headers of a request say about its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHeaders {
    /// The trace, and the span that sends the request.
    pub context: TraceContext,
    /// What goes along.
    pub state: TraceState,
}

impl TraceHeaders {
    /// Reads all `traceparent` and all `tracestate` fields of a request. `None` if it is in no trace that can be joined, also
    /// if it says that it is in several; a `tracestate` alone counts for nothing, and an invalid one is left out.
    pub fn read<'a>(
        parents: impl IntoIterator<Item = &'a [u8]>,
        states: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut parents = parents.into_iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
        let context = TraceContext::read(trim(parent)).ok()?;
        Some(Self { context, state: TraceState::read(states).unwrap_or_default() })
    }

    /// The trace of a message that another node has sent, or that is stored; a new one if it says none that can be read.
    ///
    /// Whether its records are kept was decided where it began.
    pub fn of_message(trace: &str, state: &str, kept: bool, env: &Env) -> Self {
        match trace.parse::<TraceContext>() {
            Ok(context) => Self { context: TraceContext { kept, ..context }, state: state.parse().unwrap_or_default() },
            Err(_) => Self { context: TraceContext::root(env), state: TraceState::default() },
        }
    }

    /// The names and values to set on a request that is sent within the trace.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let state = (!self.state.is_empty()).then(|| (TRACESTATE, self.state.to_string()));
        std::iter::once((TRACEPARENT, self.context.to_string())).chain(state)
    }
}
