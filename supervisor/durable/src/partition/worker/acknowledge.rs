//! What the log is told: which entries are done with, the fate of their messages where that is counted there, and how
//! many wait in the database.

use std::sync::atomic::Ordering;

use essaim_base::crash;
use essaim_protocol::log::{Acknowledge, Acknowledged, Entry, Partition, Position};
use futures_util::future::LocalBoxFuture;

use super::Worker;
use crate::partition::no_database::LogReport;
use crate::partition::queue::LogMessage;

/// How often a worker that stops tries to acknowledge what it has done.
const TRIES_WHILE_STOPPING: u32 = 5;

/// An entry that is not done with.
#[derive(Default)]
pub(super) struct OpenEntry {
    /// Messages of it that are not.
    pub left: u32,
    /// What is told with its acknowledgement: about messages that could not be read.
    pub report: LogReport,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    Done,
    Fenced,
}

impl Worker {
    /// Whether the log is to be told anything.
    pub(super) fn has_news(&self) -> bool {
        let untold = self.owner.store.is_some() && self.reported != Some(self.queue.stored());
        self.has_done() || (untold && !self.owner.is_stopping())
    }

    /// Whether entries are to be acknowledged.
    pub(super) fn has_done(&self) -> bool {
        !self.done.is_empty() || !self.foreign.is_empty()
    }

    /// An entry that no log of ours has written is a dead letter of the log: nobody knows what it was to be.
    pub(super) fn bury_foreign(&mut self, entry: &Entry) {
        let Partition { capability, number } = &self.owner.partition;
        let Position(major, minor) = entry.position;
        tracing::error!(
            %capability, partition = number, entry = format!("{major}-{minor}"),
            "an entry of the log was not written by a node: it is a dead letter now, see `essaim dead list --reason unreadable`"
        );
        self.in_flight.done(entry.count as usize);
        self.report.dead.push((format!("foreign-{capability}-{number}/{major}-{minor}"), entry.batch.clone()));
        self.report.tally.dead += 1;
        self.foreign.push(entry.position);
    }

    /// A message from the log needs the log no more.
    pub(super) fn finished(&mut self, message: &LogMessage) {
        if !self.deferred.remove(&message.offset) {
            self.in_flight.done(1);
        }
        if let Some(store) = &self.owner.store {
            store.remembered.fetch_add(1, Ordering::Relaxed);
        }
        let Some(open) = self.entries.get_mut(&message.position) else {
            return debug_assert!(false, "an entry is open until all its messages are done");
        };
        open.left -= 1;
        if open.left == 0
            && let Some(open) = self.entries.remove(&message.position)
        {
            self.close(message.position, open);
        }
    }

    /// Nothing of an entry is left to be done.
    pub(super) fn close(&mut self, position: Position, open: OpenEntry) {
        self.done.push(position);
        self.report.add(open.report);
    }

    /// Acknowledges what is done, again and again until the log answers.
    pub(super) fn acknowledge(&mut self) -> LocalBoxFuture<'static, Acknowledgement> {
        let LogReport { tally, dead } = std::mem::take(&mut self.report);
        let acknowledge = Acknowledge {
            partition: self.owner.partition.clone(),
            epoch: self.owner.epoch,
            positions: std::mem::take(&mut self.done),
            foreign: std::mem::take(&mut self.foreign),
            tally,
            dead,
            parked: self.queue.stored(),
        };
        self.reported = Some(acknowledge.parked);
        let (log, owner) = (self.log.clone(), self.owner.clone());
        Box::pin(async move {
            let mut tries = 0;
            crash::point("worker.before-acknowledge");
            loop {
                match log.acknowledge(std::slice::from_ref(&acknowledge)).await {
                    Ok(answers) if answers.first() == Some(&Acknowledged::Fenced) => return Acknowledgement::Fenced,
                    Ok(_) => {
                        crash::point("worker.after-acknowledge");
                        return Acknowledgement::Done;
                    }
                    Err(error) => {
                        tries += 1;
                        tracing::debug!(%error, "what is done could not be acknowledged yet");
                        // The next owner of the partition gets it again, and finds it in the inbox.
                        if owner.is_stopping() && tries > TRIES_WHILE_STOPPING {
                            return Acknowledgement::Fenced;
                        }
                        owner.pause(tries).await;
                    }
                }
            }
        })
    }
}
