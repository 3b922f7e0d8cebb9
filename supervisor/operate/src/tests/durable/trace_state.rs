//! The `tracestate` of a request, on all that the request causes.

use essaim_base::lock::Mutex;
use essaim_base::trace::{TraceContext, TraceHeaders, TraceState};
use essaim_contract::{Ask, Broadcast};
use essaim_core::{Handle, Hear};

use super::effects::replay_of;
use super::*;

/// What handlers have seen: who, and the headers of a request that they would send to somebody outside.
static SEEN: Mutex<Vec<(&'static str, TraceHeaders)>> = Mutex::new(Vec::new());

fn note_down(who: &'static str, cx: &Cx) {
    assert_eq!(cx.trace_headers(), TraceHeaders { context: cx.trace(), state: cx.trace_state().clone() });
    SEEN.lock().push((who, cx.trace_headers()));
}

/// Waits until so many handlers have been seen in the trace.
async fn seen(trace: TraceContext, count: usize) -> Vec<(&'static str, TraceHeaders)> {
    loop {
        let all = SEEN.lock().clone();
        let seen: Vec<_> = all.into_iter().filter(|(_, h)| h.context.trace_id == trace.trace_id).collect();
        if seen.len() >= count {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

macro_rules! message {
    ($message:ident, $capability:ident, $name:literal) => {
        #[derive(Clone, Serialize, Deserialize)]
        struct $message;
        impl Message for $message {
            type To = $capability;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
        }
    };
}

pub struct Depot;
impl Capability for Depot {
    const NAME: &'static str = "depot";
}

pub struct Shelf;
impl Capability for Shelf {
    const NAME: &'static str = "shelf";
}

message!(Store, Depot, "store");
impl Ask for Store {
    type Reply = ();
    type Error = String;
}

message!(Look, Shelf, "look");
impl Ask for Look {
    type Reply = ();
    type Error = String;
}

message!(Moved, Shelf, "moved");
impl Broadcast for Moved {}

message!(Pack, Depot, "pack");
impl Command for Pack {}

message!(Packed, Depot, "packed");
impl Event for Packed {}

pub struct DepotActor;
impl Actor for DepotActor {
    type Capability = Depot;
    type Settings = BTreeMap<String, String>;
    type Shared = ();
    const ASKS: &'static [&'static str] = &["shelf"];
    fn schema() -> Option<Schema> {
        words()
    }
    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Store>().command::<Pack>();
    }
}

impl Handle<Store> for DepotActor {
    async fn handle(&mut self, _: Store, cx: &mut Cx) -> Result<(), Fault<String>> {
        note_down("store", cx);
        cx.broadcast(Moved);
        Ok(cx.ask(Look).await?)
    }
}

impl Apply<Pack> for DepotActor {
    async fn apply(&mut self, _: Pack, cx: &mut Cx) -> Result<(), Fault<String>> {
        note_down("pack", cx);
        let tries = seen(cx.trace(), 1).await.len();
        let tx = cx.begin().await?;
        tx.publish(Packed).await?;
        // Tried twice and then replayed, so that it is read from the log, from the parked row and from the dead letter.
        if tries < 3 {
            return Err(fail("not yet"));
        }
        tx.commit().await?;
        Ok(())
    }
}

actor!(ShelfActor, Shelf, |h| {
    h.ask::<Look>().broadcast::<Moved>().event::<Packed>();
});

impl Handle<Look> for ShelfActor {
    async fn handle(&mut self, _: Look, cx: &mut Cx) -> Result<(), Fault<String>> {
        note_down("look", cx);
        Ok(())
    }
}

impl Hear<Moved> for ShelfActor {
    async fn hear(&mut self, _: Moved, cx: &mut Cx) {
        note_down("moved", cx);
    }
}

impl Apply<Packed> for ShelfActor {
    async fn apply(&mut self, _: Packed, cx: &mut Cx) -> Result<(), Fault<String>> {
        note_down("packed", cx);
        Ok(())
    }
}

/// A node in which every message goes through frames, a client in a trace that somebody outside has begun, and that trace.
async fn traced() -> (Stage, Client, TraceHeaders) {
    let t = Stage::start(&["depot", "shelf"], |s| {
        (s.parity.enabled, s.parity.delay_ms, s.durable.attempts) = (true, 20, 2);
    })
    .await;
    let both_are_reached = async {
        while !["depot", "shelf"].iter().all(|capability| t.client().reaches(capability)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    t.run(both_are_reached).await;
    let context = TraceContext { sampled: true, ..TraceContext::root(t.client().env()) };
    let state: TraceState = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".parse().unwrap();
    let client = t.client().in_trace_with_state(context, state.clone());
    (t, client, TraceHeaders { context, state })
}

#[tokio::test]
async fn what_is_reached_takes_asks_over_frames_that_are_late() {
    let (t, client, _) = traced().await;
    t.run(client.ask(Store)).await.expect("the node takes asks for what it says it reaches");
}

#[tokio::test]
async fn a_tracestate_reaches_asks_and_broadcasts_of_asks_over_frames() {
    let (t, client, given) = traced().await;
    t.run(client.ask(Store)).await.unwrap();
    let all = t.run(seen(given.context, 4)).await;
    let mut names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, ["look", "moved", "moved", "store"], "a broadcast is heard directly, and as a frame");
    assert!(all.iter().all(|(_, seen)| seen.state == given.state && seen.context.sampled && seen.context.random));
    let alone = TraceContext::root(client.env());
    t.run(client.clone().in_trace(alone).ask(Store)).await.unwrap();
    assert!(t.run(seen(alone, 4)).await.iter().all(|(_, seen)| seen.state.is_empty()), "it belongs to the other trace");
}

#[tokio::test]
async fn a_tracestate_reaches_the_subscriber_of_an_event_of_a_replayed_command() {
    let (t, client, given) = traced().await;
    t.run(client.send(Pack)).await.unwrap();
    assert_eq!(t.at_rest("depot").await, (0, 0, 1, 0));
    assert_eq!(replay_of(&t, "depot").await, 1);
    let all = t.run(seen(given.context, 4)).await;
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["pack", "pack", "pack", "packed"]);
    assert!(all.iter().all(|(_, seen)| seen.state == given.state && seen.context.sampled), "{all:?}");
}
