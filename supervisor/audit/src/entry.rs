//! Acts as they are kept, and which of them are asked for.

use std::fmt;

use essaim_base::text::cut;
use serde::{Deserialize, Serialize};

/// The most characters of a text that are kept.
const LONGEST_TEXT: usize = 2_000;

/// Who asks for something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Their name: of a user of the machine, of a token, of an account; an address where nothing else is known.
    pub who: String,
    /// What vouches for the name: `socket` (the operating system), `token`, `login`, or `address` (nothing does).
    pub via: String,
    /// Where they are: process and user of the machine, or the address.
    pub origin: String,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, via, origin } = self;
        if origin.is_empty() || origin == who {
            write!(f, "{who} ({via})")
        } else {
            write!(f, "{who} ({via}, {origin})")
        }
    }
}

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// All of it was done.
    Done,
    /// Some of it was done, and some was refused.
    Partly,
    /// Nothing was done.
    Nothing,
    /// Some of it may have been done.
    Unknown,
}

impl EndKind {
    /// Its word, in files and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partly => "partly",
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Done, Self::Partly, Self::Nothing, Self::Unknown].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How an act ended, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActEnd {
    pub kind: EndKind,
    /// How many, which id, who did not answer; nothing of what is in messages.
    pub detail: String,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The node that was asked, and whose file has it.
    pub node: String,
    /// Its number in that file, which only rises.
    pub id: u64,
    /// When it was asked for, in milliseconds since 1970 by the node's clock.
    pub at_ms: u64,
    #[serde(flatten)]
    pub asker: Asker,
    /// What was asked for.
    pub act: String,
    /// How it ended; `None` while it is done, or if its node or its asker ended before it did.
    pub end: Option<ActEnd>,
}

impl AuditEntry {
    /// Its place among those of all nodes.
    pub fn place(&self) -> AuditPlace {
        AuditPlace { at_ms: self.at_ms, node: self.node.clone(), id: self.id }
    }
}

/// A place in the list of all acts, by their moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuditPlace {
    pub at_ms: u64,
    pub node: String,
    pub id: u64,
}

/// Which acts are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditQuestion {
    /// Only those of who has this name.
    pub who: Option<String>,
    /// Only those whose words have this in them.
    pub what: Option<String>,
    /// Only those at this moment or later, in milliseconds since 1970.
    pub since_ms: u64,
    /// Only those before this place.
    pub before: Option<AuditPlace>,
    /// The latest of them, at most so many.
    pub most: u32,
}

/// A text as it is kept: in one line, and not without end.
pub(crate) fn kept(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    cut(&text.replace(is_odd, " "), LONGEST_TEXT)
}
