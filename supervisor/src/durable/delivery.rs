//! A durable message on its way through its handler: what makes its effect happen once.

use std::sync::Arc;

use essaim_contract::MessageId;

/// Which message a handler applies, and under whose ownership.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub id: MessageId,
    pub partition: u32,
    /// The epoch of the partition's owner; a transaction under a lower one than the database knows is refused.
    pub epoch: u64,
    /// The message's offset as the inbox remembers it.
    pub offset: u64,
    /// Where it waits in the database, if that is where it comes from.
    pub parked: Option<u64>,
    /// The lane of the outbox that its handler's own messages take.
    pub lane: Arc<str>,
}

/// A message with its delivery, as it enters a mailbox.
pub(crate) struct Enlisted<M> {
    pub message: M,
    pub delivery: Arc<Delivery>,
}
