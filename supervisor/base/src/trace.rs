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
    #[inline]
    pub fn root(env: &Env) -> Self {
        let [high, low, span] = env.randoms();
        let trace_id = (u128::from(high) << 64) | u128::from(low | 1);
        Self { trace_id, span_id: span | 1, sampled: false }
    }

    /// Another span of the same trace, caused by this one.
    #[inline]
    pub fn child(&self, env: &Env) -> Self {
        Self { span_id: env.random() | 1, ..*self }
    }
}

/// The length of a `traceparent`.
const TEXT_BYTES: usize = 55;

/// The text of a trace context, without an allocation.
#[derive(Clone, Copy)]
pub struct TraceText([u8; TEXT_BYTES]);

impl TraceText {
    #[inline]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it is made of ASCII")
    }
}

impl TraceContext {
    /// As [`Display`](fmt::Display) shows it.
    pub fn text(&self) -> TraceText {
        debug_assert!(self.trace_id != 0 && self.span_id != 0, "ids are never 0");
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        to_hex((self.trace_id >> 64) as u64, &mut text[3..19]);
        to_hex(self.trace_id as u64, &mut text[19..35]);
        to_hex(self.span_id, &mut text[36..52]);
        text[54] += u8::from(self.sampled);
        TraceText(text)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// Fills `digits`, the last with the lowest four bits.
fn to_hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// At most 16 digits, in lower case.
fn from_hex(digits: &[u8]) -> Result<u64, InvalidTraceContext> {
    const NONE: u8 = 0xff;
    const VALUES: [u8; 256] = {
        let mut values = [NONE; 256];
        let mut value = 0;
        while value < 16 {
            values[b"0123456789abcdef"[value] as usize] = value as u8;
            value += 1;
        }
        values
    };
    let (mut number, mut all) = (0, 0);
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        all |= value;
        number = (number << 4) | u64::from(value & 15);
    }
    if all == NONE { Err(InvalidTraceContext) } else { Ok(number) }
}

/// The text is no valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent of version 00")]
pub struct InvalidTraceContext;

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: &[u8; TEXT_BYTES] = text.as_bytes().try_into().map_err(|_| InvalidTraceContext)?;
        if !text.starts_with(b"00-") || text[35] != b'-' || text[52] != b'-' {
            return Err(InvalidTraceContext);
        }
        let (high, low) = (from_hex(&text[3..19])?, from_hex(&text[19..35])?);
        let (span_id, flags) = (from_hex(&text[36..52])?, from_hex(&text[53..])?);
        let trace_id = (u128::from(high) << 64) | u128::from(low);
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
