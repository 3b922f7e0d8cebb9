//! The jobs of the writer, each with the channel of its answer.

use bytes::Bytes;
use tokio::sync::oneshot;

use essaim_protocol::log::{
    Acknowledge, Acknowledged, Append, AppendError, Appended, HostHeartbeat, LogError, OwnedPartition, Partition,
    Retired, Subscription,
};

/// The bytes of a job beside those of its messages.
const OWN_BYTES: usize = 64;

/// A change of the log.
pub(super) enum WriteJob {
    Append { registry: u64, most: u64, appends: Vec<Append>, answer: Answer<Vec<Appended>, AppendError> },
    Acknowledge { acknowledges: Vec<Acknowledge>, answer: Answer<Vec<Acknowledged>> },
    Heartbeat { heartbeat: HostHeartbeat, answer: Answer<Vec<OwnedPartition>> },
    Register { capability: String, partitions: u32, subscriptions: Vec<(String, Subscription)>, answer: Answer<()> },
    Unsubscribe { event: String, capability: String, answer: Answer<bool> },
    Retire { capability: String, answer: Answer<Retired> },
    Raise { partition: Partition, appended: u64, answer: Answer<()> },
    Forget { capability: String, letters: Vec<(String, Bytes)>, answer: Answer<u64> },
}

/// The answer to a job, which is sent once the job is stored.
pub(super) struct Answer<T, E = LogError> {
    way: oneshot::Sender<Result<T, E>>,
    text: Option<Result<T, E>>,
}

impl<T, E: From<AppendError>> Answer<T, E> {
    /// An answer, and the receiver of it.
    pub fn new() -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (way, arrives) = oneshot::channel();
        (Self { way, text: None }, arrives)
    }

    /// Whether the sender of the job has gone away.
    pub fn is_abandoned(&self) -> bool {
        self.way.is_closed()
    }

    /// Sets the answer for the case that the job is stored.
    pub fn set(&mut self, text: Result<T, E>) {
        self.text = Some(text);
    }

    fn give(self, outcome: &Result<(), AppendError>) {
        let text = match (self.text, outcome) {
            // The job has changed nothing, so that the outcome of the group does not matter.
            (Some(Err(e)), _) => Err(e),
            (_, Err(e)) => Err(e.clone().into()),
            (Some(Ok(text)), Ok(())) => Ok(text),
            (None, Ok(())) => Err(AppendError::NotStored("nobody waited for it".into()).into()),
        };
        // A sender that has gone away needs no answer.
        let _ = self.way.send(text);
    }
}

impl WriteJob {
    /// Its approximate size in bytes.
    pub fn bytes(&self) -> usize {
        let messages: usize = match self {
            Self::Append { appends, .. } => appends.iter().map(|append| OWN_BYTES + append.batch.len()).sum(),
            Self::Acknowledge { acknowledges, .. } => {
                let dead = acknowledges.iter().flat_map(|a| &a.dead).map(|(_, letter)| OWN_BYTES + letter.len());
                dead.sum::<usize>()
                    + acknowledges
                        .iter()
                        .map(|a| (a.positions.len() + a.foreign.len()) * size_of::<u64>())
                        .sum::<usize>()
            }
            Self::Forget { letters, .. } => letters.iter().map(|(_, letter)| OWN_BYTES + letter.len()).sum(),
            _ => 0,
        };
        OWN_BYTES + messages
    }

    /// Answers the job; `outcome` is that of its whole group.
    pub fn finish(self, outcome: &Result<(), AppendError>) {
        match self {
            Self::Append { answer, .. } => answer.give(outcome),
            Self::Acknowledge { answer, .. } => answer.give(outcome),
            Self::Heartbeat { answer, .. } => answer.give(outcome),
            Self::Register { answer, .. } => answer.give(outcome),
            Self::Unsubscribe { answer, .. } => answer.give(outcome),
            Self::Retire { answer, .. } => answer.give(outcome),
            Self::Raise { answer, .. } => answer.give(outcome),
            Self::Forget { answer, .. } => answer.give(outcome),
        }
    }
}
