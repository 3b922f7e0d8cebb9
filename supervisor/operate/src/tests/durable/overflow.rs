//! Events whose subscriber has no room, and wait in their publisher's database.

use essaim_contract::{Ask, Never, SendError};
use essaim_core::Handle;

use super::*;

/// Longer than anything should take.
const LONG: Duration = Duration::from_secs(20);

pub struct Desk;
impl Capability for Desk {
    const NAME: &'static str = "desk";
}

pub struct Clerk;
impl Capability for Clerk {
    const NAME: &'static str = "clerk";
}

/// Has the desk say something, which the clerk wants to hear if it is important.
#[derive(Serialize, Deserialize)]
struct Say {
    word: String,
    important: bool,
}
impl Message for Say {
    type To = Desk;
    const NAME: &'static str = "say";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("the desk"))
    }
}
impl Command for Say {}

/// The same, by an ask.
#[derive(Serialize, Deserialize)]
struct SayNow(Say);
impl Message for SayNow {
    type To = Desk;
    const NAME: &'static str = "say_now";
    const VERSION: u16 = 1;
}
impl Ask for SayNow {
    type Reply = ();
    type Error = Never;
}

/// Has the desk publish news outside a transaction.
#[derive(Serialize, Deserialize)]
struct SayAloud(Say);
impl Message for SayAloud {
    type To = Desk;
    const NAME: &'static str = "say_aloud";
    const VERSION: u16 = 1;
}
impl Ask for SayAloud {
    type Reply = ();
    type Error = Never;
}

macro_rules! said {
    ($event:ident, $name:literal) => {
        #[derive(Serialize, Deserialize)]
        struct $event {
            word: String,
        }
        impl Message for $event {
            type To = Desk;
            const NAME: &'static str = $name;
            const VERSION: u16 = 1;
            fn key(&self) -> Option<Cow<'_, str>> {
                Some(Cow::Borrowed("the desk"))
            }
        }
        impl Event for $event {}
    };
}
said!(News, "news");
said!(Gossip, "gossip");

actor!(DeskActor, Desk, |h| {
    h.command::<Say>().ask::<SayNow>().ask::<SayAloud>();
});
async fn say(m: Say, cx: &mut Cx) -> Result<(), Fault<String>> {
    let tx = cx.begin().await?;
    match m.important {
        true => tx.publish(News { word: m.word }).await,
        false => tx.publish(Gossip { word: m.word }).await,
    }
    .map_err(fail)?;
    tx.commit().await?;
    Ok(())
}
impl Apply<Say> for DeskActor {
    async fn apply(&mut self, m: Say, cx: &mut Cx) -> Result<(), Fault<String>> {
        say(m, cx).await
    }
}
impl Handle<SayNow> for DeskActor {
    async fn handle(&mut self, m: SayNow, cx: &mut Cx) -> Result<(), Fault> {
        say(m.0, cx).await.map_err(|error| fail(format!("{error:?}")))
    }
}

impl Handle<SayAloud> for DeskActor {
    async fn handle(&mut self, m: SayAloud, cx: &mut Cx) -> Result<(), Fault> {
        cx.publish(News { word: m.0.word }).await.map_err(fail)?;
        Ok(())
    }
}

actor!(ClerkActor, Clerk, |h| {
    h.event::<News>();
});
impl Apply<News> for ClerkActor {
    async fn apply(&mut self, m: News, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        write(&tx, &m.word).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Room for four messages.
fn few(s: &mut Settings) {
    (s.durable.partition_messages, s.durable.partitions) = (4, 1);
}

fn told(number: u32) -> Say {
    Say { word: format!("{number:02}"), important: true }
}

fn words_of(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| told(number).word).collect()
}

/// The desk alone, to whose news the clerk subscribes.
async fn without_the_clerk(change: fn(&mut Settings)) -> Stage {
    let t = Stage::start(&["desk", "clerk"], change).await;
    t.subscribed("desk.news.v1").await;
    Stage::again(t.end().await, &["desk"], change).await
}

#[tokio::test]
async fn an_event_whose_subscriber_has_no_room_says_so() {
    let t = without_the_clerk(few).await;
    say_by_asks(&t, 0..12).await;
    let before = waiting(&t).await.1;
    let trace = t.node.bus().recorder.root();
    t.run(t.client().in_trace(trace).send(told(6))).await.unwrap();
    wait_for(&t, "another one to overflow", |(own, overflowing)| own == 0 && overflowing == before + 1).await;
    let id = essaim_trace::TraceId(trace.trace_id).to_string();
    let why = t.run(t.operate(crate::api::ExplainMessage { id })).await.sentences.join("\n");
    let full = format!("`clerk` has no room: {} events wait for it in the outbox of `desk`", before + 1);
    assert!(why.contains(&full), "{why}");
    assert!(why.contains("no live node hosts `clerk`"), "{why}");
}

/// How many messages wait in the desk's outbox, in lanes of their own and in those of what overflows.
async fn waiting(t: &Stage) -> (u64, u64) {
    let database = t.database("desk");
    let lanes = t.run(tables::outbox::queues(database.reads())).await.unwrap();
    let mut count = [0; 2];
    for lane in lanes {
        let extent = t.run(tables::outbox::extent(database.reads(), &lane, u64::MAX)).await.unwrap();
        count[usize::from(lane.starts_with("o/"))] += extent.count;
    }
    count.into()
}

/// Waits until the desk's outbox looks as it should.
async fn wait_for(t: &Stage, what: &str, is_so: impl Fn((u64, u64)) -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        let now = waiting(t).await;
        if is_so(now) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: {now:?} wait");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Has the desk say something by asks, each after the one before has left its lane.
async fn say_by_asks(t: &Stage, numbers: std::ops::Range<u32>) {
    for number in numbers {
        t.run(t.client().ask(SayNow(told(number)))).await.unwrap();
        wait_for(t, "it is handed over", |(own, _)| own == 0).await;
    }
}

async fn heard(t: &Stage, count: usize) -> Vec<String> {
    tokio::time::timeout(LONG, t.words("clerk", count)).await.expect("the clerk hears all")
}

#[tokio::test]
async fn what_waits_for_a_subscriber_is_what_it_has_subscribed_to() {
    let t = without_the_clerk(few).await;
    for number in 0..20 {
        for important in [true, false] {
            while t.run(t.client().send(Say { important, ..told(number) })).await.is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    t.at_rest("desk").await;
    wait_for(&t, "what has room goes", |(own, overflow)| own == 0 && overflow > 0).await;
    let t = Stage::again(t.end().await, &["desk", "clerk"], few).await;
    assert_eq!(heard(&t, 20).await, words_of(0..20));
    wait_for(&t, "all goes", |all| all == (0, 0)).await;
    assert_eq!(t.at_rest("clerk").await, (20, 0, 0, 0), "it is given nothing else");
}

#[tokio::test]
async fn what_an_ask_has_published_for_an_absent_subscriber_outlives_the_node() {
    let t = without_the_clerk(few).await;
    say_by_asks(&t, 0..12).await;
    assert!(waiting(&t).await.1 > 0);
    let t = Stage::again(t.end().await, &["desk", "clerk"], few).await;
    assert_eq!(heard(&t, 12).await, words_of(0..12));
    wait_for(&t, "all goes", |all| all == (0, 0)).await;
    assert_eq!(t.at_rest("clerk").await, (12, 0, 0, 0));
}

#[tokio::test]
async fn an_absent_subscriber_does_not_stop_the_asks_of_its_publisher() {
    let t = without_the_clerk(|s| {
        few(s);
        s.durable.outbox_messages = 3;
    })
    .await;
    say_by_asks(&t, 0..12).await;
    assert!(waiting(&t).await.1 > 3);
}

#[tokio::test]
async fn what_waits_for_one_that_has_ended_its_subscription_is_dropped() {
    let t = without_the_clerk(few).await;
    say_by_asks(&t, 0..8).await;
    let log = t.node.bus().durable().unwrap().log.clone();
    assert!(t.run(log.unsubscribe("desk.news.v1", "clerk")).await.unwrap());
    wait_for(&t, "nobody wants it", |all| all == (0, 0)).await;
}

#[tokio::test]
async fn what_is_more_than_may_wait_for_a_subscriber_is_dropped() {
    let five = |s: &mut Settings| {
        few(s);
        s.durable.overflow_messages = 5;
    };
    let t = without_the_clerk(five).await;
    say_by_asks(&t, 0..12).await;
    assert_eq!(waiting(&t).await, (0, 5));
    let t = Stage::again(t.end().await, &["desk", "clerk"], five).await;
    wait_for(&t, "all goes", |all| all == (0, 0)).await;
    assert_eq!(heard(&t, 9).await, words_of(0..9));
    // There is room again.
    say_by_asks(&t, 12..13).await;
    assert_eq!(heard(&t, 10).await[9..], words_of(12..13));
    assert_eq!(t.at_rest("clerk").await, (10, 0, 0, 0));
}

/// The desk, to whose news the clerk subscribes, which has no room, and the herald, which has.
async fn with_a_herald() -> Stage {
    let t = without_the_clerk(few).await;
    say_by_asks(&t, 0..4).await;
    let log = t.node.bus().durable().unwrap().log.clone();
    t.run(log.register("herald", 1, &[("desk.news.v1".into(), Default::default())])).await.unwrap();
    t
}

async fn appended(t: &Stage, capability: &str) -> u64 {
    let log = t.node.bus().durable().unwrap().log.clone();
    t.run(log.counts(capability)).await.unwrap().iter().map(|count| count.appended).sum()
}

#[tokio::test]
async fn what_is_published_outside_a_transaction_waits_for_a_subscriber_without_room_too() {
    let t = with_a_herald().await;
    t.run(t.client().ask(SayAloud(told(4)))).await.unwrap();
    wait_for(&t, "it waits for the clerk", |all| all == (0, 1)).await;
    assert_eq!(appended(&t, "herald").await, 1);
    let t = Stage::again(t.end().await, &["desk", "clerk"], few).await;
    assert_eq!(heard(&t, 5).await, words_of(0..5));
}

#[tokio::test]
async fn what_a_client_has_published_for_some_alone_is_said_to_be_unknown_and_repeated_under_its_id() {
    let t = with_a_herald().await;
    let news = || News { word: told(4).word };
    let SendError::Unknown { id } = t.run(t.client().publish(news())).await.unwrap_err() else {
        panic!("the herald has it already");
    };
    let again = t.run(t.client().publish_with(news(), SendOptions::new().id(id.clone()))).await;
    assert_eq!(again, Err(SendError::Unknown { id: id.clone() }));
    let t = Stage::again(t.end().await, &["desk", "clerk"], few).await;
    assert_eq!(heard(&t, 4).await, words_of(0..4));
    t.at_rest("clerk").await;
    for _ in 0..2 {
        assert_eq!(t.run(t.client().publish_with(news(), SendOptions::new().id(id.clone()))).await, Ok(id.clone()));
    }
    assert_eq!(t.at_rest("clerk").await, (5, 1, 0, 0), "it has one effect");
    // Nobody has room: nothing is stored.
    let t = Stage::again(t.end().await, &["desk"], few).await;
    let mut refused = Ok(id);
    while !matches!(refused, Err(SendError::Full { .. })) {
        refused = t.run(t.client().publish(news())).await;
    }
    let before = appended(&t, "herald").await;
    t.run(t.client().publish(news())).await.unwrap_err();
    assert_eq!(appended(&t, "herald").await, before);
}
