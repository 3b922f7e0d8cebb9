//! What an actor may do while it starts.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::Env;
use essaim_base::exit::Fatal;
use essaim_base::lock::Mutex;
use essaim_base::task::TaskName;
use essaim_contract::Never;
use essaim_near::Near;
use essaim_store::error::StoreError;
use essaim_store::tx_tracker::TxTracker;
use essaim_store::{Reads, TxError};

use crate::Fault;
use crate::api::client::Client;
use crate::api::startup::StartupWork;
use crate::api::tx::Tx;
use crate::node::context::CapabilityContext;

/// The context of [`Actor::share`](crate::Actor::share) and [`Actor::start`](crate::Actor::start).
pub struct Start {
    pub(crate) context: Arc<CapabilityContext>,
    pub(crate) timers: Arc<Mutex<Vec<(&'static str, Duration)>>>,
    /// Follows what this start writes.
    tracker: TxTracker,
}

/// What keeps a capability from starting; shown to its operator.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct StartError {
    reason: String,
    exit: Option<u8>,
}

impl StartError {
    /// An error with this explanation.
    pub fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), exit: None }
    }

    /// An error that trying again cannot mend: the node ends with this code, one of [`crate::exit`]'s.
    pub fn fatal(code: u8, reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), exit: Some(code) }
    }

    /// How the node must end, if trying again cannot mend it.
    pub(crate) fn as_fatal(&self) -> Option<Fatal> {
        self.exit.map(|code| Fatal::new(code, self.reason.clone()))
    }
}

impl From<sea_orm::DbErr> for StartError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::new(format_args!("the database: {error}"))
    }
}

impl From<TxError> for StartError {
    fn from(error: TxError) -> Self {
        Self::new(format_args!("the database: {error}"))
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

impl<E: std::fmt::Display> From<Fault<E>> for StartError {
    fn from(fault: Fault<E>) -> Self {
        match fault {
            Fault::Rejected(e) => Self::new(e),
            Fault::Failed(e) => Self::new(e),
            Fault::Unknown(e) => Self::new(e),
        }
    }
}

impl Start {
    pub(crate) fn new(context: Arc<CapabilityContext>, timers: Arc<Mutex<Vec<(&'static str, Duration)>>>) -> Self {
        Self { context, timers, tracker: TxTracker::default() }
    }

    /// What a start has built, once everything is certain that its transactions have read. Success with writes that are
    /// lost is a failure.
    pub(crate) async fn certain<T>(&self, built: Result<T, StartError>) -> Result<T, StartError> {
        let built = built?;
        self.tracker.reads_committed().await.map_err(StoreError::into_exec_error)?;
        self.tracker.confirm().map_err(Fault::<Never>::from)?;
        Ok(built)
    }

    /// Begins a transaction of the capability's database.
    ///
    /// # Errors
    /// If the capability declares no schema, or the database is not there.
    pub async fn begin(&mut self) -> Result<Tx<'_>, TxError> {
        let database = self.context.database.as_ref().ok_or(TxError::NoDatabase)?;
        Ok(Tx::new(database.begin_for(None, self.tracker.clone()).await?, None, self.context.near()))
    }

    /// The capability's database, for reads outside a transaction.
    ///
    /// # Panics
    /// If the capability declares no schema in [`Actor::schema`](crate::Actor::schema).
    pub fn db(&self) -> &Reads {
        self.context.database.as_ref().expect("Actor::schema declares the capability's tables").reads()
    }

    /// Calls [`Actor::tick`](crate::Actor::tick) now and then every `period`, in one instance of this node; for
    /// [`Actor::share`](crate::Actor::share).
    pub fn every(&mut self, timer: &'static str, period: Duration) {
        let mut timers = self.timers.lock();
        timers.retain(|(name, _)| *name != timer);
        timers.push((timer, period));
    }

    /// Runs a long computation away from the arbiters.
    ///
    /// # Errors
    /// If the computation panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StartError> {
        self.context.blocking.run::<T, Never>(work).await.map_err(Into::into)
    }

    /// Runs a task that the capability cannot do without, such as a server, on this thread. If it panics, or ends with a
    /// reason, which people read as its last words, the node ends.
    pub fn task(&self, name: &'static str, work: impl Future<Output = Result<(), String>> + 'static) {
        self.context.bus.tasks.vital(TaskName::of(name, &self.context.capability), work);
    }

    /// Begins work that the capability has to do once it is up and before others should use it, such as making its first
    /// account. Until it is done, or dropped, this node is not ready and other nodes do not ask the capability here; for
    /// [`Actor::share`](crate::Actor::share), whose timers can do it.
    pub fn startup_work(&self, name: &'static str) -> StartupWork {
        self.context.startup.begin(name)
    }

    /// A client for callers outside handlers. That of an actor which answers messages asks only whom the actor declares in
    /// [`Actor::ASKS`](crate::Actor::ASKS): handlers could use it, too. An actor that nobody can ask, such as a server of
    /// HTTP routes, may ask everybody.
    pub fn client(&self) -> Client {
        let CapabilityContext { bus, capability, asks, is_asked, .. } = &*self.context;
        match is_asked {
            true => Client::of_actor(bus.clone(), capability.clone(), asks),
            false => Client::new(bus.clone()),
        }
    }

    /// A value that the roster provides.
    pub fn provided<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.context.provided.get()
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.context.bus.settings.node.name
    }

    /// The runtime's settings.
    pub fn settings(&self) -> &essaim_config::Settings {
        &self.context.bus.settings
    }

    /// The clock, ids and randomness.
    pub fn env(&self) -> &Env {
        self.context.env()
    }

    /// This node's near cache.
    pub fn near(&self) -> &Near {
        self.context.near()
    }
}
