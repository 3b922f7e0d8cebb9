//! Copies of one message that are under way in this node at once.
//!
//! Of several copies one alone has an effect: the database sees to that, in the transaction of each (`store/tables/inbox`).
//! But on SQLite the transactions of many share a commit, and what the runtime writes with them is written for all together.
//! So a copy that is not the only one, or was not since it came, is marked by itself, before anybody shares its commit: then
//! the neighbours of one that comes too late do not notice. SQLite has one host, so a node knows of all copies.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use essaim_base::lock::{Mutex, MutexGuard};
use essaim_contract::MessageId;

/// The messages of one capability that are under way in this node.
#[derive(Debug, Default)]
pub struct Copies(Mutex<HashMap<MessageId, UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    copies: usize,
    contested: Arc<AtomicBool>,
}

/// A copy that is under way until this is dropped.
#[derive(Debug)]
pub struct OneCopy {
    id: MessageId,
    contested: Arc<AtomicBool>,
    all: Arc<Copies>,
}

impl Copies {
    /// A message is under way from now on.
    pub fn enter(self: &Arc<Self>, id: &MessageId) -> OneCopy {
        let mut all = self.lock();
        let of_id = all.entry(id.clone()).or_default();
        of_id.copies += 1;
        if of_id.copies > 1 {
            of_id.contested.store(true, Ordering::Release);
        }
        OneCopy { id: id.clone(), contested: of_id.contested.clone(), all: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, UnderWay>> {
        self.0.lock()
    }
}

impl OneCopy {
    /// Whether another copy is, or was, under way beside it.
    #[inline]
    pub fn is_contested(&self) -> bool {
        self.contested.load(Ordering::Acquire)
    }
}

impl Drop for OneCopy {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        debug_assert!(all.contains_key(&self.id), "a copy that is under way is counted");
        if let Some(of_id) = all.get_mut(&self.id) {
            of_id.copies -= 1;
            if of_id.copies == 0 {
                all.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_know_of_each_other_for_as_long_as_any_of_them_is_under_way() {
        let (all, id) = (Arc::<Copies>::default(), MessageId::planned("m", 1).unwrap());
        let (first, other) = (all.enter(&id), all.enter(&MessageId::planned("m", 2).unwrap()));
        assert!(!first.is_contested());
        let second = all.enter(&id);
        assert!(first.is_contested() && second.is_contested() && !other.is_contested());
        drop(first);
        assert!(second.is_contested(), "the first may have been applied since it came");
        drop((second, other));
        assert!(!all.enter(&id).is_contested());
        assert!(all.lock().is_empty());
    }
}
