//! One actor alone, for the tests of whoever writes it: its own database, and stubs for what it asks.
//!
//! Everything runs on the test's own thread, so `#[tokio::test(start_paused = true)]` pauses the actor's time too.

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use essaim_contract::{Ask, AskError, Capability, Principal, wire_name};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::actor::Actor;
use crate::bus::AskResultOf;
use crate::client::Client;
use crate::config::{Config, SupervisionConfig};
use crate::handles::{EntryInfo, Kind};
use crate::host::{AskEnvelope, Host};
use crate::mailbox::{Enclosed, Stub};
use crate::roster::{Roster, name_of};
use crate::tree::Supervision;
use crate::{Env, Node};

/// A stage for one actor, being set.
pub struct Harness<A: Actor> {
    roster: Roster,
    config: Config,
    seed: u64,
    stubs: Vec<Arc<Host>>,
    directory: Option<Directory>,
    actor: std::marker::PhantomData<fn() -> A>,
}

/// One actor, running alone.
pub struct Stage<A: Actor> {
    local: LocalSet,
    node: Node,
    _directory: Option<Directory>,
    actor: std::marker::PhantomData<fn() -> A>,
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl<A: Actor> Harness<A> {
    /// A stage for an actor without a database.
    pub fn bare() -> Self {
        let mut config = Config::default();
        config.settings.node.arbiters = 1;
        config.settings.node.watchdog_ms = 0;
        Self {
            roster: Roster::new().host::<A>(),
            config,
            seed: 1,
            stubs: Vec::new(),
            directory: None,
            actor: std::marker::PhantomData,
        }
    }

    /// A stage with a SQLite database of its own, in a directory that goes with the test.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn sqlite() -> Self {
        let mut harness = Self::bare();
        let path = std::env::temp_dir().join(format!("essaim-harness-{}", Env::system().id()));
        std::fs::create_dir_all(&path).expect("a temporary directory can be made");
        harness.config.settings.node.data_dir = path.clone();
        harness.directory = Some(Directory(path));
        harness
    }

    /// The actor's settings; the defaults if it is not called.
    ///
    /// # Panics
    /// If the settings are not a table.
    pub fn settings(mut self, settings: A::Settings) -> Self {
        let section = toml::Value::try_from(settings).expect("settings are a table of plain values");
        self.config.set_section(name_of::<A>(), section);
        self
    }

    /// Changes the runtime's settings.
    pub fn runtime(mut self, change: impl FnOnce(&mut crate::config::Settings)) -> Self {
        change(&mut self.config.settings);
        self
    }

    /// Seeds ids and randomness.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Provides a value, as [`Roster::provide`] does.
    pub fn provide<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.roster = self.roster.provide(value);
        self
    }

    /// Answers an ask of the actor in place of the capability that it asks.
    pub fn stub<M: Ask>(
        mut self,
        answer: impl FnMut(M) -> Result<M::Reply, AskError<M::Error>> + Send + 'static,
    ) -> Self {
        let name: Arc<str> = <M::To as Capability>::NAME.into();
        let supervision =
            Supervision::new(name.clone(), SupervisionConfig::default(), Env::system(), watch::channel(None).0);
        supervision.started();
        let entry = EntryInfo {
            name: wire_name::<M>().into(),
            type_id: std::any::TypeId::of::<M>(),
            kind: Kind::Ask(|_, _, _, _| Ok(Box::pin(std::future::pending()))),
        };
        let host = Host::new(name, supervision, &[], vec![entry], 0, std::iter::once(0), u32::MAX);
        host.instances()[0].set_up(true);
        host.instances()[0].mailbox.stub(stub(answer));
        self.stubs.push(Arc::new(host));
        self
    }

    /// Starts the actor and waits until it is up.
    ///
    /// # Panics
    /// If the configuration is wrong.
    pub async fn start(self) -> Stage<A> {
        let local = LocalSet::new();
        // An ordinary day, so that tokens and ids made in tests look as they do in life.
        let env = Env::simulated(self.seed, Duration::from_secs(1_800_000_000));
        let node = local
            .run_until(async {
                let node = Node::start_beside(&self.roster, &[name_of::<A>()], self.config, env, self.stubs)
                    .await
                    .expect("the harness's configuration is right");
                node.up().await;
                node
            })
            .await;
        Stage { local, node, _directory: self.directory, actor: std::marker::PhantomData }
    }
}

impl<A: Actor> Stage<A> {
    /// Asks the actor.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<M: Ask<To = A::Capability>>(&self, message: M) -> AskResultOf<M> {
        self.local.run_until(self.node.client().ask(message)).await
    }

    /// Asks the actor on behalf of a principal.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_as<M: Ask<To = A::Capability>>(&self, principal: Principal, message: M) -> AskResultOf<M> {
        self.local.run_until(self.node.client().on_behalf_of(principal).ask(message)).await
    }

    /// Runs anything else that needs the actor to go on meanwhile.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        self.local.run_until(work).await
    }

    /// A client; what it returns must be awaited inside [`Stage::run`].
    pub fn client(&self) -> Client {
        self.node.client()
    }
}

/// Answers whatever is asked of a host that stands in for a capability.
fn stub<M: Ask>(answer: impl FnMut(M) -> Result<M::Reply, AskError<M::Error>> + Send + 'static) -> Stub {
    let answer = Mutex::new(answer);
    Box::new(move |delivery| {
        let envelope: Arc<dyn Any + Send + Sync> = delivery.envelope.clone();
        let Ok(envelope) = envelope.downcast::<AskEnvelope<M>>() else { return };
        if let Some(Enclosed { message, .. }) = envelope.begin() {
            let answer = (answer.lock().unwrap_or_else(PoisonError::into_inner))(message);
            envelope.answer(answer);
        }
    })
}

#[cfg(test)]
mod tests {
    use essaim_contract::{FailureKind, Message, Never, NotDelivered, Unknown};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Cx, Fault, Handle, Handles, Start, StartError, reject};

    struct Sums;
    impl Capability for Sums {
        const NAME: &'static str = "sums";
    }

    struct Rates;
    impl Capability for Rates {
        const NAME: &'static str = "rates";
    }

    #[derive(Serialize, Deserialize)]
    enum Add {
        Number(i64),
        Sleep(u64),
        Panic,
        No,
        Rate,
        Undeclared,
    }
    impl Message for Add {
        type To = Sums;
        const NAME: &'static str = "add";
        const VERSION: u16 = 1;
    }
    impl Ask for Add {
        type Reply = i64;
        type Error = String;
    }

    #[derive(Serialize, Deserialize)]
    struct Rate;
    impl Message for Rate {
        type To = Rates;
        const NAME: &'static str = "rate";
        const VERSION: u16 = 1;
    }
    impl Ask for Rate {
        type Reply = i64;
        type Error = Never;
    }

    struct SumsActor(i64);
    impl Actor for SumsActor {
        type Capability = Sums;
        type Settings = std::collections::BTreeMap<String, String>;
        type Shared = ();
        const ASKS: &'static [&'static str] = &["rates"];

        async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
            Ok(())
        }
        async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
            Ok(Self(0))
        }
        fn handles(h: &mut Handles<Self>) {
            h.ask::<Add>();
        }
    }
    impl Handle<Add> for SumsActor {
        async fn handle(&mut self, m: Add, cx: &mut Cx) -> Result<i64, Fault<String>> {
            match m {
                Add::Number(n) => self.0 += n,
                Add::Sleep(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Add::Panic => panic!("asked to"),
                Add::No => return Err(reject("no".into())),
                Add::Rate => self.0 *= cx.ask(Rate).await?,
                Add::Undeclared => return cx.ask(Add::Number(1)).await.map_err(Into::into),
            }
            Ok(self.0)
        }
    }

    async fn sums() -> Stage<SumsActor> {
        let one = |s: &mut crate::config::Settings| {
            s.capabilities.entry("sums".into()).or_default().mailbox = 2;
        };
        Harness::bare().stub::<Rate>(|_| Ok(10)).runtime(one).start().await
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_keeps_its_state_between_messages() {
        let t = sums().await;
        t.ask(Add::Number(2)).await.unwrap();
        assert_eq!(t.ask(Add::Number(3)).await, Ok(5));
        assert_eq!(t.ask(Add::Rate).await, Ok(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejection_is_the_actors_own_word() {
        let t = sums().await;
        assert_eq!(t.ask(Add::No).await, Err(AskError::Rejected("no".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_and_the_state_is_built_anew() {
        let t = sums().await;
        t.ask(Add::Number(2)).await.unwrap();
        let Err(AskError::Failed(failure)) = t.ask(Add::Panic).await else { panic!("a panic is a failure") };
        assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::Panicked, "asked to"));
        assert_eq!(t.ask(Add::Number(3)).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_ask_that_is_not_declared_is_refused_with_its_chain() {
        let t = sums().await;
        let Err(AskError::Failed(failure)) = t.ask(Add::Undeclared).await else { panic!("refused") };
        assert!(failure.detail.contains("sums -> sums"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_tells_running_from_waiting_and_drops_the_state() {
        let t = sums().await;
        t.ask(Add::Number(1)).await.unwrap();
        let (running, waiting) = t
            .run(async {
                let client = t.client().within(Duration::from_millis(100));
                tokio::join!(client.ask(Add::Sleep(1_000)), async {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    client.clone().within(Duration::from_millis(50)).ask(Add::Number(1)).await
                })
            })
            .await;
        assert_eq!(waiting, Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1 })));
        assert!(matches!(running, Err(AskError::Unknown(Unknown::TimedOut { .. }))), "{running:?}");
        t.run(tokio::time::sleep(Duration::from_millis(1))).await; // The handler's own timer drops it.
        assert_eq!(t.ask(Add::Number(1)).await, Ok(1), "the state of a dropped handler is built anew");
    }

    #[tokio::test(start_paused = true)]
    async fn more_messages_than_the_mailbox_takes_are_refused_at_once() {
        let t = sums().await;
        let client = t.client();
        let (_, _, third) = t
            .run(async { tokio::join!(client.ask(Add::Sleep(5)), client.ask(Add::Sleep(5)), client.ask(Add::No)) })
            .await;
        let bound = "capabilities.sums.mailbox = 2 messages".to_string();
        assert_eq!(third, Err(AskError::NotDelivered(NotDelivered::Overloaded { capability: "sums".into(), bound })));
        assert_eq!(t.ask(Add::Number(1)).await, Ok(1), "permits come back");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_gives_its_place_free_while_a_handler_runs() {
        let t = sums().await;
        let client = t.client();
        let ask_later = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            client.clone().within(Duration::from_secs(1)).ask(Add::Number(1)).await
        };
        let brief = client.clone().within(Duration::from_millis(10));
        let (slept, late, later) =
            t.run(async { tokio::join!(client.ask(Add::Sleep(100)), brief.ask(Add::Number(1)), ask_later) }).await;
        assert_eq!((slept, later), (Ok(0), Ok(1)), "the mailbox of 2 has room for the third once the second is late");
        assert_eq!(late, Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1 })));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_hosts_it_is_said_by_name() {
        let t = Harness::<SumsActor>::bare().start().await;
        let Err(AskError::Failed(failure)) = t.ask(Add::Rate).await else { panic!("no host") };
        assert!(failure.kind == FailureKind::Unavailable && failure.detail.contains("`rates`"), "{failure}");
    }

    /// The same actor, with each message going through the wire's codec.
    async fn over_the_wire(change: impl FnOnce(&mut crate::config::ParityConfig)) -> Stage<SumsActor> {
        let settings = |s: &mut crate::config::Settings| {
            s.parity.enabled = true;
            s.capabilities.entry("sums".into()).or_default().mailbox = 2;
            change(&mut s.parity);
        };
        Harness::bare().runtime(settings).start().await
    }

    #[tokio::test(start_paused = true)]
    async fn over_the_wire_every_error_keeps_its_type() {
        let t = over_the_wire(|_| {}).await;
        assert_eq!(t.ask(Add::Number(2)).await, Ok(2));
        assert_eq!(t.ask(Add::No).await, Err(AskError::Rejected("no".into())));
        let Err(AskError::Failed(failure)) = t.ask(Add::Panic).await else { panic!("a panic is a failure") };
        assert_eq!(failure.kind, FailureKind::Panicked);
        let Err(AskError::Failed(failure)) = t.ask(Add::Undeclared).await else { panic!("refused") };
        assert!(failure.detail.contains("sums -> sums"), "{failure}");
        let late = t.run(t.client().within(Duration::from_millis(50)).ask(Add::Sleep(1_000))).await;
        assert!(matches!(late, Err(AskError::Unknown(Unknown::TimedOut { .. }))), "{late:?}");
        let client = t.client();
        let sleep = || client.ask(Add::Sleep(5));
        let (_, _, third) = t.run(async { tokio::join!(sleep(), sleep(), client.ask(Add::No)) }).await;
        assert!(matches!(third, Err(AskError::NotDelivered(NotDelivered::Overloaded { .. }))), "{third:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn over_the_wire_a_repeated_frame_takes_effect_once() {
        let t = over_the_wire(|p| p.duplicate_percent = 100.0).await;
        assert_eq!(t.ask(Add::Number(2)).await, Ok(2));
        assert_eq!(t.ask(Add::Number(2)).await, Ok(4));
    }

    #[tokio::test(start_paused = true)]
    async fn over_the_wire_a_lost_frame_is_an_unknown_outcome() {
        let t = over_the_wire(|p| p.loss_percent = 30.0).await;
        let mut answered = 0;
        for _ in 0..50 {
            match t.ask(Add::Number(1)).await {
                Ok(_) => answered += 1,
                Err(AskError::Unknown(Unknown::NoAnswer { node })) if node == "main" => {}
                // Its heartbeats were lost; the next one comes.
                Err(AskError::NotDelivered(_)) => t.run(tokio::time::sleep(Duration::from_secs(1))).await,
                other => panic!("{other:?}"),
            }
        }
        assert!((1..50).contains(&answered), "{answered} of 50");
    }
}
