//! The layer of a subscriber that keeps log lines.

use std::fmt::Debug;
use std::sync::Arc;

use essaim_base::activity;
use essaim_trace::{Text, TraceId};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::line::{LogLevel, LogLine};
use crate::ring::LogRing;

/// Longest text, and longest value of a field, that is kept of a line, in bytes.
const LONGEST: usize = 4 << 10;

/// Keeps the lines that the subscriber's filter lets through. It logs nothing itself, so that no line causes another.
pub struct LogLayer {
    ring: Arc<LogRing>,
    node: Text,
}

impl LogLayer {
    /// A layer that writes into this ring; lines outside of handlers are those of this node.
    pub fn of(ring: Arc<LogRing>, node: &str) -> Self {
        Self { ring, node: node.into() }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (meta, current) = (event.metadata(), activity::current());
        let mut line = LogLine {
            level: LogLevel::of(*meta.level()),
            target: meta.target().into(),
            node: current.as_ref().map_or_else(|| self.node.clone(), |current| (&current.node).into()),
            trace: current.as_ref().map(|current| TraceId(current.trace.trace_id)),
            handler: current.as_ref().map(|current| (&current.message).into()),
            capability: current.map(|current| current.capability.into()),
            ..LogLine::default()
        };
        event.record(&mut Fields(&mut line));
        // The access log and others tell their trace themselves.
        let own = ["trace_id", "trace"].iter().find_map(|name| line.fields.get(*name).and_then(|id| trace_id(id)));
        line.trace = line.trace.or(own);
        self.ring.push(line);
    }
}

/// The trace of an id, or of a `traceparent`.
fn trace_id(text: &str) -> Option<TraceId> {
    TraceId::parse(text).or_else(|| TraceId::parse(text.split('-').nth(1)?))
}

/// The fields of an event, as they become those of a line.
struct Fields<'a>(&'a mut LogLine);

impl Fields<'_> {
    fn take(&mut self, field: &Field, mut value: String) {
        if value.len() > LONGEST {
            value.truncate(value.floor_char_boundary(LONGEST));
            value.push('…');
        }
        match field.name() {
            "message" => self.0.text = value,
            name => drop(self.0.fields.insert(name.into(), value)),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use essaim_base::Env;
    use essaim_trace::{Conditions, Cursor};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::ring::Take;

    #[test]
    fn a_line_is_kept_with_its_fields_and_a_long_one_with_its_beginning() {
        let ring = LogRing::of(&Env::system(), 1 << 20);
        let subscriber = tracing_subscriber::registry().with(LogLayer::of(ring.clone(), "front"));
        let id = format!("{:032x}", 7);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "shop", trace_id = id, tries = 3, "{}", "é".repeat(LONGEST));
        });
        let page = ring.page(&Cursor::default(), &Conditions::default(), Take::Last(9));
        let [line] = &page.lines[..] else { panic!("one line: {page:?}") };
        assert_eq!((line.level, &*line.target, &*line.node), (LogLevel::Warn, "shop", "front"));
        assert_eq!((line.trace, line.fields["tries"].as_str()), (Some(TraceId(7)), "3"));
        assert!(line.text.len() < LONGEST + 9 && line.text.ends_with("é…"));
    }
}
