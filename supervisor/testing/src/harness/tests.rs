use std::cell::Cell;
use std::rc::Rc;

use essaim_contract::{FailureKind, Message, Never, NotDelivered, Unknown};
use essaim_core::{Cx, Fault, Handle, Handles, Start, StartError, reject};
use futures_util::{FutureExt, poll};
use serde::{Deserialize, Serialize};

use super::*;

mod client;
mod durable;
mod hanging;
mod hot;

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
    /// Adds as many as it slept milliseconds, after that.
    Later(u64),
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
            Add::Later(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                self.0 += ms as i64;
            }
            Add::Panic => panic!("asked to"),
            Add::No => return Err(reject("no")),
            Add::Rate => self.0 *= cx.ask(Rate).await?,
            Add::Undeclared => return cx.ask(Add::Number(1)).await.map_err(Into::into),
        }
        Ok(self.0)
    }
}

async fn sums() -> Stage<SumsActor> {
    let one = |s: &mut essaim_config::Settings| {
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
    assert!(
        matches!(&waiting, Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1, .. }))),
        "{waiting:?}"
    );
    assert!(matches!(running, Err(AskError::Unknown(Unknown::TimedOut { .. }))), "{running:?}");
    t.run(tokio::time::sleep(Duration::from_millis(1))).await; // The handler's own timer drops it.
    assert_eq!(t.ask(Add::Number(1)).await, Ok(1), "the state of a dropped handler is built anew");
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_the_mailbox_takes_are_refused_at_once() {
    let t = sums().await;
    let client = t.client();
    let (_, _, third) =
        t.run(async { tokio::join!(client.ask(Add::Sleep(5)), client.ask(Add::Sleep(5)), client.ask(Add::No)) }).await;
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
    assert!(matches!(&late, Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1, .. }))), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_hosts_it_is_said_by_name() {
    let t = Harness::<SumsActor>::bare().start().await;
    let Err(AskError::Failed(failure)) = t.ask(Add::Rate).await else { panic!("no host") };
    assert!(failure.kind == FailureKind::Unavailable && failure.detail.contains("`rates`"), "{failure}");
}

/// The same actor, with each message going through the wire's codec.
async fn over_the_wire(change: impl FnOnce(&mut essaim_config::ParityConfig)) -> Stage<SumsActor> {
    let settings = |s: &mut essaim_config::Settings| {
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

/// Adds one, which is answered at once; the sum.
async fn add_one(client: &Client) -> i64 {
    client.ask(Add::Number(1)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_neighbour_answers_in_the_askers_own_turn() {
    let t = sums().await;
    let client = t.client();
    assert_eq!(t.run(async { add_one(&client).now_or_never() }).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_goes_on_when_its_asker_has_gone() {
    let t = sums().await;
    let client = t.client();
    let after = t.run(async {
        let mut ask = Box::pin(client.ask(Add::Later(10)));
        assert!(poll!(&mut ask).is_pending());
        drop(ask);
        // It comes after the one that is being handled, by way of the mailbox.
        add_one(&client).await
    });
    assert_eq!(after.await, 11);
}

#[tokio::test(start_paused = true)]
async fn asks_that_are_answered_at_once_leave_others_their_turn() {
    let t = sums().await;
    let (client, had_its_turn) = (t.client(), Rc::new(Cell::new(false)));
    let other = had_its_turn.clone();
    let asked = t.run(async {
        tokio::task::spawn_local(async move { other.set(true) });
        let mut asked = 0;
        while !had_its_turn.get() && asked < 100_000 {
            asked = add_one(&client).await;
        }
        asked
    });
    assert!((1..100_000).contains(&asked.await), "the other task ran while asks were being answered");
}
