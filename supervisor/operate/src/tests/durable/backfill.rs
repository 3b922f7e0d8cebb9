//! Subscribers that want what was published before they came, and those that want it only for so long.

use essaim_contract::{Ask, Never};
use essaim_core::Handle;
use essaim_durable::SubscribeOptions;

use super::*;

pub struct Press;
impl Capability for Press {
    const NAME: &'static str = "press";
}

pub struct Archive;
impl Capability for Archive {
    const NAME: &'static str = "archive";
}

/// Has the press print a word.
#[derive(Serialize, Deserialize)]
struct Print {
    word: String,
}
impl Message for Print {
    type To = Press;
    const NAME: &'static str = "print";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("the press"))
    }
}
impl Command for Print {}

/// The same, by an ask.
#[derive(Serialize, Deserialize)]
pub(super) struct PrintNow {
    pub(super) word: String,
}
impl Message for PrintNow {
    type To = Press;
    const NAME: &'static str = "print_now";
    const VERSION: u16 = 1;
}
impl Ask for PrintNow {
    type Reply = ();
    type Error = Never;
}

/// A word was printed.
#[derive(Serialize, Deserialize)]
struct Printed {
    word: String,
}
impl Message for Printed {
    type To = Press;
    const NAME: &'static str = "printed";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("the press"))
    }
}
impl Event for Printed {
    const RETAINED_HOURS: u32 = 1;
}

actor!(PressActor, Press, |h| {
    h.command::<Print>().ask::<PrintNow>();
});
impl Apply<Print> for PressActor {
    async fn apply(&mut self, m: Print, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        tx.publish(Printed { word: m.word }).await?;
        tx.commit().await?;
        Ok(())
    }
}
impl Handle<PrintNow> for PressActor {
    async fn handle(&mut self, m: PrintNow, cx: &mut Cx) -> Result<(), Fault> {
        cx.publish(Printed { word: m.word }).await.map_err(fail)?;
        Ok(())
    }
}

actor!(ArchiveActor, Archive, |h| {
    let retention = Duration::from_secs(1_000_000);
    h.event_with::<Printed>(SubscribeOptions::new().from_earliest_retained().retention(retention));
    h.event_with::<Noted>(SubscribeOptions::new().retention(Duration::from_millis(20)));
});
impl Apply<Printed> for ArchiveActor {
    async fn apply(&mut self, m: Printed, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        write(&tx, &m.word).await?;
        tx.commit().await?;
        Ok(())
    }
}
impl Apply<Noted> for ArchiveActor {
    async fn apply(&mut self, m: Noted, cx: &mut Cx) -> Result<(), Fault<String>> {
        self.apply(Printed { word: m.word }, cx).await
    }
}

async fn print(t: &Stage, numbers: std::ops::Range<u32>) {
    let client = t.client();
    let printing = async {
        for number in numbers {
            client.send(Print { word: format!("{number:04}") }).await.unwrap();
        }
    };
    t.run(printing).await;
}

/// Waits until nothing waits in an outbox.
async fn relayed(t: &Stage, capability: &str) {
    let database = t.database(capability);
    let empty = async {
        while tables::outbox::count(database.reads(), 1).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    t.run(empty).await;
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("{number:04}")).collect()
}

impl Stage {
    /// Waits until the log knows of a subscription to an event.
    pub(super) async fn subscribed(&self, event: &str) {
        let log = self.node.bus().durable().unwrap().log.clone();
        let subscribed = async {
            while !log.registry().await.unwrap().subscriptions.contains_key(event) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        self.run(subscribed).await;
    }
}

#[tokio::test]
async fn a_late_subscriber_gets_what_was_kept_in_its_order_and_then_what_is_new() {
    let t = Stage::start(&["press"], |_| {}).await;
    print(&t, 0..600).await;
    t.at_rest("press").await;
    relayed(&t, "press").await;
    let t = Stage::again(t.end().await, &["press", "archive"], |_| {}).await;
    print(&t, 600..650).await;
    assert_eq!(t.words("archive", 650).await, numbers(0..650));
    relayed(&t, "press").await;
    // It has caught up, so what is new reaches it without a way around, and a restart brings nothing again.
    let t = Stage::again(t.end().await, &["press", "archive"], |_| {}).await;
    print(&t, 650..660).await;
    assert_eq!(t.words("archive", 660).await, numbers(0..660));
    t.at_rest("press").await;
    relayed(&t, "press").await;
    assert_eq!(t.at_rest("archive").await, (660, 0, 0, 0));
}

#[tokio::test]
async fn a_late_subscriber_gets_what_was_kept_in_parts_where_no_more_may_wait_for_it() {
    let few = |s: &mut Settings| s.durable.overflow_messages = 7;
    let t = Stage::start(&["press"], few).await;
    print(&t, 0..40).await;
    t.at_rest("press").await;
    relayed(&t, "press").await;
    let t = Stage::again(t.end().await, &["press", "archive"], few).await;
    print(&t, 40..50).await;
    assert_eq!(t.words("archive", 50).await, numbers(0..50));
    t.at_rest("press").await;
    relayed(&t, "press").await;
    assert_eq!(t.at_rest("archive").await, (50, 0, 0, 0));
}

#[tokio::test]
async fn what_an_earlier_life_of_the_node_has_published_is_kept_too() {
    let t = Stage::start(&["press"], |_| {}).await;
    for word in ["a", "b"] {
        t.run(t.client().ask(PrintNow { word: word.into() })).await.unwrap();
    }
    relayed(&t, "press").await;
    let t = Stage::again(t.end().await, &["press", "archive"], |_| {}).await;
    assert_eq!(t.words("archive", 2).await, ["a", "b"]);
    assert_eq!(t.at_rest("archive").await, (2, 0, 0, 0));
}

#[tokio::test]
async fn a_subscription_that_was_ended_and_begins_anew_misses_nothing_and_repeats_nothing() {
    let t = Stage::start(&["press", "archive"], |_| {}).await;
    print(&t, 0..3).await;
    t.words("archive", 3).await;
    relayed(&t, "press").await;
    let t = Stage::again(t.end().await, &["press"], |_| {}).await;
    let log = t.node.bus().durable().unwrap().log.clone();
    assert!(t.run(log.unsubscribe("press.printed.v1", "archive")).await.unwrap());
    drop(log);
    print(&t, 3..6).await;
    t.at_rest("press").await;
    relayed(&t, "press").await;
    let t = Stage::again(t.end().await, &["press", "archive"], |_| {}).await;
    assert_eq!(t.words("archive", 6).await, numbers(0..6));
    relayed(&t, "press").await;
    assert_eq!(t.at_rest("archive").await, (6, 3, 0, 0), "what it has had already is a duplicate");
}

#[tokio::test]
async fn events_that_have_waited_for_too_long_expire_in_the_log_and_are_dropped_from_the_publishers_disk() {
    let few = |s: &mut Settings| (s.durable.partition_messages, s.durable.partitions) = (4, 1);
    let t = Stage::start(&["shop", "archive"], few).await;
    t.subscribed("shop.noted.v1").await;
    let t = Stage::again(t.end().await, &["shop"], few).await;
    for number in 0..12 {
        while t.run(t.client().send(note("a", &format!("{number:02}")))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // Four have room in the log; the others wait on disk until nobody wants them.
    t.at_rest("shop").await;
    relayed(&t, "shop").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let t = Stage::again(t.end().await, &["shop", "archive"], few).await;
    let (handled, duplicates, dead, expired) = t.at_rest("archive").await;
    assert_eq!((handled, duplicates, dead), (0, 0, 0));
    assert!((1..=12).contains(&expired), "{expired}");
}

#[tokio::test]
async fn what_nobody_keeps_cannot_be_had_from_before() {
    actor!(Curious, Archive, |h| {
        h.event_with::<Noted>(SubscribeOptions::new().from_earliest_retained());
    });
    impl Apply<Noted> for Curious {
        async fn apply(&mut self, _: Noted, _: &mut Cx) -> Result<(), Fault<String>> {
            Ok(())
        }
    }
    let refused = Handles::<Curious>::of_actor().check_subscriptions().unwrap_err().to_string();
    assert!(refused.contains("`shop.noted.v1`") && refused.contains("RETAINED_HOURS"), "{refused}");
}

#[tokio::test]
async fn no_more_is_kept_than_may_be_and_the_oldest_go() {
    let t = Stage::start(&["press"], |_| {}).await;
    print(&t, 0..10).await;
    t.at_rest("press").await;
    relayed(&t, "press").await;
    let few = |s: &mut Settings| s.durable.kept_events = 3;
    let t = Stage::again(t.end().await, &["press"], few).await;
    let database = t.database("press");
    let bounded = async {
        while tables::retained::count(database.reads()).await.unwrap() > 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    t.run(bounded).await;
    drop(database);
    let t = Stage::again(t.end().await, &["press", "archive"], few).await;
    assert_eq!(t.words("archive", 3).await, ["0007", "0008", "0009"]);
}
