//! Effects: what the runtime writes with handlers' transactions, for all that share a commit in few statements.
//!
//! On PostgreSQL each handler commits by itself, and every statement is a round trip to the server that the handler waits
//! for; so the effects of one are a single statement there.

use std::collections::BTreeMap;
use std::sync::Arc;

use essaim_contract::MessageId;
use sea_orm::{DbBackend, Statement};

use super::fence::Handled;
use super::inbox::{self, InboxMark};
use super::outbox::{self, OutboxRow};
use super::{fence, parked, single_statement};

/// The marks of applied messages, and what their handlers send.
#[derive(Debug, Clone, Default)]
pub struct TxEffects {
    /// Messages that were handled, by partition and its owner's epoch.
    handled: BTreeMap<(u32, u64), Handled>,
    inbox: Vec<AppliedMessage>,
    /// Partitions and numbers of messages that are parked no longer.
    unparked: Vec<(u32, u64)>,
    /// Messages on their way out, by queue.
    outbox: SentMessages,
    /// Numbers of messages that are out, by queue.
    forgotten: BTreeMap<Arc<str>, Vec<u64>>,
}

/// Numbered messages of the outbox by queue, in order.
pub type SentMessages = BTreeMap<Arc<str>, Vec<(u64, OutboxRow)>>;

/// A message from the log that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMessage {
    pub id: MessageId,
    /// As in [`InboxMark`].
    pub offset: u64,
    pub at_ms: u64,
    /// Another copy of it is, or was, under way beside it: that its effect is the only one is checked before any other
    /// transaction shares its commit.
    pub contested: bool,
}

/// One statement, and what it must find.
pub struct EffectStatement {
    pub statement: Statement,
    pub expects: ExpectedRows,
}

/// The rows that a statement must find, or nothing may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedRows {
    /// It adds.
    Any,
    /// So many partitions under the epochs of their owners; with fewer, one has another owner by now.
    Owned(u64),
    /// A message that is parked.
    Parked,
    /// Room for so many marks: no other copies of their messages have an effect.
    Marked(u64),
    /// One partition under the epoch of its owner, and a message of it that is parked.
    OwnedAndParked,
    /// The same, and room for one mark.
    OwnedAndMarked,
}

/// What a statement did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRow {
    /// A partition has another owner by now.
    Owner,
    /// A message is parked no longer.
    Parked,
    /// Another copy of a message has its effect.
    Effect,
}

impl ExpectedRows {
    /// What is missing where a statement found so many.
    pub fn missing(self, found: u64) -> Option<MissingRow> {
        match self {
            Self::Owned(partitions) if found != partitions => Some(MissingRow::Owner),
            Self::Parked if found != 1 => Some(MissingRow::Parked),
            Self::Marked(marks) if found != marks => Some(MissingRow::Effect),
            // A parked message is looked for, and a mark made, in a partition that was found.
            Self::OwnedAndParked | Self::OwnedAndMarked if found == 0 => Some(MissingRow::Owner),
            Self::OwnedAndParked if found != 2 => Some(MissingRow::Parked),
            Self::OwnedAndMarked if found != 2 => Some(MissingRow::Effect),
            _ => None,
        }
    }
}

impl TxEffects {
    /// A message from the log was handled, under the epoch of its partition's owner.
    pub fn apply(&mut self, partition: u32, epoch: u64, applied: AppliedMessage) {
        self.handled.entry((partition, epoch)).or_default().add(1, fence::through(applied.offset));
        self.inbox.push(applied);
    }

    /// Takes out the marks of messages whose effect another copy may have.
    pub fn take_contested(&mut self) -> Vec<AppliedMessage> {
        self.inbox.extract_if(.., |applied| applied.contested).collect()
    }

    /// Whether a message with this id was handled.
    pub fn applies(&self, id: &str) -> bool {
        self.inbox.iter().any(|applied| applied.id.as_str() == id)
    }

    /// A parked message was handled. It is in the inbox since it was parked.
    pub fn unpark(&mut self, partition: u32, epoch: u64, seq: u64) {
        self.handled.entry((partition, epoch)).or_default().add(1, 0);
        self.unparked.push((partition, seq));
    }

    /// Messages are sent through a queue, numbered from `first` on.
    pub fn send(&mut self, queue: &Arc<str>, first: u64, messages: impl IntoIterator<Item = OutboxRow>) {
        self.outbox.entry(queue.clone()).or_default().extend((first..).zip(messages));
    }

    /// Messages of a queue are out: their rows are not needed any more.
    pub fn forget(&mut self, queue: &Arc<str>, numbers: impl IntoIterator<Item = u64>) {
        self.forgotten.entry(queue.clone()).or_default().extend(numbers);
    }

    pub fn is_empty(&self) -> bool {
        let Self { handled, inbox, unparked, outbox, forgotten } = self;
        handled.is_empty() && inbox.is_empty() && unparked.is_empty() && outbox.is_empty() && forgotten.is_empty()
    }

    /// The messages on their way out, by queue and in order.
    pub fn into_sent(self) -> SentMessages {
        self.outbox
    }

    /// Adds what another transaction wrote after this one.
    pub fn add(&mut self, later: Self) {
        for (owned, Handled { messages, through }) in later.handled {
            self.handled.entry(owned).or_default().add(messages, through);
        }
        self.inbox.extend(later.inbox);
        self.unparked.extend(later.unparked);
        for (queue, messages) in later.outbox {
            self.outbox.entry(queue).or_default().extend(messages);
        }
        for (queue, numbers) in later.forgotten {
            self.forget(&queue, numbers);
        }
    }

    /// The statements that write it. The fences come first: from there on a new owner waits for the end of the
    /// transaction, and nothing is read that an earlier owner has left in doubt.
    pub fn steps(&self, backend: DbBackend) -> Vec<EffectStatement> {
        if let (DbBackend::Postgres, Some(one)) = (backend, self.single_statement()) {
            return vec![one];
        }
        let handled: Vec<_> =
            self.handled.iter().map(|((partition, epoch), handled)| (*partition, *epoch, *handled)).collect();
        let mut steps: Vec<_> = fence::advancing(backend, &handled)
            .map(|(statement, partitions)| EffectStatement { statement, expects: ExpectedRows::Owned(partitions) })
            .collect();
        let unparked = self.unparked.iter().map(|(partition, seq)| parked::removing(backend, *partition, *seq));
        steps.extend(unparked.map(|statement| EffectStatement { statement, expects: ExpectedRows::Parked }));
        let marks = self.marks();
        steps.extend(marking(backend, &marks));
        let sending = self.outbox.iter().flat_map(|(queue, messages)| outbox::inserting(backend, queue, messages));
        let forgetting = self.forgotten.iter().flat_map(|(queue, numbers)| outbox::removing(backend, queue, numbers));
        let any = |statement| EffectStatement { statement, expects: ExpectedRows::Any };
        steps.extend(sending.chain(forgetting).map(any));
        steps
    }

    /// The same in one statement, if it is of one handler.
    fn single_statement(&self) -> Option<EffectStatement> {
        let (mut owners, mut queues) = (self.handled.iter(), self.outbox.iter());
        let (Some(((partition, epoch), handled)), None) = (owners.next(), owners.next()) else { return None };
        if handled.messages != 1 || !self.forgotten.is_empty() {
            return None;
        }
        let (sent, None) = (queues.next(), queues.next()) else { return None };
        let sent = sent.map(|(queue, messages)| (&**queue, messages.as_slice()));
        single_statement::of(
            (*partition, *epoch),
            handled.through,
            self.unparked.first().copied(),
            self.marks().first(),
            sent,
        )
    }

    fn marks(&self) -> Vec<InboxMark<'_>> {
        self.inbox.iter().map(AppliedMessage::mark).collect()
    }
}

/// The statements that mark messages as applied, each of which must be the only copy of its message that is.
pub fn marking(backend: DbBackend, marks: &[InboxMark<'_>]) -> impl Iterator<Item = EffectStatement> {
    inbox::inserting(backend, marks)
        .map(|(statement, marks)| EffectStatement { statement, expects: ExpectedRows::Marked(marks) })
}

impl AppliedMessage {
    /// What the inbox remembers of it.
    pub fn mark(&self) -> InboxMark<'_> {
        InboxMark { id: self.id.as_str(), offset: self.offset, at_ms: self.at_ms, effect: true }
    }
}
