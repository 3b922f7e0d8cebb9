//! Capability context: what the contexts of one capability in one node share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use essaim_base::Env;
use essaim_contract::{Failure, FailureKind};
use essaim_durable::Outbox;
use essaim_near::Near;
use essaim_store::Database;
use tokio::sync::Semaphore;

use crate::Fault;
use crate::api::startup::Startup;
use crate::local::span::Observer;
use crate::node::bus::Bus;

pub struct CapabilityContext {
    pub capability: Arc<str>,
    pub asks: &'static [&'static str],
    /// Whether it answers asks or applies durable messages, so that other capabilities may wait for it.
    pub is_asked: bool,
    pub bus: Arc<Bus>,
    pub observer: Observer,
    pub startup: Startup,
    pub database: Option<Database>,
    /// Outbox of its database, if it has one and the node has a log.
    pub outbox: Option<Arc<Outbox>>,
    pub blocking: Blocking,
    pub provided: Arc<ProvidedValues>,
}

impl CapabilityContext {
    pub fn env(&self) -> &Env {
        &self.bus.env
    }

    pub fn near(&self) -> &Near {
        &self.bus.near
    }
}

/// Values that the roster provides to capabilities, by type.
#[derive(Default)]
pub struct ProvidedValues(pub HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl ProvidedValues {
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

/// Long computations, off the arbiters; a bounded number at a time in one node.
#[derive(Clone)]
pub struct Blocking(Arc<Semaphore>);

impl Blocking {
    pub fn at_most(computations: usize) -> Self {
        Self(Arc::new(Semaphore::new(computations)))
    }

    #[allow(clippy::disallowed_methods)] // This is the bound that the rule asks for.
    pub async fn run<T: Send + 'static, E>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault<E>> {
        let permit = self.0.clone().acquire_owned().await.map_err(crate::fail)?;
        let (span, message) = (tracing::Span::current(), essaim_base::activity::current());
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let _entered = message.map(|message| message.enter());
            span.in_scope(work)
        });
        task.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => {
                let detail = essaim_base::panic::panic_text(&*panic);
                Fault::Failed(Failure { kind: FailureKind::Panicked, detail })
            }
            Err(error) => crate::fail(error),
        })
    }
}
