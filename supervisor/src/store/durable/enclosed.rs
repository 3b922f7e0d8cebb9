//! What the runtime writes with handlers' transactions, for all that share a commit in few statements.
//!
//! On PostgreSQL each handler commits by itself, and every statement is a round trip to the server that the handler waits
//! for; so what one encloses is one statement there.

use std::collections::BTreeMap;
use std::sync::Arc;

use essaim_contract::MessageId;
use sea_orm::{DbBackend, Statement};

use super::inbox::{self, Mark};
use super::outbox::{self, Outgoing};
use super::{at_once, fence, parked};

/// That messages were applied, and what their handlers send.
#[derive(Debug, Default)]
pub(crate) struct Enclosed {
    /// Messages that were handled, by partition and its owner's epoch.
    handled: BTreeMap<(u32, u64), u64>,
    inbox: Vec<(MessageId, u64, u64)>,
    /// Partitions and numbers of messages that are parked no longer.
    unparked: Vec<(u32, u64)>,
    /// Messages on their way out, by lane.
    outbox: BTreeMap<Arc<str>, Vec<(u64, Outgoing)>>,
}

/// One statement, and what it must find.
pub(crate) struct Step {
    pub statement: Statement,
    pub finds: Finds,
}

/// What a statement must find, or nothing may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finds {
    /// It adds.
    Any,
    /// So many partitions under the epochs of their owners; else one has another owner by now.
    Owned(u64),
    /// A message that is parked.
    Parked,
    /// One partition under the epoch of its owner, and a message of it that is parked.
    OwnedAndParked,
}

/// What a statement did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A partition has another owner by now.
    Owner,
    /// A message is parked no longer.
    Parked,
}

impl Finds {
    /// What is missing where a statement found so many.
    pub fn missing(self, found: u64) -> Option<Missing> {
        match self {
            Self::Owned(partitions) if found != partitions => Some(Missing::Owner),
            Self::Parked if found != 1 => Some(Missing::Parked),
            // A parked message is looked for in a partition that was found.
            Self::OwnedAndParked if found == 0 => Some(Missing::Owner),
            Self::OwnedAndParked if found != 2 => Some(Missing::Parked),
            _ => None,
        }
    }
}

impl Enclosed {
    /// A message from the log was handled, under the epoch of its partition's owner.
    pub fn apply(&mut self, partition: u32, epoch: u64, id: MessageId, offset: u64, at_ms: u64) {
        *self.handled.entry((partition, epoch)).or_default() += 1;
        self.inbox.push((id, offset, at_ms));
    }

    /// A parked message was handled. It is in the inbox since it was parked.
    pub fn unpark(&mut self, partition: u32, epoch: u64, seq: u64) {
        *self.handled.entry((partition, epoch)).or_default() += 1;
        self.unparked.push((partition, seq));
    }

    /// Messages are sent through a lane, numbered from `first` on.
    pub fn send(&mut self, lane: &Arc<str>, first: u64, messages: impl IntoIterator<Item = Outgoing>) {
        self.outbox.entry(lane.clone()).or_default().extend((first..).zip(messages));
    }

    /// Adds what another transaction wrote after this one.
    pub fn add(&mut self, later: Self) {
        for (owned, handled) in later.handled {
            *self.handled.entry(owned).or_default() += handled;
        }
        self.inbox.extend(later.inbox);
        self.unparked.extend(later.unparked);
        for (lane, messages) in later.outbox {
            self.outbox.entry(lane).or_default().extend(messages);
        }
    }

    /// The statements that write it. The fences come first: from there on a new owner waits for the end of the
    /// transaction, and what an earlier one has left in doubt is not looked at.
    pub fn steps(&self, backend: DbBackend) -> Vec<Step> {
        if let (DbBackend::Postgres, Some(one)) = (backend, self.at_once()) {
            return vec![one];
        }
        let handled: Vec<_> = self.handled.iter().map(|((partition, epoch), n)| (*partition, *epoch, *n)).collect();
        let mut steps: Vec<_> = fence::advancing(backend, &handled)
            .map(|(statement, partitions)| Step { statement, finds: Finds::Owned(partitions) })
            .collect();
        let unparked = self.unparked.iter().map(|(partition, seq)| parked::removing(backend, *partition, *seq));
        steps.extend(unparked.map(|statement| Step { statement, finds: Finds::Parked }));
        let marks = self.marks();
        let adding = inbox::inserting(backend, &marks)
            .chain(self.outbox.iter().flat_map(|(lane, messages)| outbox::inserting(backend, lane, messages)));
        steps.extend(adding.map(|statement| Step { statement, finds: Finds::Any }));
        steps
    }

    /// The same in one statement, if it is of one handler.
    fn at_once(&self) -> Option<Step> {
        let (mut owners, mut lanes) = (self.handled.iter(), self.outbox.iter());
        let (Some(((partition, epoch), 1)), None) = (owners.next(), owners.next()) else { return None };
        let (sent, None) = (lanes.next(), lanes.next()) else { return None };
        let sent = sent.map(|(lane, messages)| (&**lane, messages.as_slice()));
        at_once::of(*partition, *epoch, self.unparked.first().copied(), self.marks().first(), sent)
    }

    fn marks(&self) -> Vec<Mark<'_>> {
        self.inbox.iter().map(|(id, offset, at_ms)| Mark { id: id.as_str(), offset: *offset, at_ms: *at_ms }).collect()
    }
}
