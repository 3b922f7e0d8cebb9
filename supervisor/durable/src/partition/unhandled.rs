//! Messages that this version does not handle, while another version does: their partitions go where they are handled.

use std::collections::HashMap;

use essaim_base::lock::{Mutex, MutexGuard};
use essaim_protocol::log::OwnedPartition;

/// For each partition the message that its owner found no handler of, if one was.
#[derive(Default)]
pub struct UnhandledMessages(Mutex<HashMap<u32, UnhandledMessage>>);

struct UnhandledMessage {
    message: String,
    /// The log has answered that no other live host handles it either.
    nowhere: bool,
}

impl UnhandledMessages {
    /// Whether it is known that no live host handles a message. The log is asked with the next heartbeat.
    pub fn is_handled_nowhere(&self, partition: u32, message: &str) -> bool {
        let mut all = self.lock();
        let asked =
            all.entry(partition).or_insert_with(|| UnhandledMessage { message: message.into(), nowhere: false });
        if asked.message != message && asked.nowhere {
            *asked = UnhandledMessage { message: message.into(), nowhere: false };
        }
        asked.nowhere && asked.message == message
    }

    /// What the log is to be asked.
    pub fn list(&self) -> Vec<(u32, String)> {
        self.lock().iter().map(|(partition, unhandled)| (*partition, unhandled.message.clone())).collect()
    }

    /// What the log has answered to what was asked: a partition that another host handles better is wanted.
    pub fn answered(&self, asked: &[(u32, String)], owned: &[OwnedPartition]) {
        let mut all = self.lock();
        for (number, message) in asked {
            let Some(own) = owned.iter().find(|owned| owned.number == *number) else { continue };
            if let Some(unhandled) = all.get_mut(number).filter(|unhandled| unhandled.message == *message) {
                unhandled.nowhere = !own.wanted;
            }
        }
    }

    /// The partition has been given up.
    pub fn forget(&self, partition: u32) {
        self.lock().remove(&partition);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, UnhandledMessage>> {
        self.0.lock()
    }
}
