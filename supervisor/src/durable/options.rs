//! What a sender may say about one durable message.

use std::time::Duration;

use essaim_contract::MessageId;

/// When a message may be handled, and under which id it is known; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(crate) id: Option<MessageId>,
    pub(crate) not_before: Option<When>,
    pub(crate) time_to_live: Option<Duration>,
}

/// A moment on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
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
