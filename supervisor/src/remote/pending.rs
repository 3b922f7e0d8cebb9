//! The asks of this node that are with other nodes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, PoisonError};

use essaim_contract::{AskError, Unknown};
use serde_bytes::ByteBuf;

use crate::idhash::IdHasher;
use crate::slot::Slot;

/// An answer as it comes over the wire.
pub(crate) type RawAnswer = Result<Vec<u8>, AskError<ByteBuf>>;

#[derive(Default)]
pub(crate) struct Pending {
    asks: Mutex<HashMap<u64, Waiting, BuildHasherDefault<IdHasher>>>,
}

struct Waiting {
    node: Arc<str>,
    epoch: u64,
    /// The capability, if the ask may be repeated.
    repeatable: Option<Cow<'static, str>>,
    slot: Arc<Slot<RawAnswer>>,
}

/// An ask that waits; it is forgotten when this is dropped.
pub(crate) struct Entry<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Pending {
    /// Takes note of an ask to a node of this epoch; `repeatable` is its capability, if the ask may be repeated.
    pub fn add(
        &self,
        id: u64,
        (node, epoch): (&Arc<str>, u64),
        repeatable: Option<Cow<'static, str>>,
        slot: Arc<Slot<RawAnswer>>,
    ) -> Entry<'_> {
        let waiting = Waiting { node: node.clone(), epoch, repeatable, slot };
        self.asks.lock().unwrap_or_else(PoisonError::into_inner).insert(id, waiting);
        Entry { pending: self, id }
    }

    /// Gives an answer to the ask of this id, if it still waits and was asked of that node.
    pub fn answer(&self, id: u64, node: &str, answer: RawAnswer) {
        let slot = {
            let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
            asks.get(&id).filter(|w| &*w.node == node).map(|w| w.slot.clone())
        };
        if let Some(slot) = slot {
            slot.answer(answer);
        }
    }

    /// The wire was lost: whatever was handed over may have run, or its answer may be gone.
    pub fn wire_lost(&self) {
        self.end(|_| true, |node| Unknown::WireLost { node });
    }

    /// A node's earlier epoch is dead.
    pub fn node_lost(&self, node: &str, before_epoch: u64) {
        self.end(|w| &*w.node == node && w.epoch < before_epoch, |node| Unknown::NodeLost { node });
    }

    /// A node is silent: what may be repeated does not wait for it where somebody else can be asked for that capability.
    /// All else keeps its deadline, since the node may only be slow.
    pub fn node_silent(&self, node: &str, elsewhere: impl Fn(&str) -> bool) {
        let repeated = |w: &Waiting| &*w.node == node && w.repeatable.as_deref().is_some_and(&elsewhere);
        self.end(repeated, |node| Unknown::NoAnswer { node });
    }

    /// A node lost its connection and has another one: what was with it, or its answers, may be gone. What may be repeated
    /// is; for all else an answer may still come.
    pub fn node_cut_off(&self, node: &str) {
        self.end(|w| &*w.node == node && w.repeatable.is_some(), |node| Unknown::WireLost { node });
    }

    fn end(&self, which: impl Fn(&Waiting) -> bool, why: impl Fn(String) -> Unknown) {
        let ended: Vec<_> = {
            let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
            let running = asks.values().filter(|w| which(w) && w.slot.has_begun());
            running.map(|w| (w.slot.clone(), w.node.to_string())).collect()
        };
        for (slot, node) in ended {
            slot.answer(Err(AskError::Unknown(why(node))));
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.pending.asks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_wire_ends_what_was_handed_over_and_spares_what_still_waits() {
        let pending = Pending::default();
        let (sent, queued) = (Arc::new(Slot::new()), Arc::new(Slot::new()));
        let _a = pending.add(1, (&"n".into(), 1), None, sent.clone());
        let _b = pending.add(2, (&"n".into(), 1), None, queued.clone());
        sent.begin();
        pending.wire_lost();
        assert_eq!(sent.answered().await, Err(AskError::Unknown(Unknown::WireLost { node: "n".into() })));
        assert!(!queued.is_settled());
    }

    #[tokio::test]
    async fn what_may_be_repeated_does_not_wait_for_a_silent_node_if_somebody_else_can_be_asked() {
        let pending = Pending::default();
        let [read, write, lonely] = [(); 3].map(|()| Arc::new(Slot::new()));
        let _read = pending.add(1, (&"n".into(), 1), Some("shared".into()), read.clone());
        let _write = pending.add(2, (&"n".into(), 1), None, write.clone());
        let _lonely = pending.add(3, (&"n".into(), 1), Some("lonely".into()), lonely.clone());
        for slot in [&read, &write, &lonely] {
            slot.begin();
        }
        pending.node_silent("other", |_| true);
        assert!(!read.is_settled());
        pending.node_silent("n", |capability| capability == "shared");
        assert_eq!(read.answered().await, Err(AskError::Unknown(Unknown::NoAnswer { node: "n".into() })));
        assert!(!write.is_settled() && !lonely.is_settled());
        pending.node_cut_off("n");
        assert_eq!(lonely.answered().await, Err(AskError::Unknown(Unknown::WireLost { node: "n".into() })));
        assert!(!write.is_settled());
    }

    #[test]
    fn an_answer_from_another_node_is_not_taken() {
        let pending = Pending::default();
        let slot = Arc::new(Slot::new());
        let _entry = pending.add(1, (&"n".into(), 1), None, slot.clone());
        pending.answer(1, "impostor", Ok(vec![]));
        assert!(!slot.is_settled());
        pending.answer(1, "n", Ok(vec![]));
        assert!(slot.is_settled());
    }
}
