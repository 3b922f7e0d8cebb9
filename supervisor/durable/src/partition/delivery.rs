//! A durable message on its way through its handler: what makes its effect happen once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use essaim_contract::MessageId;

use super::copies::OneCopy;
use super::rehearsal::Rehearsal;
use crate::outbox::OutboxQueue;

/// Which message a handler applies, and under whose ownership.
#[derive(Debug)]
pub struct DeliveryContext {
    pub id: MessageId,
    pub partition: u32,
    /// The epoch of the partition's owner; a transaction under a lower one than the database knows is refused.
    pub epoch: u64,
    /// The message's offset as the inbox remembers it.
    pub offset: u64,
    /// Where it waits in the database, if that is where it comes from.
    pub parked: Option<u64>,
    /// The queue of the outbox that its handler's own messages take; none where nothing is remembered.
    pub queue: Option<OutboxQueue>,
    /// How long its worker waits for a handler that blocks its thread.
    pub patience: Duration,
    /// It, among copies of its message; absent where it is parked or nothing is remembered.
    pub copy: Option<Arc<OneCopy>>,
    /// Which attempt it is, from 1 on.
    pub attempt: u32,
    /// Whether its effect was found to be there already.
    pub repeated: AtomicBool,
    /// What its handler does, if it is only rehearsed: nothing of it may remain.
    pub rehearsal: Option<Arc<Rehearsal>>,
}

impl DeliveryContext {
    /// Whether its capability has sent it to itself at a set time: it has the id of a schedule's firing then.
    pub fn is_scheduled(&self, capability: &str) -> bool {
        let rest = self.id.as_str().strip_prefix(capability);
        rest.is_some_and(|rest| rest.starts_with('.') && rest.contains('/'))
    }

    /// Whether another copy of the message may have its effect.
    #[inline]
    pub fn is_contested(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.is_contested())
    }

    /// Another copy of the message has its effect.
    #[inline]
    pub fn set_repeated(&self) {
        self.repeated.store(true, Ordering::Release);
    }

    /// Whether its handler's commit has found that another copy has the effect. It is a duplicate then, even if its handler
    /// has failed over that.
    #[inline]
    pub fn is_repeated(&self) -> bool {
        self.repeated.load(Ordering::Acquire)
    }
}

/// A message with its delivery, as it enters a mailbox.
pub struct DurableMessage<M> {
    pub message: M,
    pub delivery: Arc<DeliveryContext>,
}
