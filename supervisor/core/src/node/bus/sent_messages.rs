//! What is known of the message types that this node sends: their wire names, each formatted once, and how many asks were not
//! delivered.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use essaim_base::idhash::IdHasher;
use essaim_base::lock::RwLock;
use essaim_contract::{Capability, Message, wire_name};

/// By message type. Bounded by the binary's message types.
#[derive(Default)]
pub(super) struct SentMessages(RwLock<HashMap<TypeId, Arc<SentMessage>, BuildHasherDefault<IdHasher>>>);

struct SentMessage {
    capability: &'static str,
    name: Arc<str>,
    not_delivered: AtomicU64,
}

impl SentMessages {
    pub fn name<M: Message>(&self) -> Arc<str> {
        self.of::<M>().name.clone()
    }

    pub fn count_not_delivered<M: Message>(&self) {
        self.of::<M>().not_delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Capability and name of each message type, and how many of its asks were not delivered.
    pub fn not_delivered(&self) -> Vec<(&'static str, Arc<str>, u64)> {
        let told =
            |sent: &Arc<SentMessage>| (sent.capability, sent.name.clone(), sent.not_delivered.load(Ordering::Relaxed));
        self.0.read().values().map(told).collect()
    }

    fn of<M: Message>(&self) -> Arc<SentMessage> {
        let known = self.0.read().get(&TypeId::of::<M>()).cloned();
        known.unwrap_or_else(|| {
            let (capability, name) = (<M::To as Capability>::NAME, wire_name::<M>().into());
            let new = || Arc::new(SentMessage { capability, name, not_delivered: AtomicU64::new(0) });
            self.0.write().entry(TypeId::of::<M>()).or_insert_with(new).clone()
        })
    }
}
