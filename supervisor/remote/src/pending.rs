//! The asks of this node that other nodes have not answered yet.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use essaim_base::idhash::IdHasher;
use essaim_base::lock::Mutex;
use essaim_base::slot::Slot;
use essaim_contract::{AskError, Unknown};
use essaim_protocol::frame::RawAnswer;

#[derive(Default)]
pub struct PendingAsks {
    /// By ask id.
    asks: Mutex<HashMap<u64, PendingAsk, BuildHasherDefault<IdHasher>>>,
}

struct PendingAsk {
    node: Arc<str>,
    epoch: u64,
    /// The capability of an idempotent ask; `None` if the ask may not be repeated.
    idempotent_for: Option<Cow<'static, str>>,
    slot: Arc<Slot<RawAnswer>>,
}

/// Guard of a pending ask; dropping it forgets the ask.
pub struct PendingAskGuard<'a> {
    pending: &'a PendingAsks,
    id: u64,
}

impl PendingAsks {
    /// Registers an ask to a node of this epoch; `idempotent_for` is the capability of an ask that may be repeated.
    pub fn add(
        &self,
        id: u64,
        (node, epoch): (&Arc<str>, u64),
        idempotent_for: Option<Cow<'static, str>>,
        slot: Arc<Slot<RawAnswer>>,
    ) -> PendingAskGuard<'_> {
        let ask = PendingAsk { node: node.clone(), epoch, idempotent_for, slot };
        let known = self.asks.lock().insert(id, ask);
        debug_assert!(known.is_none(), "ids are unique in this epoch");
        PendingAskGuard { pending: self, id }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.asks.lock().len()
    }

    /// Answers the ask of this id, if it is still pending and was sent to that node.
    pub fn answer(&self, id: u64, node: &str, answer: RawAnswer) {
        let slot = {
            let asks = self.asks.lock();
            asks.get(&id).filter(|ask| &*ask.node == node).map(|ask| ask.slot.clone())
        };
        if let Some(slot) = slot {
            slot.answer(answer);
        }
    }

    /// Ends all asks on the wire after the wire was lost: each may have run, or its answer may be lost.
    pub fn fail_all_as_wire_lost(&self) {
        self.fail(|_| true, |node| Unknown::WireLost { node });
    }

    /// Ends the asks to those epochs of a node that are dead.
    pub fn fail_lost_epochs(&self, node: &str, before_epoch: u64) {
        self.fail(|ask| &*ask.node == node && ask.epoch < before_epoch, |node| Unknown::NodeLost { node });
    }

    /// Ends the idempotent asks to a silent node whose capability another node can answer. All other asks keep their
    /// deadlines, since the node may only be slow.
    pub fn fail_silent_node(&self, node: &str, is_reachable: impl Fn(&str) -> bool) {
        let repeated =
            |ask: &PendingAsk| &*ask.node == node && ask.idempotent_for.as_deref().is_some_and(&is_reachable);
        self.fail(repeated, |node| Unknown::NoAnswer { node });
    }

    /// Ends the idempotent asks to a node that has lost its connection and has another one: the asks, or their answers, may
    /// be lost. All other asks go on waiting, since an answer may still come.
    pub fn fail_reconnected_node(&self, node: &str) {
        self.fail(|ask| &*ask.node == node && ask.idempotent_for.is_some(), |node| Unknown::WireLost { node });
    }

    /// Ends the matching asks that were handed to the wire; those in the queue surely did not run and stay there.
    fn fail(&self, matches: impl Fn(&PendingAsk) -> bool, why: impl Fn(String) -> Unknown) {
        let failed: Vec<_> = {
            let asks = self.asks.lock();
            let on_the_wire = asks.values().filter(|ask| matches(ask) && ask.slot.has_begun());
            on_the_wire.map(|ask| (ask.slot.clone(), ask.node.to_string())).collect()
        };
        for (slot, node) in failed {
            slot.answer(Err(AskError::Unknown(why(node))));
        }
    }
}

impl Drop for PendingAskGuard<'_> {
    fn drop(&mut self) {
        let ask = self.pending.asks.lock().remove(&self.id);
        debug_assert!(ask.is_some(), "an ask is pending until its guard is dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_wire_ends_what_was_handed_over_and_spares_what_still_waits() {
        let pending = PendingAsks::default();
        let (sent, queued) = (Arc::new(Slot::new()), Arc::new(Slot::new()));
        let _a = pending.add(1, (&"n".into(), 1), None, sent.clone());
        let _b = pending.add(2, (&"n".into(), 1), None, queued.clone());
        sent.begin();
        pending.fail_all_as_wire_lost();
        assert_eq!(sent.answered().await, Err(AskError::Unknown(Unknown::WireLost { node: "n".into() })));
        assert!(!queued.is_settled());
    }

    #[tokio::test]
    async fn idempotent_asks_do_not_wait_for_a_silent_node_if_another_hosts_the_capability() {
        let pending = PendingAsks::default();
        let [read, write, lonely] = [(); 3].map(|()| Arc::new(Slot::new()));
        let _read = pending.add(1, (&"n".into(), 1), Some("shared".into()), read.clone());
        let _write = pending.add(2, (&"n".into(), 1), None, write.clone());
        let _lonely = pending.add(3, (&"n".into(), 1), Some("lonely".into()), lonely.clone());
        for slot in [&read, &write, &lonely] {
            slot.begin();
        }
        pending.fail_silent_node("other", |_| true);
        assert!(!read.is_settled());
        pending.fail_silent_node("n", |capability| capability == "shared");
        assert_eq!(read.answered().await, Err(AskError::Unknown(Unknown::NoAnswer { node: "n".into() })));
        assert!(!write.is_settled() && !lonely.is_settled());
        pending.fail_reconnected_node("n");
        assert_eq!(lonely.answered().await, Err(AskError::Unknown(Unknown::WireLost { node: "n".into() })));
        assert!(!write.is_settled());
    }

    #[test]
    fn an_answer_from_another_node_is_not_taken() {
        let pending = PendingAsks::default();
        let slot = Arc::new(Slot::new());
        let _entry = pending.add(1, (&"n".into(), 1), None, slot.clone());
        pending.answer(1, "impostor", Ok(vec![]));
        assert!(!slot.is_settled());
        pending.answer(1, "n", Ok(vec![]));
        assert!(slot.is_settled());
    }
}
