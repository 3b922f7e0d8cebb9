//! `tracestate`: what those who trace outside of Essaim send along with a trace. It is passed on as it came; Essaim adds no
//! member of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Members that a list may have.
const MOST_MEMBERS: usize = 32;
/// Bound of what is passed on, in bytes: every message of a trace carries it. The specification wants at least 512; a member
/// alone may have 513.
const MOST_BYTES: usize = 1_024;
/// Of a list that is over the bound, members with more bytes than this are dropped before others.
const LONG_MEMBER_BYTES: usize = 128;
/// The longest key, and the longest value, in bytes.
const LONGEST_PART_BYTES: usize = 256;

/// A valid `tracestate`. Cheap to clone; an empty one, which most are, has no allocation and counts no references.
// The box makes it as small as one pointer, so that what travels with every ask has not grown by it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TraceState(Option<Arc<Box<str>>>);

/// The text is no valid `tracestate`, and nothing of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTraceState {
    /// The list is too long.
    #[error("it has more than {MOST_MEMBERS} members")]
    TooManyMembers,
    /// A member without `=`.
    #[error("a member of it has no value")]
    NoValue,
    /// A key with other characters than the specification allows, or none, or too many.
    #[error("a key of it is not allowed")]
    Key,
    /// A value with other characters than the specification allows, or none, or too many.
    #[error("a value of it is not allowed")]
    Value,
}

impl TraceState {
    /// Reads the `tracestate` header fields of one request, in their order, as one list. Of several members with one key
    /// the first is kept: writers put theirs in front, so it is the latest. Of a list over the bound of what is passed on,
    /// whole members are dropped: long ones first, then from the end.
    ///
    /// # Errors
    /// If any of it is invalid.
    pub fn read<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, InvalidTraceState> {
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut count = 0;
        let texts = fields.into_iter().flat_map(|field| field.split(|byte| *byte == b',')).map(trim);
        // Empty members are allowed: joining fields makes them.
        for text in texts.filter(|text| !text.is_empty()) {
            count += 1;
            if count > MOST_MEMBERS {
                return Err(InvalidTraceState::TooManyMembers);
            }
            let member = Member::read(text)?;
            if members.iter().all(|known| known.key != member.key) {
                members.push(member);
            }
        }
        shorten(&mut members);
        Ok(Self::of(&members))
    }

    /// The header's value; empty if there is none to send.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |text| text)
    }

    /// Whether there is none to send.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let members = self.as_str().split(',').filter_map(|member| member.split_once('='));
        members.into_iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    fn of(members: &[Member<'_>]) -> Self {
        let mut text = String::new();
        for member in members {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(member.text);
        }
        Self((!text.is_empty()).then(|| Arc::new(text.into())))
    }
}

impl FromStr for TraceState {
    type Err = InvalidTraceState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self::default()) } else { Self::read([text.as_bytes()]) }
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// One member of a list, without the spaces around it.
struct Member<'a> {
    text: &'a str,
    key: &'a [u8],
}

impl<'a> Member<'a> {
    fn read(text: &'a [u8]) -> Result<Self, InvalidTraceState> {
        let at = text.iter().position(|byte| *byte == b'=').ok_or(InvalidTraceState::NoValue)?;
        let (key, value) = (&text[..at], &text[at + 1..]);
        let fits = |part: &[u8]| (1..=LONGEST_PART_BYTES).contains(&part.len());
        let begins_well = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits(key) || !begins_well || !key.iter().all(is_of_key) {
            return Err(InvalidTraceState::Key);
        }
        if !fits(value) || !value.iter().all(is_of_value) {
            return Err(InvalidTraceState::Value);
        }
        let text = std::str::from_utf8(text).map_err(|_| InvalidTraceState::Value)?;
        Ok(Self { text, key })
    }
}

fn is_of_key(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
}

fn is_of_value(byte: &u8) -> bool {
    (0x20..=0x7e).contains(byte) && !matches!(byte, b',' | b'=')
}

/// Without the optional whitespace of HTTP around it, which is less than what Rust calls whitespace.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn shorten(members: &mut Vec<Member<'_>>) {
    let mut bytes = members.iter().map(|member| member.text.len() + 1).sum::<usize>().saturating_sub(1);
    for shortest in [LONG_MEMBER_BYTES + 1, 0] {
        let mut at = members.len();
        while bytes > MOST_BYTES && at > 0 {
            at -= 1;
            if members[at].text.len() >= shortest {
                bytes = bytes.saturating_sub(members[at].text.len() + 1);
                members.remove(at);
            }
        }
    }
}
