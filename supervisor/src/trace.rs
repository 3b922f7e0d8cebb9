//! The trace context that joins the spans of one request across processes.
//!
//! The form is W3C Trace Context (<https://www.w3.org/TR/trace-context/>): `00-<trace id>-<span id>-<flags>`.

use std::fmt;
use std::str::FromStr;

use crate::Env;

/// Which trace a message belongs to, and which span caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The same for all that one request causes; never 0.
    pub trace_id: u128,
    /// The span at hand: of a message under way the one that sent it, in a handler the handler's own; never 0.
    pub span_id: u64,
    /// Whether somebody upstream records this trace.
    pub sampled: bool,
}

impl TraceContext {
    /// A new trace.
    pub fn root(env: &Env) -> Self {
        let trace_id = (u128::from(env.random()) << 64) | u128::from(env.random() | 1);
        Self { trace_id, span_id: env.random() | 1, sampled: false }
    }

    /// Another span of the same trace, caused by this one.
    pub fn child(&self, env: &Env) -> Self {
        Self { span_id: env.random() | 1, ..*self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// The text is no valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent of version 00")]
pub struct InvalidTraceContext;

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return Err(InvalidTraceContext) };
        let lower_hex = |s: &str, len| s.len() == len && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if version != "00" || !lower_hex(trace, 32) || !lower_hex(span, 16) || !lower_hex(flags, 2) {
            return Err(InvalidTraceContext);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| InvalidTraceContext)?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| InvalidTraceContext)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceContext)?;
        if trace_id == 0 || span_id == 0 {
            return Err(InvalidTraceContext);
        }
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_the_round_trip() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceContext>().unwrap().to_string(), text);
    }

    #[test]
    fn malformed_contexts_are_refused() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(InvalidTraceContext), "{text}");
        }
    }
}
