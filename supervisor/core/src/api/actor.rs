//! What a developer implements: an actor, and a handler for each message of its contract.

use std::future::Future;

use essaim_config::ConfigError;
use essaim_contract::{Ask, Broadcast, Capability, Message};
use essaim_store::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Cx, Fault, Handles, Start, StartError};

/// The implementation of a capability.
///
/// An instance handles one message at a time, so its state needs no lock. A node runs `instances` of them; what they
/// have in common (pools, keys, caches) is [`Actor::Shared`]. After a panic, a handler that was dropped at its
/// deadline or a failed commit the instance's state may be half changed: it is thrown away and built anew by
/// [`Actor::start`].
pub trait Actor: Sized + 'static {
    /// The capability that the actor implements.
    type Capability: Capability;
    /// The section of the configuration that bears the capability's name. Every key has a default; an unknown key is
    /// an error when `#[serde(default, deny_unknown_fields)]` stands on the type.
    type Settings: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static;
    /// What the instances of one node share. `()` where they share nothing.
    type Shared: Send + Sync + 'static;

    /// The capabilities that the handlers may ask. The graph of all of them must have no cycle, so that asks cannot
    /// wait for each other; the way back up is a command or an event.
    const ASKS: &'static [&'static str] = &[];

    /// The tables the capability owns; `None` where it keeps nothing.
    fn schema() -> Option<Schema> {
        None
    }

    /// Checks what the types of the settings do not: ranges, and what must fit together. `essaim check` calls it, and
    /// every command that starts a node does before anything is started.
    ///
    /// # Errors
    /// What is wrong, in one line that names the key.
    fn check(settings: &Self::Settings) -> Result<(), ConfigError> {
        let _ = settings;
        Ok(())
    }

    /// Builds what the instances of this node share; once a node, after the migrations.
    ///
    /// # Errors
    /// What keeps the capability from starting. It is logged and tried again with backoff, and no other capability
    /// waits for it. `Ok` with a transaction left open, or after a commit that failed, is such an error, too.
    fn share(settings: Self::Settings, start: &mut Start) -> impl Future<Output = Result<Self::Shared, StartError>>;

    /// Builds the state of one instance.
    ///
    /// # Errors
    /// As for [`Actor::share`].
    fn start(shared: &Self::Shared, start: &mut Start) -> impl Future<Output = Result<Self, StartError>>;

    /// Names the messages that the actor handles: `h.ask::<PlaceOrder>().ask::<CancelOrder>()`.
    fn handles(h: &mut Handles<Self>);

    /// Runs when a timer declared in [`Actor::handles`] is due, in one instance of each node.
    ///
    /// # Errors
    /// What went wrong; it is logged, and the timer goes on.
    fn tick(&mut self, timer: &'static str, cx: &mut Cx) -> impl Future<Output = Result<(), Fault>> {
        let _ = (timer, cx);
        async { Ok(()) }
    }

    /// Runs once a node when it drains, before the capability's last messages are waited for.
    fn drain(shared: &Self::Shared) -> impl Future<Output = ()> {
        let _ = shared;
        async {}
    }

    /// Figures for `/status`, as a JSON object; `null` where there are none.
    fn status(shared: &Self::Shared) -> serde_json::Value {
        let _ = shared;
        serde_json::Value::Null
    }
}

/// How an actor answers one message of its contract.
pub trait Handle<M: Ask>: Actor {
    /// Answers the message.
    ///
    /// # Errors
    /// [`reject`](crate::reject) says no; anything that `?` meets is a failure.
    fn handle(&mut self, message: M, cx: &mut Cx) -> impl Future<Output = Result<M::Reply, Fault<M::Error>>>;
}

/// How an actor applies a durable message: a command to it, or an event that it subscribes to.
///
/// The handler works in one transaction of the capability's database ([`Cx::begin`], committed at most once). The runtime
/// writes with it that the message is applied and what the handler sends, so a message that comes again has no second
/// effect. A handler that ends well without a transaction is applied too. Without a database nothing remembers what was
/// applied: after a crash the message comes again.
pub trait Apply<M: Message>: Actor {
    /// Applies the message.
    ///
    /// # Errors
    /// [`reject`](crate::reject) makes it a dead letter at once; anything that `?` meets is a failure, after which it is
    /// tried again, up to `durable.attempts` times.
    fn apply(&mut self, message: M, cx: &mut Cx) -> impl Future<Output = Result<(), Fault<String>>>;
}

/// How an actor takes note of a broadcast; in one instance of each node that hosts it.
pub trait Hear<S: Broadcast>: Actor {
    /// Takes note.
    fn hear(&mut self, message: S, cx: &mut Cx) -> impl Future<Output = ()>;
}
