//! Who gets which event, and the end of a capability that is gone for good.

use serde::{Deserialize, Serialize};

use super::ApiRequest;

/// Who gets which event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListSubscriptions {}

impl ApiRequest for ListSubscriptions {
    const PATH: &'static str = "/durable/subscriptions/list";
    type Answer = Subscriptions;
}

/// All subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriptions {
    /// By event and capability.
    pub subscriptions: Vec<SubscriptionLine>,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionLine {
    /// The event's wire name.
    pub event: String,
    /// Who gets it.
    pub capability: String,
    /// What happens while the subscriber's partition is full: `overflow_to_disk`, `dead_letter` or `block`.
    pub when_full: String,
    /// What it began with: `registration`, with the first event after it, or `earliest_retained`, with what the publisher
    /// had kept.
    pub from: String,
    /// How long an event waits for the subscriber at most, in milliseconds; without it until it is taken.
    pub retention_ms: Option<u64>,
    /// When it began, in milliseconds since 1970, where the log knows: over Redis.
    pub since_ms: Option<u64>,
    /// Whether a host of the subscriber is known to live now; it subscribes again at its next start.
    pub live: bool,
}

/// A capability is to get an event no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropSubscription {
    /// The event's wire name.
    pub event: String,
    /// Who got it.
    pub capability: String,
}

impl ApiRequest for DropSubscription {
    const PATH: &'static str = "/durable/subscriptions/drop";
    const CHANGES: bool = true;
    type Answer = DroppedSubscription;
}

/// The outcome for a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedSubscription {
    /// Whether there was one.
    pub dropped: bool,
    /// Whether a host of the subscriber is known to live now; it subscribes again at its next start.
    pub live: bool,
}

/// A capability that nobody hosts is gone for good: its subscriptions end, and the log forgets its partitions with what is in
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// Its name.
    pub capability: String,
    /// Whether nothing is to be done yet: the answer tells what would be lost.
    #[serde(default)]
    pub rehearse: bool,
}

impl ApiRequest for Retire {
    const PATH: &'static str = "/durable/retire";
    const CHANGES: bool = true;
    type Answer = Retirement;
}

/// The outcome for a capability, as it was done or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Whether the log knows it.
    pub known: bool,
    /// Live nodes that host it: if there are any, nothing is done.
    pub hosts: Vec<String>,
    /// Messages that wait for it in the log.
    pub waiting: u64,
    /// Its dead letters that the log keeps.
    pub dead: u64,
    /// The events that it gets.
    pub subscriptions: Vec<String>,
    /// Whether it is retired now.
    pub retired: bool,
    /// Messages that were lost with it.
    pub lost: u64,
}
