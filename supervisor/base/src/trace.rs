//! The trace context that joins the spans of one request across processes.
//!
//! The form is W3C Trace Context, level 2 (<https://www.w3.org/TR/trace-context-2/>): `00-<trace id>-<span id>-<flags>`,
//! and beside it the `tracestate` of those who trace outside.
//!
//! # Layout
//!
//! - [`TraceContext`]: the ids and flags of one `traceparent`.
//! - [`TraceState`]: what goes along for others, a `tracestate`.
//! - [`TraceHeaders`]: both, as an HTTP request carries them.

mod headers;
mod state;

pub use self::headers::{TRACEPARENT, TRACESTATE, TraceHeaders};
pub use self::state::{InvalidTraceState, TraceState};

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
    /// Whether the node that began the trace drew at least the last 7 bytes of its id at random, each value as likely as any
    /// other: a sampler downstream may decide by them. It holds for the whole trace, as the id does.
    pub random: bool,
    /// Whether the records of its messages are kept. It is decided where the trace begins, and is no part of the W3C form.
    pub kept: bool,
}

impl TraceContext {
    /// A new trace, which nobody records so far.
    #[inline]
    pub fn root(env: &Env) -> Self {
        let [high, low, span] = env.randoms();
        // What keeps the id from being 0 is in its first half: the second one is what `random` speaks of.
        let trace_id = (u128::from(high | 1) << 64) | u128::from(low);
        Self { trace_id, span_id: span | 1, sampled: false, random: true, kept: false }
    }

    /// Another span of the same trace, caused by this one.
    #[inline]
    pub fn child(&self, env: &Env) -> Self {
        Self { span_id: env.random() | 1, ..*self }
    }
}

/// The flags that version 00 knows; all others are sent as 0.
const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;

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
        // Both flags together make one digit.
        text[54] += u8::from(self.sampled) * SAMPLED + u8::from(self.random) * RANDOM;
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
#[error("not a W3C traceparent")]
pub struct InvalidTraceContext;

impl TraceContext {
    /// Reads a `traceparent`. Of a version later than 00 it reads what it shares with that one.
    ///
    /// # Errors
    /// If it is none: the trace cannot be joined, and what belongs to it begins a new one.
    pub fn read(text: &[u8]) -> Result<Self, InvalidTraceContext> {
        let Some((text, rest)) = text.split_first_chunk::<TEXT_BYTES>() else { return Err(InvalidTraceContext) };
        let version = from_hex(&text[..2])?;
        let ends_well = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|next| *next == b'-'),
        };
        if !ends_well || text[2] != b'-' || text[35] != b'-' || text[52] != b'-' {
            return Err(InvalidTraceContext);
        }
        let (high, low) = (from_hex(&text[3..19])?, from_hex(&text[19..35])?);
        let (span_id, flags) = (from_hex(&text[36..52])?, from_hex(&text[53..])? as u8);
        let trace_id = (u128::from(high) << 64) | u128::from(low);
        if trace_id == 0 || span_id == 0 {
            return Err(InvalidTraceContext);
        }
        Ok(Self { trace_id, span_id, sampled: flags & SAMPLED != 0, random: flags & RANDOM != 0, kept: false })
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text.as_bytes())
    }
}

#[cfg(test)]
mod tests;
