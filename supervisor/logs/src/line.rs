//! One log line, as operators read it.

use std::collections::BTreeMap;

use essaim_trace::{Field, Filterable, Footprint, Text, TraceId};
use serde::{Deserialize, Serialize};

/// A log line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// When, in microseconds since 1970, to the millisecond.
    pub at_us: u64,
    /// How grave it is.
    pub level: LogLevel,
    /// The part of the program that wrote it.
    pub target: Text,
    /// The node that wrote it.
    pub node: Text,
    /// Of a line of a handler: its capability.
    pub capability: Option<Text>,
    /// Its message's wire name.
    pub handler: Option<Text>,
    /// Its trace.
    pub trace: Option<TraceId>,
    /// What it says.
    pub text: String,
    /// Its other fields.
    pub fields: BTreeMap<String, String>,
}

/// How grave a line is: the later in this list the graver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// `trace`
    #[default]
    Trace,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

/// The words for levels, in their order.
const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error"];

impl LogLevel {
    /// The level of an event.
    pub(crate) fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        LEVELS[self as usize]
    }
}

impl Filterable for LogLine {
    const CALLED: &'static str = "log lines";
    const FIELDS: &'static [&'static str] =
        &["level", "node", "capability", "handler", "trace", "target", "text", "at", "field.NAME"];

    fn field(name: &str) -> Option<Field<Self>> {
        Some(match name {
            "level" => Field::Word(LEVELS, |line| line.level as usize),
            "node" => Field::Text(|line| Some(line.node.to_string())),
            "capability" => Field::Text(|line| line.capability.as_ref().map(ToString::to_string)),
            "handler" => Field::Text(|line| line.handler.as_ref().map(ToString::to_string)),
            "trace" => Field::Text(|line| line.trace.map(|trace| trace.to_string())),
            "target" => Field::Text(|line| Some(line.target.to_string())),
            "text" => Field::Text(|line| Some(line.all_text())),
            "at" => Field::At,
            other => match other.strip_prefix("field.") {
                Some(name) if !name.is_empty() => {
                    Field::Named(name.into(), |line, name| line.fields.get(name).cloned())
                }
                _ => return None,
            },
        })
    }

    fn at_us(&self) -> u64 {
        self.at_us
    }
}

impl LogLine {
    /// What it says, and its fields.
    pub fn all_text(&self) -> String {
        let mut text = self.text.clone();
        for (name, value) in &self.fields {
            text += &format!(" {name}={value}");
        }
        text
    }
}

impl Footprint for LogLine {
    fn footprint(&self) -> usize {
        /// What a text takes besides its bytes: its allocation and its place in a map.
        const EACH: usize = 64;
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 2 * EACH).sum();
        size_of::<Self>() + EACH + self.target.len() + self.text.len() + fields
    }
}
