//! Events that wait for a subscriber that does not want them any more.

use std::collections::HashSet;
use std::sync::Arc;

use essaim_protocol::log::Registry;

use super::{Outbox, OutboxQueue};
use crate::send::message::{OutgoingKind, OutgoingMessage};

/// Subscriptions that were seen in the registry and are there no longer, as event and subscriber.
#[derive(Default)]
pub(super) struct EndedSubscriptions(HashSet<(Arc<str>, Arc<str>)>);

impl EndedSubscriptions {
    /// Notes what has changed in the registry. The subscription of a capability that is not known any more was not ended: a
    /// server has forgotten all that it had.
    pub fn record_changes(&mut self, before: &Registry, now: &Registry) {
        self.0.retain(|(event, subscriber)| !subscribes(now, event, subscriber));
        for (event, subscribers) in &before.subscriptions {
            let gone = subscribers.keys().filter(|s| !subscribes(now, event, s) && now.partitions.contains_key(*s));
            self.0.extend(gone.map(|subscriber| (event.as_str().into(), subscriber.as_str().into())));
        }
    }

    /// Whether a subscription, which there was, has surely ended. A registry says so only of a capability that it knows for
    /// more than its partitions: those are noted by each node that sends it something, also where all else is forgotten.
    fn is_over(&self, registry: &Registry, event: &str, subscriber: &str) -> bool {
        let seen_before = || self.0.iter().any(|(e, s)| **e == *event && **s == *subscriber);
        let subscribes_otherwise = || registry.subscriptions.values().any(|all| all.contains_key(subscriber));
        !subscribes(registry, event, subscriber)
            && registry.partitions.contains_key(subscriber)
            && (subscribes_otherwise() || seen_before())
    }
}

fn subscribes(registry: &Registry, event: &str, subscriber: &str) -> bool {
    registry.subscriptions.get(event).is_some_and(|all| all.contains_key(subscriber))
}

impl Outbox {
    /// Whether an event of a queue has waited for its one subscriber for longer than that wants it, or that has ended its
    /// subscription.
    pub(super) fn is_outlived(&self, queue: &OutboxQueue, message: &OutgoingMessage) -> bool {
        let OutgoingKind::EventFor(subscriber) = &message.kind else { return false };
        let registry = self.registry.lock().clone();
        let how = registry.subscriptions.get(&*message.name).and_then(|all| all.get(&**subscriber));
        if let Some(how) = how {
            return how.retention_ms.is_some_and(|most| message.at.saturating_add(most) < self.env.wall_ms());
        }
        // What was sent to one alone, such as a dead letter, needs no subscription. And the sender may know of a subscription
        // that is not heard of here yet.
        let heard = registry.version >= self.sender.registry_version();
        queue.is_overflow() && heard && self.ended.lock().is_over(&registry, &message.name, subscriber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry in which these capabilities are known, and subscribe to these events.
    fn registry(version: u64, capabilities: &[(&str, &[&str])]) -> Registry {
        let mut registry = Registry { version, ..Registry::default() };
        for (capability, events) in capabilities {
            registry.partitions.insert(capability.to_string(), 1);
            for event in *events {
                let of_event = registry.subscriptions.entry(event.to_string()).or_default();
                of_event.insert(capability.to_string(), Default::default());
            }
        }
        registry
    }

    /// Whether `s` has surely ended its subscription to `e`, once these registries were heard.
    fn is_over(heard: &[Registry]) -> bool {
        let (mut ended, mut before) = (EndedSubscriptions::default(), Registry::default());
        for registry in heard {
            ended.record_changes(&before, registry);
            before = registry.clone();
        }
        ended.is_over(&before, "e", "s")
    }

    #[test]
    fn a_subscription_that_was_there_and_is_no_longer_is_over_until_it_is_there_again() {
        let (with, without) = (registry(1, &[("s", &["e"])]), registry(2, &[("s", &[])]));
        assert!(!is_over(std::slice::from_ref(&with)));
        assert!(is_over(&[with.clone(), without.clone()]));
        assert!(is_over(&[with.clone(), without.clone(), without.clone()]));
        assert!(!is_over(&[with.clone(), without, with]));
    }

    #[test]
    fn it_is_over_where_the_capability_subscribes_to_other_events_alone() {
        assert!(is_over(&[registry(1, &[("s", &["other"])])]));
    }

    #[test]
    fn a_registry_that_is_not_heard_yet_or_was_forgotten_says_nothing() {
        assert!(!is_over(&[]));
        assert!(!is_over(&[registry(1, &[("publisher", &[]), ("other", &["e"])])]));
        let (with, empty) = (registry(1, &[("s", &["e"])]), registry(0, &[]));
        assert!(!is_over(&[with.clone(), empty.clone()]));
        // A node that sends it something has its partitions noted.
        assert!(!is_over(&[with, empty, registry(2, &[("s", &[])])]));
        assert!(!is_over(&[registry(2, &[("s", &[])])]));
    }
}
