//! Which capability sends to which: from the message records of the last minute.
//!
//! Records are a sample where messages are many, and counts are not: so a link has its share of what its receiver has counted.

use std::collections::{BTreeMap, HashMap, VecDeque};

use essaim::Client;
use essaim::api::{FindRecords, FollowedPage, FoundRecords, RecordsPlace};
use essaim::operators::{Refusal, ask};
use essaim::trace::{Half, MessageKind, MessageRecord, Text};
use serde::Serialize;

/// For how long a message counts, in microseconds.
const WINDOW_US: u64 = 60_000_000;
/// The most messages that are looked back at; with more, the window is shorter.
const MOST: usize = 20_000;
/// Pages that are read at once, at most: what a storm leaves behind waits for the next time.
const PAGES_AT_ONCE: usize = 4;
/// Where a sender is unknown: outside.
const OUTSIDE: &str = "client";

/// A capability in a node, as messages see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Place {
    pub capability: String,
    /// None outside.
    pub node: Option<String>,
}

/// Messages from one place to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Link {
    pub from: Place,
    pub to: Place,
    /// Messages a second, about.
    pub rate: f64,
    /// Those of them that failed.
    pub errors: f64,
    /// 99 of a hundred took no longer, in the mailbox and in the handler, in microseconds.
    pub p99_us: u64,
}

/// What one record says of a link.
struct Seen {
    ended_us: u64,
    from: Place,
    to: Place,
    took_us: u64,
    is_well: bool,
}

/// The messages of the last minute.
#[derive(Default)]
pub(crate) struct Links {
    /// Bounded by [`MOST`].
    seen: VecDeque<Seen>,
    place: Option<RecordsPlace>,
    /// The capability that serves requests from outside, once one was seen.
    front: Option<String>,
    /// Who sent stored messages, by their ids: their handlers' records do not tell. Bounded by [`MOST`].
    senders: HashMap<String, Place>,
    now_us: u64,
}

impl Links {
    /// Reads what nodes have written since the last time.
    ///
    /// # Errors
    /// If the node cannot say.
    pub async fn read(&mut self, client: &Client, now_us: u64) -> Result<(), Refusal> {
        for _ in 0..PAGES_AT_ONCE {
            // Begins with what comes: what was is a store's, and no minute's.
            let from_now = self.place.is_none();
            let request = FindRecords { after: self.place.take().unwrap_or_default(), from_now, ..Default::default() };
            let page: FoundRecords = ask(client, request).await?;
            self.place = Some(page.next.clone());
            self.take(&page.records);
            if !page.has_more() {
                break;
            }
        }
        self.forget(now_us);
        Ok(())
    }

    fn take(&mut self, records: &[MessageRecord]) {
        let request = records.iter().find(|record| record.kind == MessageKind::Request);
        self.front = request.map(|request| request.capability.to_string()).or(self.front.take());
        if self.senders.len() > MOST {
            self.senders.clear();
        }
        for record in records.iter().filter(|record| record.half == Half::Sent) {
            let Some(id) = &record.message_id else { continue };
            let sender = record.sender.as_ref().map(ToString::to_string).or_else(|| self.front.clone());
            let node = sender.is_some().then(|| record.node.to_string());
            let capability = sender.unwrap_or_else(|| OUTSIDE.into());
            self.senders.insert(id.to_string(), Place { capability, node });
        }
        let seen = records.iter().filter_map(|record| self.seen_of(record));
        self.seen.extend(seen.collect::<Vec<_>>());
    }

    /// What a handler's record says; none if it does not belong to a link, or its sender is not known.
    fn seen_of(&self, record: &MessageRecord) -> Option<Seen> {
        // What a timer does begins in the capability itself.
        if record.half != Half::Handled || record.kind == MessageKind::Timer {
            return None;
        }
        let place =
            |capability: &str, node: &Text| Place { capability: capability.into(), node: Some(node.to_string()) };
        let near = record.peer.as_ref().unwrap_or(&record.node);
        let from = match (record.kind, &record.sender, &self.front) {
            (MessageKind::Request, ..) => Place { capability: OUTSIDE.into(), node: None },
            (MessageKind::Command | MessageKind::Event | MessageKind::Schedule, ..) => {
                self.senders.get(&**record.message_id.as_ref()?)?.clone()
            }
            (_, Some(sender), _) => place(sender, near),
            (_, None, Some(front)) => place(front, near),
            (_, None, None) => Place { capability: OUTSIDE.into(), node: None },
        };
        let to = place(&record.capability, &record.node);
        let took_us = record.waited_us + record.ran_us;
        Some(Seen { ended_us: record.ended_us(), from, to, took_us, is_well: record.is_well() })
    }

    fn forget(&mut self, now_us: u64) {
        self.now_us = now_us;
        let since_us = now_us.saturating_sub(WINDOW_US);
        while self.seen.len() > MOST {
            self.seen.pop_front();
        }
        // Records of several nodes are not in the order of their moments.
        self.seen.retain(|seen| seen.ended_us >= since_us);
    }

    /// The links, where a capability in a node has so many messages a second.
    pub fn at_rates(&self, rate: impl Fn(&Place) -> f64) -> Vec<Link> {
        let mut links = BTreeMap::<(&Place, &Place), Vec<&Seen>>::new();
        let mut received = BTreeMap::<&Place, usize>::new();
        for seen in &self.seen {
            links.entry((&seen.from, &seen.to)).or_default().push(seen);
            *received.entry(&seen.to).or_default() += 1;
        }
        let since_us = self.seen.iter().map(|seen| seen.ended_us).min().unwrap_or(self.now_us);
        let seconds = (self.now_us.saturating_sub(since_us) as f64 / 1e6).max(1.0);
        let link = |((from, to), all): ((&Place, &Place), Vec<&Seen>)| {
            let counted = rate(to);
            // Where nothing was counted in the last second, the records of the last minute say what there was.
            let rate = match received.get(to) {
                Some(received) if counted > 0.0 => counted * all.len() as f64 / *received as f64,
                _ => all.len() as f64 / seconds,
            };
            let failed = all.iter().filter(|seen| !seen.is_well).count() as f64 / all.len() as f64;
            let mut times: Vec<u64> = all.iter().map(|seen| seen.took_us).collect();
            times.sort_unstable();
            let p99_us = times[(times.len() - 1) * 99 / 100];
            Link { from: from.clone(), to: to.clone(), rate, errors: rate * failed, p99_us }
        };
        links.into_iter().map(link).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(kind: &str, capability: &str, node: &str, more: serde_json::Value) -> MessageRecord {
        let mut record = json!({
            "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "half": "handled", "kind": kind, "name": "a.b.v1",
            "node": node, "capability": capability, "at_us": 1_000, "ran_us": 10, "outcome": "ok",
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(record).unwrap()
    }

    fn place(capability: &str, node: Option<&str>) -> Place {
        Place { capability: capability.into(), node: node.map(Into::into) }
    }

    #[test]
    fn a_message_goes_from_who_sent_it_to_who_handled_it() {
        let mut links = Links::default();
        let stored = json!({ "half": "sent", "sender": "catalog", "id": "7" });
        links.take(&[record("request", "gateway", "front", json!({})), record("event", "orders", "shop", stored)]);
        let from = |record| links.seen_of(&record).map(|seen| seen.from);
        assert_eq!(from(record("request", "gateway", "front", json!({}))), Some(place("client", None)));
        let ask = record("ask", "orders", "shop", json!({ "peer": "front" }));
        assert_eq!(from(ask), Some(place("gateway", Some("front"))));
        let ask = record("ask", "users", "identity", json!({ "sender": "auth" }));
        assert_eq!(from(ask), Some(place("auth", Some("identity"))));
        let event = |id: &str| record("event", "orders", "warehouse", json!({ "id": id }));
        assert_eq!(from(event("7")), Some(place("catalog", Some("shop"))));
        assert_eq!(from(event("8")), None, "nobody knows who sent it");
        assert_eq!(from(record("timer", "orders", "shop", json!({}))), None);
        assert_eq!(from(record("ask", "orders", "front", json!({ "half": "sent" }))), None);
    }

    #[test]
    fn a_link_has_its_share_of_what_its_receiver_counts() {
        let mut links = Links::default();
        let asks = (0..3).map(|_| record("ask", "users", "a", json!({ "sender": "auth" })));
        let failed = record("ask", "users", "a", json!({ "sender": "orders", "outcome": "failed", "ran_us": 99 }));
        links.take(&asks.chain([failed]).collect::<Vec<_>>());
        let found = links.at_rates(|_| 40.0);
        let [auth, orders] = &found[..] else { panic!("two links: {found:?}") };
        assert_eq!((&*auth.from.capability, auth.rate, auth.errors, auth.p99_us), ("auth", 30.0, 0.0, 10));
        assert_eq!((&*orders.from.capability, orders.rate, orders.errors, orders.p99_us), ("orders", 10.0, 10.0, 99));
        links.forget(1_000 + 10 + WINDOW_US + 1);
        assert_eq!(links.at_rates(|_| 40.0).len(), 1, "the last one ended later");
        links.forget(u64::MAX);
        assert_eq!(links.at_rates(|_| 40.0), []);
    }
    #[test]
    fn where_nothing_is_counted_records_are_whatever_their_order() {
        let mut links = Links::default();
        let at = |at_us: u64| record("request", "gateway", "front", json!({ "at_us": at_us }));
        links.take(&[at(9_000_000), at(1_000_000), at(5_000_000), at(8_000_000)]);
        links.forget(11_000_010);
        let rates = |counted: f64| links.at_rates(|_| counted).iter().map(|link| link.rate).collect::<Vec<_>>();
        assert_eq!((rates(0.0), rates(3.0)), (vec![0.4], vec![3.0]), "four in ten seconds; three a second");
        links.forget(1_000_011 + WINDOW_US);
        assert_eq!(links.seen.len(), 3, "the oldest one is forgotten, wherever it stands");
    }
}
