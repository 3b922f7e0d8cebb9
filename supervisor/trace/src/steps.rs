//! What happens in a sequence diagram of a trace: who takes part, and who sends what to whom, in order.

use serde::Serialize;

use crate::record::MessageKind;
use crate::tree::{Span, TraceTree};

/// One arrow.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, by the clock of the trace's first node, in microseconds since 1970.
    pub at_us: u64,
    /// Who sends it: a place in the list of who takes part.
    pub from: usize,
    /// Who gets it.
    pub to: usize,
    /// The message, or how it ended.
    pub text: String,
    /// An answer, or an end that is none.
    pub is_answer: bool,
    /// Whether the sender waits for an answer.
    pub is_asked: bool,
    /// Whether nothing went wrong.
    pub is_well: bool,
}

/// A sequence diagram.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// Capabilities, each with its node; `client` for the edge.
    pub participants: Vec<String>,
    /// In the order of their moments.
    pub steps: Vec<Step>,
}

impl Steps {
    /// The diagram of a trace.
    pub fn of(tree: &TraceTree) -> Self {
        let mut all = Self::default();
        for span in &tree.spans {
            let parent = tree.span(span.record().parent_id);
            let sender = match (parent, &span.record().sender, &span.sent) {
                (Some(parent), _, _) => place_of(parent),
                (None, Some(sender), Some(sent)) => format!("{sender}@{}", sent.node),
                (None, Some(sender), None) => sender.to_string(),
                (None, None, _) => "client".into(),
            };
            let (from, to) = (all.participant(sender), all.participant(place_of(span)));
            all.add(span, from, to);
        }
        all.steps.sort_by_key(|step| step.at_us);
        all
    }

    fn add(&mut self, span: &Span, from: usize, to: usize) {
        let record = span.record();
        let is_asked = matches!(record.kind, MessageKind::Request | MessageKind::Ask);
        let is_well = record.is_well();
        let attempt = if record.attempt > 1 { format!(" (attempt {})", record.attempt) } else { String::new() };
        let text = format!("{}{attempt}", record.name);
        // It was sent once, and each further attempt began with its handler.
        let at_us = if record.attempt > 1 { span.handler_us } else { span.begin_us };
        self.steps.push(Step { at_us, from, to, text, is_answer: false, is_asked, is_well: true });
        let is_over = span.handled.is_some() || !is_well;
        if is_over && (is_asked || !is_well) {
            let text = match &record.error {
                Some(error) => format!("{}: {error}", record.outcome.as_str()),
                None => record.outcome.as_str().into(),
            };
            let at_us = span.end_us;
            self.steps.push(Step { at_us, from: to, to: from, text, is_answer: true, is_asked, is_well });
        }
    }

    fn participant(&mut self, name: String) -> usize {
        self.participants.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.participants.push(name);
            self.participants.len() - 1
        })
    }
}

fn place_of(span: &Span) -> String {
    let record = span.record();
    match (&span.handled, &record.peer) {
        (Some(handled), _) => format!("{}@{}", handled.capability, handled.node),
        (None, Some(peer)) => format!("{}@{peer}", record.capability),
        (None, None) => record.capability.to_string(),
    }
}
