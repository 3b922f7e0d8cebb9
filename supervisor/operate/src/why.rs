//! Why something is slow or stuck, in sentences: from the records of its trace, from what handlers do at the moment, and from where
//! its stored messages are.
//!
//! # Layout
//! - here: handlers at work, what went wrong, and where the time went; `stored`: where a stored message is; `hosts`: what is wrong
//!   with those who should handle it.

mod hosts;
mod stored;

use std::collections::BTreeSet;

use essaim_trace::{MessageKind, MessageRecord, Span, TraceId, TraceTree, duration};

use self::stored::Stored;
use crate::api::*;
use crate::requests::{Operator, OperatorRequest, Refusal};
use crate::running::RunningMessage;

/// What takes less than this part of a trace needs no sentence.
const TELLING_PART: u64 = 4;

impl OperatorRequest for ExplainMessage {
    async fn answer(self, operator: &Operator) -> Result<Explanation, Refusal> {
        let ShownTrace { traces, away } = ShowTrace { id: self.id.clone() }.answer(operator).await?;
        let mut explanation = Explanation { away, ..Explanation::default() };
        let mut ids: Vec<TraceId> = traces.iter().filter_map(trace_of).collect();
        ids.extend(TraceId::parse(&self.id).filter(|id| !ids.contains(id)));
        for running in operator.running(&ids).await {
            explanation.sentences.push(of_running(&running));
            explanation.unfinished = true;
        }
        let stored = Stored::of(operator, &self.id, &traces).await;
        explanation.unfinished |= stored.is_unfinished;
        explanation.sentences.extend(stored.sentences);
        for tree in &traces {
            explanation.sentences.extend(tree.spans.iter().filter(|span| is_last(tree, span)).filter_map(of_trouble));
            explanation.sentences.extend(of_time(tree));
        }
        let mut said = BTreeSet::new();
        explanation.sentences.retain(|sentence| said.insert(sentence.clone()));
        Ok(explanation)
    }
}

fn trace_of(tree: &TraceTree) -> Option<TraceId> {
    tree.spans.first().map(|span| span.record().trace_id)
}

fn of_running(running: &RunningMessage) -> String {
    let RunningMessage { node, capability, instance, doing, .. } = running;
    format!("{capability}@{node} (instance {instance}) is at work on {doing}.")
}

/// Whether no later attempt at the same message is known: that one tells more.
fn is_last(tree: &TraceTree, span: &Span) -> bool {
    let of = |span: &Span| {
        let MessageRecord { message_id, capability, attempt, .. } = span.record();
        (message_id.clone().map(|id| (id, capability.clone())), *attempt)
    };
    let (message, attempt) = of(span);
    message.is_none() || tree.spans.iter().map(of).all(|other| other.0 != message || other.1 <= attempt)
}

/// What went wrong with a message, if anything did.
fn of_trouble(span: &Span) -> Option<String> {
    let record = span.record();
    if record.is_well() {
        return None;
    }
    let place = place_of(record);
    let error = record.error.as_deref().unwrap_or("no more is known");
    let attempt = if record.attempt > 1 { format!(" at attempt {}", record.attempt) } else { String::new() };
    Some(format!("`{}` of {place} ended as {}{attempt}: {error}.", record.name, record.outcome.as_str()))
}

/// Where the time of a trace went.
fn of_time(tree: &TraceTree) -> Option<String> {
    let took = tree.end_us().saturating_sub(tree.begin_us());
    let mut parts: Vec<(u64, String)> = Vec::new();
    for (index, span) in tree.spans.iter().enumerate() {
        let Some(handled) = &span.handled else { continue };
        let (name, place) = (&handled.name, place_of(handled));
        let children = tree.spans[index + 1..].iter().take_while(|child| child.depth > span.depth);
        let asked = children.filter(|child| child.depth == span.depth + 1 && is_awaited(child));
        let waited: u64 = asked.map(|child| child.end_us.saturating_sub(child.begin_us)).sum();
        let own = handled.ran_us.saturating_sub(handled.database_us + waited);
        parts.push((handled.waited_us, format!("`{name}` waited for its turn in the mailbox of {place}")));
        parts.push((handled.database_us, format!("`{name}` of {place} waited for its database")));
        parts.push((own, format!("`{name}` of {place} was at work itself")));
        parts.extend(span.wire_us().map(|us| (us, format!("`{name}` and its answer were on the way to {place}"))));
    }
    parts.retain(|(us, _)| us.saturating_mul(TELLING_PART) >= took && *us > 0);
    parts.sort_by_key(|(us, _)| std::cmp::Reverse(*us));
    let told: Vec<String> = parts.iter().map(|(us, what)| format!("for {} {what}", duration(*us))).collect();
    let all = format!("All of it took {}", duration(took));
    match told.is_empty() {
        true if took == 0 => None,
        true => Some(format!("{all}, and nothing of that stands out.")),
        false => Some(format!("{all}: {}.", told.join("; "))),
    }
}

fn is_awaited(span: &Span) -> bool {
    matches!(span.record().kind, MessageKind::Ask)
}

fn place_of(record: &MessageRecord) -> String {
    format!("{}@{}", record.capability, record.peer.as_deref().filter(|_| record.span_id == 0).unwrap_or(&record.node))
}
