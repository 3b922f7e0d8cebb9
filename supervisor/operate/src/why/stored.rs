//! Where a stored message is: in an outbox, in the log, parked or dead in a database, and why it has come no further.

use std::collections::{BTreeMap, BTreeSet};

use essaim_durable::partition_of;
use essaim_trace::{MessageKind, MessageRecord, TraceId, TraceTree, duration};
use futures_util::future::join_all;

use crate::api::*;
use crate::operation::{MessagePlaces, Operation};
use crate::requests::Operator;

/// What is known of stored messages.
pub(super) struct Stored {
    pub sentences: Vec<String>,
    /// Whether one of them is still to be handled.
    pub is_unfinished: bool,
    /// The capabilities that have not done what they should.
    late: BTreeSet<String>,
}

impl Stored {
    /// Of messages with this id or key, and of those in these traces that were sent and not handled.
    pub async fn of(operator: &Operator, id: &str, traces: &[TraceTree]) -> Self {
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
        let mut stored = Self { sentences: Vec::new(), is_unfinished: false, late: BTreeSet::new() };
        let Ok(capabilities) = operator.capabilities().await else {
            if !wanted.is_empty() {
                stored.sentences.push("The log does not answer: where stored messages are is not known.".into());
            }
            return stored;
        };
        for (id, sent) in wanted {
            stored.look_for(operator, &capabilities, &id, sent.as_ref()).await;
        }
        if !stored.late.is_empty() {
            stored.is_unfinished = true;
            stored.sentences.extend(super::hosts::sentences(operator, &stored.late).await);
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
        let locate = Operation::Locate(id.into());
        let asked = capabilities.iter().map(|capability| operator.ask_host::<MessagePlaces>(capability, &locate));
        let found: Vec<_> = capabilities.iter().zip(join_all(asked).await).collect();
        let unsent = found.iter().find_map(|(sender, places)| of_outbox(sender, places.as_ref().ok()?, sent?));
        for (capability, places) in &found {
            let (name, is_receiver) = (sent.map_or("a message", |sent| &*sent.name), receivers.contains(*capability));
            match places {
                Ok(places) => {
                    let is_here = self.of_places(operator, capability, places, sent);
                    if is_receiver && !places.settled && places.dead.is_empty() {
                        self.late.insert(capability.to_string());
                    }
                    let Some(sent) = sent.filter(|_| is_receiver && !is_here && !places.settled) else { continue };
                    self.sentences.push(operator.of_waiting(sent, capability, unsent.as_deref()).await);
                }
                Err(why) if is_receiver => {
                    self.late.insert(capability.to_string());
                    self.sentences.push(format!("`{name}` waits for `{capability}`, which does not answer: {why}."));
                    if let Some(sent) = sent {
                        self.sentences.push(operator.of_waiting(sent, capability, unsent.as_deref()).await);
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// What a capability's database says of a message. Returns whether it has it.
    fn of_places(
        &mut self,
        operator: &Operator,
        capability: &str,
        places: &MessagePlaces,
        sent: Option<&MessageRecord>,
    ) -> bool {
        let now_ms = operator.env.wall_ms();
        self.is_unfinished |= !places.parked.is_empty();
        self.sentences.extend(places.parked.iter().map(|line| of_parked(line, now_ms)));
        self.sentences.extend(places.dead.iter().map(of_dead));
        self.sentences.extend(of_overflows(capability, places, sent));
        !places.parked.is_empty() || !places.dead.is_empty()
    }
}

/// Of a message that has not left its sender: where it is, and why.
fn of_outbox(sender: &str, places: &MessagePlaces, sent: &MessageRecord) -> Option<String> {
    let before = places.before_in_outbox?;
    let behind = if before > 0 { format!(", behind {before} others") } else { String::new() };
    let why: Vec<&str> = places.stalled.iter().map(String::as_str).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    Some(format!("`{}` is still in the outbox of `{sender}`{behind}{why}.", sent.name))
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
            let failed = if *attempts == 1 {
                "1 attempt has failed".into()
            } else {
                format!("{attempts} attempts have failed, the last one")
            };
            format!("{head}: {failed} with `{error}`; {next} (at once: `essaim parked retry {id}`).")
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

    /// Why a message that is neither parked nor dead nor applied was not handled yet; `unsent` if it has not left its sender.
    async fn of_waiting(&self, sent: &MessageRecord, capability: &str, unsent: Option<&str>) -> String {
        let name = &sent.name;
        let Some(durable) = &self.durable else { return format!("`{name}` was sent; this node has no log.") };
        let counts = match durable.log.counts(capability).await {
            Ok(counts) => counts,
            Err(error) => return format!("`{name}` was sent, and the log does not answer: {error}."),
        };
        let order = sent.key.as_ref().or(sent.message_id.as_ref()).map_or("", |order| order);
        let number = partition_of(order, counts.len() as u32);
        let Some(count) = counts.iter().find(|count| count.number == number) else {
            return format!("`{name}` was sent, and `{capability}` has no partitions.");
        };
        let most = durable.config.partition_messages;
        let waiting = match count.waiting {
            waiting if waiting >= most => {
                format!("which is full with {waiting} messages (`durable.partition_messages` = {most})")
            }
            1 => "with this message alone".into(),
            waiting => format!("with {waiting} messages"),
        };
        let owner = match &count.owner {
            None => format!("it has no owner: no live node hosts `{capability}` and handles what waits there"),
            Some((owner, _)) => {
                format!("node `{}` works on it", owner.split('/').next().unwrap_or(owner))
            }
        };
        match unsent {
            Some(unsent) => format!("{unsent} It goes to partition {number} of `{capability}`, {waiting}; {owner}."),
            None if count.waiting == 0 && count.owner.is_some() => {
                format!(
                    "`{name}` has left the log of `{capability}`, partition {number}, or is about to come there; {owner}."
                )
            }
            None => format!("`{name}` waits in the log for `{capability}`, partition {number}, {waiting}; {owner}."),
        }
    }
}
