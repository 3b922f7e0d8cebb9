//! The ports for what operators, probes and the runtime itself ask of a node. What answers them stands above the node and is
//! handed over at its start.

use std::io;
use std::path::Path;
use std::sync::Arc;

use essaim_base::call::Call;
use essaim_base::task::Tasks;
use essaim_config::Settings;
use essaim_contract::NotDelivered;
use essaim_protocol::frame::RawAnswer;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use crate::node::bus::Bus;

/// The runtime's own asks, which a node answers on its own thread, however busy its actors are.
pub trait SystemAsks: Send + Sync {
    /// The wire names of those that the host of a capability answers; heartbeats declare them.
    fn names_of(&self, capability: &str) -> Vec<String>;

    /// Whether an ask of this name is the runtime's own.
    fn takes(&self, name: &str) -> bool;

    /// Answers an ask whose name it takes. The answer is awaited on the calling thread.
    ///
    /// # Errors
    /// Why the ask is not taken.
    fn answer(
        &self,
        bus: Arc<Bus>,
        name: &str,
        body: &[u8],
        call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered>;

    /// Begins what the node does for operators as long as it lives, once it has joined the others.
    fn begin(&self, bus: &Arc<Bus>);

    /// Ends it while others can still be asked: all asks of theirs are answered, and they will not be heard any more.
    fn leave<'a>(&'a self, bus: &'a Arc<Bus>) -> LocalBoxFuture<'a, ()>;

    /// How the node is, and how it hears the others, as `/status` shows it.
    fn status(&self, bus: Arc<Bus>) -> LocalBoxFuture<'static, Value>;
}

/// What listens for operators and probes.
pub trait OperatorListeners: Send + Sync {
    /// Begins to listen where the configuration says so, if it does.
    ///
    /// # Errors
    /// If the address cannot be listened at.
    fn listen(&self, settings: &Settings, tasks: &Tasks, bus: &JoinedBus) -> io::Result<Option<Box<dyn Listener>>>;

    /// Begins to listen at a socket that only this process's user may open.
    ///
    /// # Errors
    /// If there can be no socket of that name.
    fn listen_at_socket(&self, tasks: &Tasks, bus: &JoinedBus, path: &Path) -> io::Result<Box<dyn Listener>>;
}

/// A listener that can be stopped.
pub trait Listener {
    /// Lets it answer what it has taken, and ends it.
    fn stop(&self) -> LocalBoxFuture<'static, ()>;
}

/// The bus, once the node has joined. Until then the node is alive and not ready, and answers no operator.
pub type JoinedBus = watch::Receiver<Option<Arc<Bus>>>;

/// What a node is handed over for its operators.
#[derive(Clone)]
pub struct Operators {
    pub asks: Arc<dyn SystemAsks>,
    pub listeners: Arc<dyn OperatorListeners>,
}

/// Nothing of the runtime's own is answered.
#[cfg(test)]
pub struct NoAsks;

#[cfg(test)]
impl SystemAsks for NoAsks {
    fn names_of(&self, _capability: &str) -> Vec<String> {
        Vec::new()
    }

    fn takes(&self, _name: &str) -> bool {
        false
    }

    fn answer(
        &self,
        _bus: Arc<Bus>,
        name: &str,
        _body: &[u8],
        _call: Call,
    ) -> Result<LocalBoxFuture<'static, RawAnswer>, NotDelivered> {
        Err(NotDelivered::Unsupported { message: name.to_string() })
    }

    fn begin(&self, _bus: &Arc<Bus>) {}

    fn leave<'a>(&'a self, _bus: &'a Arc<Bus>) -> LocalBoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn status(&self, _bus: Arc<Bus>) -> LocalBoxFuture<'static, Value> {
        Box::pin(async { Value::Null })
    }
}
