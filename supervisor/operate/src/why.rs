//! Why something is slow or stuck, in sentences: from the records of its trace, from what handlers do at the moment, and from where
//! its stored messages are.

use std::collections::{BTreeMap, BTreeSet};

use essaim_trace::{MessageKind, MessageRecord, Span, TraceId, TraceTree, duration};

use crate::api::*;
use crate::operation::{MessagePlaces, Operation};
use crate::requests::{Operator, OperatorRequest, Refusal};
use crate::running::RunningMessage;

/// What takes less than this part of a trace needs no sentence.
const TELLING_PART: u64 = 4;

impl OperatorRequest for ExplainMessage {
    async fn answer(self, operator: &Operator) -> Result<Explanation, Refusal> {
        let ShownTrace { traces, away } = ShowTrace { id: self.id.clone() }.answer(operator).await?;
        let mut explanation = Explanation { sentences: Vec::new(), away };
        let mut ids: Vec<TraceId> = traces.iter().filter_map(trace_of).collect();
        ids.extend(TraceId::parse(&self.id).filter(|id| !ids.contains(id)));
        for running in operator.running(&ids).await {
            explanation.sentences.push(of_running(&running));
        }
        let stored = Stored::of(operator, &self.id, &traces).await;
        explanation.sentences.extend(stored.sentences);
        for tree in &traces {
            explanation.sentences.extend(tree.spans.iter().filter_map(of_trouble));
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

/// What is known of stored messages.
struct Stored {
    sentences: Vec<String>,
}

impl Stored {
    /// Of messages with this id or key, and of those in these traces that were sent and not handled.
    async fn of(operator: &Operator, id: &str, traces: &[TraceTree]) -> Self {
        let mut wanted = BTreeMap::<String, Option<MessageRecord>>::new();
        if TraceId::parse(id).is_none() {
            wanted.insert(id.into(), None);
        }
        let unhandled = traces.iter().flat_map(|tree| &tree.spans).filter(|span| {
            let is_ill = span.handled.as_ref().is_some_and(|handled| !handled.is_well());
            span.handled.is_none() || is_ill
        });
        for span in unhandled {
            let record = span.record();
            if let Some(id) = &record.message_id {
                wanted.insert(id.to_string(), Some(record.clone()));
            }
        }
        let mut stored = Self { sentences: Vec::new() };
        let Ok(capabilities) = operator.capabilities().await else {
            if !wanted.is_empty() {
                stored.sentences.push("The log does not answer: where stored messages are is not known.".into());
            }
            return stored;
        };
        for (id, sent) in wanted {
            stored.look_for(operator, &capabilities, &id, sent.as_ref()).await;
        }
        stored
    }

    async fn look_for(
        &mut self,
        operator: &Operator,
        capabilities: &BTreeSet<String>,
        id: &str,
        sent: Option<&MessageRecord>,
    ) {
        let receivers = match sent {
            Some(sent) => operator.receivers_of(sent).await,
            None => BTreeSet::new(),
        };
        for capability in capabilities {
            match operator.ask_host::<MessagePlaces>(capability, &Operation::Locate(id.into())).await {
                Ok(places) => {
                    let is_receiver = receivers.contains(capability);
                    self.of_places(operator, (capability, is_receiver), &places, sent).await;
                }
                Err(why) if receivers.contains(capability) => {
                    let name = sent.map_or("a message", |sent| &*sent.name);
                    self.sentences
                        .push(format!("`{name}` waits in the log for `{capability}`, which does not answer: {why}."));
                }
                Err(_) => {}
            }
        }
    }

    /// What a capability's database says of a message, and if it should have it, why it has not.
    async fn of_places(
        &mut self,
        operator: &Operator,
        (capability, is_receiver): (&str, bool),
        places: &MessagePlaces,
        sent: Option<&MessageRecord>,
    ) {
        let now_ms = operator.env.wall_ms();
        self.sentences.extend(places.parked.iter().map(|line| of_parked(line, now_ms)));
        self.sentences.extend(places.dead.iter().map(of_dead));
        self.sentences.extend(of_overflows(capability, places, sent));
        let Some(sent) = sent.filter(|_| is_receiver) else { return };
        if !places.parked.is_empty() || !places.dead.is_empty() || places.settled {
            return;
        }
        self.sentences.push(operator.of_waiting(sent, capability).await);
    }
}

fn of_parked(line: &ParkedLine, now_ms: u64) -> String {
    let ParkedLine { id, capability, name, partition, key, attempts, due_ms, error, behind, .. } = line;
    let head = format!("`{name}` ({id}) is parked in `{capability}`, partition {partition}");
    if let Some(behind) = behind {
        return format!("{head}: it waits behind {behind}, another message of its key `{key}`.");
    }
    if line.held {
        return format!(
            "{head}: its key `{key}` is on hold until a dead letter of it is replayed or dropped (`essaim dead list`)."
        );
    }
    let next = match due_ms.saturating_sub(now_ms) {
        0 => "it is tried now".to_string(),
        ms => format!("it is tried again in {}", duration(ms.saturating_mul(1_000))),
    };
    match error {
        Some(error) => {
            format!(
                "{head}: {attempts} attempts have failed, the last one with `{error}`; {next} (at once: `essaim parked retry {id}`)."
            )
        }
        None => format!("{head}: its time has not come, or those before it were not done; {next}."),
    }
}

/// Of an event's publisher: which subscribers have no room for it.
fn of_overflows(publisher: &str, places: &MessagePlaces, sent: Option<&MessageRecord>) -> Vec<String> {
    let is_published = sent.is_some_and(|sent| sent.kind == MessageKind::Event && &*sent.capability == publisher);
    let full = places.overflows.iter().filter(|(_, waiting)| is_published && **waiting > 0);
    let sentence = |(subscriber, waiting): (&String, &u64)| {
        format!("`{subscriber}` has no room: {waiting} events wait for it in the outbox of `{publisher}`.")
    };
    full.map(sentence).collect()
}

fn of_dead(letter: &DeadLetterSummary) -> String {
    let DeadLetterSummary { id, capability, name, reason, error, .. } = letter;
    let error = error.as_deref().map(|error| format!(" with `{error}`")).unwrap_or_default();
    format!(
        "`{name}` ({id}) of `{capability}` is a dead letter ({reason}){error}: `essaim dead show {id}`, then replay or drop it."
    )
}

impl Operator {
    /// The capabilities that should handle a stored message.
    async fn receivers_of(&self, sent: &MessageRecord) -> BTreeSet<String> {
        if sent.kind != MessageKind::Event {
            return BTreeSet::from([sent.capability.to_string()]);
        }
        let Some(durable) = &self.durable else { return BTreeSet::new() };
        let registry = durable.log.registry().await;
        let subscribers = registry.ok().and_then(|registry| registry.subscriptions.get(&*sent.name).cloned());
        subscribers.map(|subscribers| subscribers.into_keys().collect()).unwrap_or_default()
    }

    /// Why a message that is neither parked nor dead nor applied was not handled yet.
    async fn of_waiting(&self, sent: &MessageRecord, capability: &str) -> String {
        let name = &sent.name;
        let Some(durable) = &self.durable else { return format!("`{name}` was sent; this node has no log.") };
        let counts = match durable.log.counts(capability).await {
            Ok(counts) => counts,
            Err(error) => return format!("`{name}` was sent, and the log does not answer: {error}."),
        };
        let order = sent.key.as_ref().or(sent.message_id.as_ref()).map_or("", |order| order);
        let number = essaim_durable::partition_of(order, counts.len() as u32);
        let Some(count) = counts.iter().find(|count| count.number == number) else {
            return format!("`{name}` was sent, and `{capability}` has no partitions.");
        };
        let head = format!("`{name}` waits in the log for `{capability}`, partition {number}");
        match &count.owner {
            None => {
                format!("{head}, which has no owner: no live node hosts `{capability}` and handles what waits there.")
            }
            Some((owner, _)) if count.waiting == 0 => {
                format!(
                    "`{name}` has left the sender and is not in the log of `{capability}`: it is in the sender's outbox, or {owner} is at work on it."
                )
            }
            Some((owner, _)) => format!("{head}, with {} messages; {owner} works on it.", count.waiting),
        }
    }
}
