//! One instance by itself: its loop with an actor, on this thread and without a node.

use std::sync::atomic::{AtomicU32, Ordering};

use essaim_base::Env;
use essaim_base::call::Call;
use essaim_base::lock::Mutex;
use essaim_base::trace::TraceContext;
use essaim_contract::{AskError, Failure, FailureKind, Never, NotDelivered, Unknown};
use futures_util::future::join_all;
use tokio::task::{LocalSet, yield_now};

use super::*;
use crate::local::handler::{AskEntry, HandlerEntry};
use crate::local::host::Host;
use crate::local::span::Observer;
use crate::local::testing::{Desk, Serve, bus, host};
use crate::node::context::{Blocking, CapabilityContext};
use crate::{Cx, Fault, Handle, Handles};

const PANICS: u32 = 1_000;
const HANGS: u32 = 2_000;
const LONG: Duration = Duration::from_secs(60);

/// What happens to the clerk, in order.
#[derive(Default)]
struct Journal {
    lines: Mutex<Vec<String>>,
    /// So many starts are to fail.
    failing_starts: AtomicU32,
}

impl Journal {
    fn add(&self, line: impl ToString) {
        self.lines.lock().push(line.to_string());
    }
}

/// The actor of the desk; its state is how many it has served.
struct Clerk {
    served: u32,
    journal: Arc<Journal>,
}

impl Actor for Clerk {
    type Capability = Desk;
    type Settings = ();
    type Shared = Arc<Journal>;

    async fn share((): (), _: &mut Start) -> Result<Arc<Journal>, StartError> {
        Ok(Arc::default())
    }

    async fn start(journal: &Arc<Journal>, _: &mut Start) -> Result<Self, StartError> {
        let one_less = |left: u32| left.checked_sub(1);
        if journal.failing_starts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            journal.add("no start");
            return Err(StartError::new("the door is locked"));
        }
        journal.add("start");
        Ok(Self { served: 0, journal: journal.clone() })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Serve>();
    }
}

impl Handle<Serve> for Clerk {
    async fn handle(&mut self, Serve(what): Serve, _: &mut Cx) -> Result<u32, Fault> {
        let _serving = Serving::begin(&self.journal, what);
        match what {
            PANICS => panic!("the till is on fire"),
            HANGS => std::future::pending().await,
            _ => yield_now().await,
        }
        self.served += 1;
        Ok(self.served)
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.journal.add("drop");
    }
}

/// A handler, from its beginning to its end, whichever that is.
struct Serving(Arc<Journal>, u32);

impl Serving {
    fn begin(journal: &Arc<Journal>, what: u32) -> Self {
        journal.add(format_args!("{what} begins"));
        Self(journal.clone(), what)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.add(format_args!("{} ends", self.1));
    }
}

/// The one instance of a host.
struct Instance {
    host: Arc<Host>,
    journal: Arc<Journal>,
}

impl Instance {
    /// Starts it on this thread; in a `LocalSet`.
    fn start() -> Self {
        let (host, journal) = (Arc::new(host(1, 8)), Arc::<Journal>::default());
        let bus = bus(vec![host.clone()]);
        let (env, recorder) = (bus.env.clone(), bus.recorder.clone());
        let observer = Observer { env, node: "n".into(), capability: host.name.clone(), slow_ms: 0, recorder };
        let context = Arc::new(CapabilityContext {
            capability: host.name.clone(),
            asks: &[],
            is_asked: true,
            bus,
            observer,
            startup: host.startup.clone(),
            database: None,
            outbox: None,
            blocking: Blocking::at_most(1),
            provided: Arc::default(),
        });
        let table: Arc<[Arc<dyn HandlerEntry<Clerk>>]> = Arc::new([Arc::new(AskEntry::<Serve>::of_type())]);
        let monitor = host.instances()[0].monitor.clone();
        let state = InstanceState::new(table, Arc::new(journal.clone()), context.clone(), host.clone(), monitor, 0);
        start(state, Arc::new(move || Start::new(context.clone(), Arc::default())));
        Self { host, journal }
    }

    async fn ask(&self, what: u32, limit: Duration) -> Result<u32, AskError<Never>> {
        let call = Call::of_the_runtime(Instant::now() + limit, TraceContext::root(&Env::system()));
        self.host.admit(None).map_err(AskError::NotDelivered)?.ask(0, Serve(what), call).await
    }

    /// Asks all of these at once, in this order.
    async fn ask_all(&self, asks: &[(u32, Duration)]) -> Vec<Result<u32, AskError<Never>>> {
        join_all(asks.iter().map(|(what, limit)| self.ask(*what, *limit))).await
    }

    /// What has happened since this was last called.
    fn journal(&self) -> Vec<String> {
        std::mem::take(&mut *self.journal.lines.lock())
    }
}

/// Runs a test beside an instance.
async fn beside_an_instance(test: impl AsyncFnOnce(Instance)) {
    LocalSet::new().run_until(async { test(Instance::start()).await }).await;
}

fn panicked() -> Result<u32, AskError<Never>> {
    let detail = "the till is on fire".into();
    Err(AskError::Failed(Failure { kind: FailureKind::Panicked, detail }))
}

#[tokio::test]
async fn messages_are_handled_one_at_a_time_and_in_order_from_the_mailbox_and_from_askers_beside_it() {
    beside_an_instance(async |instance: Instance| {
        let all = [(1, LONG), (2, LONG), (3, LONG)];
        assert_eq!(instance.ask_all(&all).await, [Ok(1), Ok(2), Ok(3)]);
        let in_order = ["1 begins", "1 ends", "2 begins", "2 ends", "3 begins", "3 ends"];
        assert_eq!(instance.journal(), [&["start"], &in_order[..]].concat());
        // It is idle now, so the first one is a local call, and waits beside those that are queued meanwhile.
        assert_eq!(instance.ask_all(&all).await, [Ok(4), Ok(5), Ok(6)]);
        assert_eq!(instance.journal(), in_order);
        assert_eq!(instance.host.admitted(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_the_state_is_built_anew_and_queued_messages_are_handled_by_it() {
    beside_an_instance(async |instance: Instance| {
        let answers = instance.ask_all(&[(1, LONG), (PANICS, LONG), (2, LONG)]).await;
        assert_eq!(answers, [Ok(1), panicked(), Ok(1)]);
        let begun = ["start", "1 begins", "1 ends", "1000 begins", "1000 ends"];
        assert_eq!(instance.journal(), [&begun[..], &["drop", "start", "2 begins", "2 ends"]].concat());

        instance.journal.failing_starts.store(2, Ordering::Relaxed);
        assert_eq!(instance.ask_all(&[(PANICS, LONG), (3, LONG)]).await, [panicked(), Ok(1)]);
        let built = ["1000 begins", "1000 ends", "drop", "no start", "no start", "start", "3 begins", "3 ends"];
        assert_eq!(instance.journal(), built, "they also outlast starts that fail");
    })
    .await;
}

#[tokio::test]
async fn after_a_panic_in_its_askers_turn_the_instance_builds_its_state_by_itself() {
    beside_an_instance(async |instance: Instance| {
        assert_eq!(instance.ask(1, LONG).await, Ok(1));
        instance.journal();
        assert_eq!(instance.ask(PANICS, LONG).now_or_never(), Some(panicked()), "it is a local call");
        // Its turn: no message comes that would wake it.
        yield_now().await;
        assert_eq!(instance.journal(), ["1000 begins", "1000 ends", "drop", "start"]);
        assert_eq!(instance.ask(2, LONG).await, Ok(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drops_the_handler_and_its_state_and_refuses_what_was_queued_behind_it() {
    beside_an_instance(async |instance: Instance| {
        let second = Duration::from_secs(1);
        let answers = instance.ask_all(&[(HANGS, 2 * second), (1, second), (2, LONG)]).await;
        let [timed_out, expired, Ok(1)] = &answers[..] else { panic!("{answers:?}") };
        assert!(
            matches!(timed_out, Err(AskError::Unknown(Unknown::TimedOut { running_ms: 2_000, .. }))),
            "{timed_out:?}"
        );
        let Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1, behind, .. })) = expired else {
            panic!("{expired:?}")
        };
        let own = "waiting for something of its own, such as a lock or a timer";
        assert_eq!(*behind, format!("`desk.serve.v1`, running for 1000 ms and {own}"));
        let journal = ["start", "2000 begins", "2000 ends", "drop", "start", "2 begins", "2 ends"];
        assert_eq!(instance.journal(), journal);
        assert_eq!(instance.host.admitted(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_goes_down_with_its_thread_answers_all_it_has_and_begins_nothing_more() {
    let local = LocalSet::new();
    let instance = local.run_until(async { Instance::start() }).await;
    let mut asking = Box::pin(instance.ask_all(&[(HANGS, LONG), (1, LONG), (2, LONG)]));
    let begun = local.run_until(tokio::time::timeout(Duration::from_secs(1), &mut asking)).await;
    assert!(begun.is_err());
    drop(local);
    let answers = asking.now_or_never().expect("all are answered");
    assert!(matches!(answers[0], Err(AskError::Unknown(Unknown::NodeLost { .. }))), "{answers:?}");
    let refused = |answer: &_| matches!(answer, Err(AskError::NotDelivered(NotDelivered::Failed { .. })));
    assert!(answers[1..].iter().all(refused), "{answers:?}");
    assert_eq!(instance.journal(), ["start", "2000 begins", "2000 ends", "drop"]);
    let after = instance.ask(3, LONG).now_or_never().expect("it is answered at once");
    assert!(refused(&after), "{after:?}");
    assert_eq!(instance.host.admitted(), 0);
}
