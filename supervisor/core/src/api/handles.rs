//! Handler table of an actor: the messages it handles, and its schedules.

use std::sync::Arc;

use essaim_config::ConfigError;
use essaim_contract::{Ask, Broadcast, Command, Event, wire_name};
use essaim_durable::SubscribeOptions;
use essaim_durable::schedule::{DeclaredSchedule, Schedule, ScheduleError, Timetable};
use essaim_protocol::log::Beginning;

use crate::api::actor::{Actor, Apply, Handle, Hear};
use crate::local::handler::{AskEntry, BroadcastEntry, DurableEntry, HandlerEntry, TickEntry};

/// The messages that an actor handles; filled by [`Actor::handles`].
pub struct Handles<A: Actor> {
    pub(crate) entries: Vec<Arc<dyn HandlerEntry<A>>>,
    declared: Vec<DeclaredSchedule>,
    /// Events that are wanted from before, and that nobody keeps.
    unkept: Vec<String>,
}

impl<A: Actor> Handles<A> {
    /// The table of an actor.
    #[doc(hidden)]
    pub fn of_actor() -> Self {
        let tick = TickEntry::of(<A::Capability as essaim_contract::Capability>::NAME);
        let entries: Vec<Arc<dyn HandlerEntry<A>>> = vec![Arc::new(tick)];
        let mut handles = Self { entries, declared: Vec::new(), unkept: Vec::new() };
        A::handles(&mut handles);
        handles
    }

    /// The actor answers this ask.
    pub fn ask<M>(&mut self) -> &mut Self
    where
        M: Ask<To = A::Capability>,
        A: Handle<M>,
    {
        self.entries.push(Arc::new(AskEntry::<M>::of_type()));
        self
    }

    /// The actor takes note of this broadcast.
    pub fn broadcast<S>(&mut self) -> &mut Self
    where
        S: Broadcast,
        A: Hear<S>,
    {
        self.entries.push(Arc::new(BroadcastEntry::<S>::of_type()));
        self
    }

    /// The actor applies this command.
    pub fn command<M>(&mut self) -> &mut Self
    where
        M: Command<To = A::Capability>,
        A: Apply<M>,
    {
        self.entries.push(Arc::new(DurableEntry::<M>::of_command()));
        self
    }

    /// The actor subscribes to this event, of another capability or of its own. While as many messages wait for it as may,
    /// further ones wait in the publisher's database.
    pub fn event<E>(&mut self) -> &mut Self
    where
        E: Event,
        A: Apply<E>,
    {
        self.event_with::<E>(SubscribeOptions::new())
    }

    /// As [`Handles::event`], with options: what it begins with, how long an event waits, and what happens while as many
    /// messages wait for the capability as may.
    pub fn event_with<E>(&mut self, SubscribeOptions(subscription): SubscribeOptions) -> &mut Self
    where
        E: Event,
        A: Apply<E>,
    {
        if subscription.from == Beginning::EarliestRetained && E::RETAINED_HOURS == 0 {
            self.unkept.push(wire_name::<E>());
        }
        self.entries.push(Arc::new(DurableEntry::<E>::of_event(subscription)));
        self
    }

    /// That what is subscribed to can be had.
    #[doc(hidden)]
    pub fn check_subscriptions(&self) -> Result<(), ConfigError> {
        let capability = <A::Capability as essaim_contract::Capability>::NAME;
        let Some(event) = self.unkept.first() else { return Ok(()) };
        Err(ConfigError::new(format!(
            "`{capability}` wants the events `{event}` from before it subscribed, and nobody keeps them: set \
             Event::RETAINED_HOURS in their contract, or subscribe without `from_earliest_retained`"
        )))
    }

    /// The capability sends itself this command at set times, once in the whole cluster however many nodes host it. It needs
    /// a database, which remembers how far the schedule has come, and the actor applies the command: `h.command::<M>()`.
    pub fn schedule<M>(&mut self, schedule: Schedule, make: impl Fn() -> M + Send + Sync + 'static) -> &mut Self
    where
        M: Command<To = A::Capability>,
        A: Apply<M>,
    {
        self.declared.push(DeclaredSchedule::new(schedule, make));
        self
    }

    /// The schedules, checked.
    #[doc(hidden)]
    pub fn timetables(&self) -> Result<Vec<Timetable>, ConfigError> {
        let capability = <A::Capability as essaim_contract::Capability>::NAME;
        let mut timetables: Vec<Timetable> = Vec::with_capacity(self.declared.len());
        for declared in &self.declared {
            let wrong = |why: ScheduleError| {
                ConfigError::new(format!("`{capability}` cannot keep the schedule `{}`: {why}", declared.name()))
            };
            if A::schema().is_none() {
                return Err(wrong(ScheduleError::NoDatabase));
            }
            if !self.entries.iter().any(|e| **e.name() == *declared.message()) {
                return Err(wrong(ScheduleError::NotApplied(declared.message().into())));
            }
            if timetables.iter().any(|t| t.name() == declared.name()) {
                return Err(wrong(ScheduleError::NameTaken));
            }
            timetables.push(declared.read(capability).map_err(wrong)?);
        }
        Ok(timetables)
    }
}
