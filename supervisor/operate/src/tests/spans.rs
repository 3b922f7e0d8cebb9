//! Spans and log lines of messages, as a subscriber sees them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::activity::{self, CurrentMessage};
use essaim_base::lock::Mutex;
use essaim_base::trace::TraceContext;
use essaim_config::Config;
use essaim_contract::{Ask, Capability, Message};
use essaim_core::local::span::TARGET;
use essaim_core::{Actor, Client, Cx, Fault, Handle, Handles, Roster, Start, StartError, fail, reject};
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::Node;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const CALLER: u64 = 0x00f0_67aa_0ba9_02b7;

#[tokio::test(start_paused = true)]
async fn ids_join_over_two_hops_of_a_sampled_trace() {
    let seen = seen_at(Level::INFO, true, Order::Well).await;
    let [first, second] = &seen.spans[..] else { panic!("two messages: {seen:?}") };
    for (span, message, capability) in [(first, "kitchen.order.v1", "kitchen"), (second, "pantry.fetch.v1", "pantry")] {
        assert_eq!((span.level, span.target.as_str()), (Level::INFO, "essaim::message"));
        assert_eq!(span.field("message"), message);
        assert_eq!(span.field("capability"), capability);
        assert_eq!(span.field("node"), "here");
        assert_eq!(span.field("trace_id"), format!("{TRACE:032x}"));
        assert_eq!(span.field("outcome"), "ok");
    }
    assert_eq!(first.field("parent"), format!("{CALLER:016x}"));
    assert_eq!(second.field("parent"), first.field("span_id"));
    assert_ne!(second.field("span_id"), first.field("span_id"));
    assert_eq!(second.field("ran_ms"), "20.0", "the pantry sleeps for so long");
    assert_eq!(first.field("ran_ms"), "20.0", "and the kitchen waits for it");
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_mailbox_is_told() {
    let seen = seen_while(Level::INFO, true, async |client| {
        let (first, second) = tokio::join!(client.ask(Fetch), client.ask(Fetch));
        first.and(second).unwrap();
    });
    let seen = seen.await;
    let waited: Vec<_> = seen.spans.iter().map(|s| s.field("waited_ms")).collect();
    assert_eq!(waited, ["0.0", "20.0"], "the second waits for the first");
}

#[tokio::test(start_paused = true)]
async fn log_lines_of_a_handler_in_a_sampled_trace_stand_in_its_span() {
    let seen = seen_at(Level::INFO, true, Order::Well).await;
    for said in ["fetching", "computing"] {
        let line = seen.line(said).expect("the pantry's own line");
        assert_eq!(line.span.as_deref(), Some(seen.spans[1].field("span_id")), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_an_unsampled_message_nothing_is_created_at_the_level_info() {
    let seen = seen_at(Level::INFO, false, Order::Well).await;
    assert!(seen.spans.is_empty(), "{seen:?}");
    let lines: Vec<_> = seen.lines.iter().filter(|l| l.target == TARGET).collect();
    assert!(lines.is_empty(), "{lines:?}");
    for said in ["fetching", "computing"] {
        let line = seen.line(said).expect("handlers log all the same");
        assert_eq!(line.span, None);
        let CurrentMessage { node, capability, message, trace } = line.current.clone().expect("its message is known");
        assert_eq!((&*node, &*capability, &*message), ("here", "pantry", "pantry.fetch.v1"));
        assert_eq!(trace.trace_id, TRACE);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_level_debug_unsampled_messages_are_seen_too_and_their_ends_are_told() {
    let seen = seen_at(Level::DEBUG, false, Order::Well).await;
    let [first, second] = &seen.spans[..] else { panic!("two messages: {seen:?}") };
    assert_eq!((first.level, second.level), (Level::DEBUG, Level::DEBUG));
    assert_eq!(second.field("parent"), first.field("span_id"));
    let ends: Vec<_> = seen.lines.iter().filter(|l| l.fields["message"] == "handled").collect();
    let [inner, outer] = &ends[..] else { panic!("two ends: {ends:?}") };
    assert_eq!((inner.level, inner.field("outcome")), (Level::DEBUG, "ok"));
    assert_eq!(inner.span.as_deref(), Some(second.field("span_id")));
    assert_eq!(outer.span.as_deref(), Some(first.field("span_id")));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_an_outcome_and_no_failure() {
    let seen = seen_at(Level::INFO, true, Order::Nothing).await;
    assert_eq!(seen.spans[0].field("outcome"), "rejected");
    assert!(seen.line("a handler failed").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_told_though_its_trace_is_not_sampled() {
    let seen = seen_at(Level::INFO, false, Order::Slowly).await;
    let line = seen.line("a handler was slow").expect("it took three seconds");
    assert_eq!((line.level, line.field("ran_ms")), (Level::INFO, "3000.0"));
    assert!(line.field("trace").contains(&format!("{TRACE:032x}")), "{line:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_handler_is_told_with_its_trace_though_that_is_not_sampled() {
    for (how, said, name) in [
        (Order::Badly, "a handler failed", "handler"),
        (Order::Madly, "a handler panicked; the instance starts anew", "handler"),
    ] {
        let seen = seen_at(Level::INFO, false, how).await;
        let line = seen.line(said).unwrap_or_else(|| panic!("{seen:?}"));
        assert!(line.level <= Level::WARN);
        assert_eq!(line.field(name), "kitchen.order.v1");
        assert!(line.field("trace").contains(&format!("{TRACE:032x}")), "{line:?}");
        assert_eq!(line.current.as_ref().map(|current| &*current.message), Some("kitchen.order.v1"));
    }
}

/// All that is logged at this level while a kitchen is asked once.
async fn seen_at(level: Level, sampled: bool, order: Order) -> Seen {
    seen_while(level, sampled, async move |client| drop(client.ask(order).await)).await
}

/// While there is one subscriber alone, tracing asks that of the thread that comes by a span first what interests anybody,
/// and a test beside this one has none.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default().with(LevelFilter::OFF)));

async fn seen_while(level: Level, sampled: bool, work: impl AsyncFnOnce(Client)) -> Seen {
    LazyLock::force(&ANOTHER);
    let capture = Capture::default();
    let subscriber = Registry::default().with(LevelFilter::from_level(level)).with(capture.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let mut config = Config::default();
    config.settings.node.name = "here".into();
    (config.settings.node.arbiters, config.settings.node.control_thread) = (1, false);
    config.settings.node.watchdog_ms = 0;
    config.settings.trace.store_bytes = 0;
    let node = async {
        let roster = Roster::new().host::<KitchenActor>().host::<PantryActor>();
        let env = Env::simulated(1, Duration::from_secs(1_800_000_000));
        let node = Node::start(&roster, &["kitchen", "pantry"], config, env).await.unwrap();
        node.up().await;
        let trace = TraceContext { trace_id: TRACE, span_id: CALLER, sampled, random: false, kept: false };
        tracing::callsite::rebuild_interest_cache();
        work(node.client().in_trace(trace)).await;
    };
    LocalSet::new().run_until(node).await;
    std::mem::take(&mut *capture.0.lock())
}

struct Kitchen;
impl Capability for Kitchen {
    const NAME: &'static str = "kitchen";
}

#[derive(Serialize, Deserialize)]
enum Order {
    Well,
    Slowly,
    Badly,
    Madly,
    Nothing,
}
impl Message for Order {
    type To = Kitchen;
    const NAME: &'static str = "order";
    const VERSION: u16 = 1;
}
impl Ask for Order {
    type Reply = ();
    type Error = String;
}

struct Pantry;
impl Capability for Pantry {
    const NAME: &'static str = "pantry";
}

#[derive(Serialize, Deserialize)]
struct Fetch;
impl Message for Fetch {
    type To = Pantry;
    const NAME: &'static str = "fetch";
    const VERSION: u16 = 1;
}
impl Ask for Fetch {
    type Reply = ();
    type Error = String;
}

macro_rules! stateless {
    ($actor:ident, $capability:ty, $message:ty, $asks:expr) => {
        struct $actor;
        impl Actor for $actor {
            type Capability = $capability;
            type Settings = BTreeMap<String, String>;
            type Shared = ();
            const ASKS: &'static [&'static str] = $asks;

            async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
                Ok(())
            }
            async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
                Ok(Self)
            }
            fn handles(h: &mut Handles<Self>) {
                h.ask::<$message>();
            }
        }
    };
}
stateless!(KitchenActor, Kitchen, Order, &["pantry"]);
stateless!(PantryActor, Pantry, Fetch, &[]);

impl Handle<Order> for KitchenActor {
    async fn handle(&mut self, order: Order, cx: &mut Cx) -> Result<(), Fault<String>> {
        match order {
            Order::Well => cx.ask(Fetch).await?,
            Order::Slowly => tokio::time::sleep(Duration::from_secs(3)).await,
            Order::Badly => return Err(fail("burnt")),
            Order::Madly => panic!("on fire"),
            Order::Nothing => return Err(reject("nothing to cook")),
        }
        Ok(())
    }
}

impl Handle<Fetch> for PantryActor {
    async fn handle(&mut self, _: Fetch, cx: &mut Cx) -> Result<(), Fault<String>> {
        tracing::info!("fetching");
        tokio::time::sleep(Duration::from_millis(20)).await;
        // The subscriber of a test is its thread's, so it is handed on.
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        cx.blocking(move || tracing::dispatcher::with_default(&dispatch, || tracing::info!("computing"))).await
    }
}

/// A subscriber that keeps message spans, and all log lines.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    spans: Vec<Thing>,
    lines: Vec<Thing>,
}

#[derive(Debug)]
struct Thing {
    id: u64,
    level: Level,
    target: String,
    fields: BTreeMap<&'static str, String>,
    /// Of a line: the `span_id` of the message span it stands in.
    span: Option<String>,
    /// The message whose handler wrote it.
    current: Option<CurrentMessage>,
}

impl Seen {
    fn line(&self, message: &str) -> Option<&Thing> {
        self.lines.iter().find(|l| l.fields["message"] == message)
    }
}

impl Thing {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = BTreeMap::new();
        attributes.record(&mut Fields(&mut fields));
        let meta = attributes.metadata();
        let (level, target) = (*meta.level(), meta.target().to_string());
        self.0.lock().spans.push(Thing { id: id.into_u64(), level, target, fields, span: None, current: None });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, _: Context<'_, S>) {
        let mut seen = self.0.lock();
        // Ids are used again, so the latest span of an id is meant.
        let span = seen.spans.iter_mut().rev().find(|s| s.id == id.into_u64()).unwrap();
        record.record(&mut Fields(&mut span.fields));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let mut seen = self.0.lock();
        let inside = context.event_span(event).map(|s| s.id().into_u64());
        let span =
            inside.and_then(|id| seen.spans.iter().rev().find(|s| s.id == id)).map(|s| s.field("span_id").into());
        let (level, target) = (*event.metadata().level(), event.metadata().target().to_string());
        seen.lines.push(Thing { id: 0, level, target, fields, span, current: activity::current() });
    }
}
