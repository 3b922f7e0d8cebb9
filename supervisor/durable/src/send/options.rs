//! What a sender may say about one durable message, and a subscriber about its subscription.

use std::time::Duration;

use essaim_contract::MessageId;

use essaim_protocol::log::{Beginning, Subscription, WhenFull};

/// When a message may be handled, and under which id it is known; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub id: Option<MessageId>,
    pub not_before: Option<When>,
    pub time_to_live: Option<Duration>,
}

/// A moment on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In milliseconds since 1970.
    At(u64),
    After(Duration),
}

impl SendOptions {
    /// Nothing in particular.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends under this id: sending again with it is harmless.
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// The message is handled at this moment, in milliseconds since 1970, or as soon as possible afterwards. It is in no order
    /// with others of its key.
    pub fn at(mut self, at_ms: u64) -> Self {
        self.not_before = Some(When::At(at_ms));
        self
    }

    /// The message is handled after this time. It is in no order with others of its key.
    pub fn after(mut self, delay: Duration) -> Self {
        self.not_before = Some(When::After(delay));
        self
    }

    /// The message expires unless it is handled within this time, from when it may be handled on.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }
}

/// How a capability subscribes to an event; by default it gets what is published from its first start on, for as long as
/// its inbox remembers, and what it has no room for waits in the publisher's database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscribeOptions(pub Subscription);

impl SubscribeOptions {
    /// Nothing in particular.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens while as many messages wait for the capability as may.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.0.when_full = when_full;
        self
    }

    /// A new subscription begins with the events from before it that their publisher has kept
    /// ([`Event::RETAINED_HOURS`](essaim_contract::Event::RETAINED_HOURS)), in the order in which they were published.
    pub fn from_earliest_retained(mut self) -> Self {
        self.0.from = Beginning::EarliestRetained;
        self
    }

    /// An event that has waited for so long is dropped: it is counted as expired, or forgotten by its publisher if that is
    /// where it waits.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.0.retention_ms = Some(retention.as_millis().try_into().unwrap_or(u64::MAX));
        self
    }
}
