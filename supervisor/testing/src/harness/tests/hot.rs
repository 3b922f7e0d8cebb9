//! One key of which there are many messages, none of which ends.

use std::borrow::Cow;

use essaim_contract::{AskError, NotDelivered};

use super::*;

struct Desk;
impl Capability for Desk {
    const NAME: &'static str = "desk";
}

/// What is asked of a key.
#[derive(Debug, Serialize, Deserialize)]
struct Serve {
    key: String,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum How {
    AtOnce,
    Hangs,
    /// Waits for its next turn and then keeps its thread.
    Blocks,
}

impl Message for Serve {
    type To = Desk;
    const NAME: &'static str = "serve";
    const VERSION: u16 = 1;
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.key))
    }
}
impl Ask for Serve {
    type Reply = String;
    type Error = Never;
}

/// What was served, so that a test sees what ran.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<Vec<String>>>);

struct DeskActor(Served);
impl Actor for DeskActor {
    type Capability = Desk;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Served;

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Served, StartError> {
        Ok(start.provided::<Served>().map(|s| (*s).clone()).unwrap_or_default())
    }
    async fn start(served: &Served, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(served.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Serve>();
    }
}
impl Handle<Serve> for DeskActor {
    async fn handle(&mut self, Serve { key, how }: Serve, _: &mut Cx) -> Result<String, Fault> {
        self.0.0.lock().push(key.clone());
        match how {
            How::AtOnce => {}
            How::Hangs => std::future::pending().await,
            How::Blocks => {
                tokio::task::yield_now().await;
                std::thread::sleep(Duration::from_millis(300));
            }
        }
        Ok(key)
    }
}

fn serve(key: impl ToString, how: How) -> Serve {
    Serve { key: key.to_string(), how }
}

async fn desk(instances: usize, mailbox: u32, served: &Served) -> Stage<DeskActor> {
    let few = |settings: &mut essaim_config::Settings| {
        let desk = settings.capabilities.entry("desk".into()).or_default();
        (desk.instances, desk.mailbox) = (instances, mailbox);
    };
    Harness::<DeskActor>::bare().runtime(few).provide(served.clone()).start().await
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_whose_handler_hangs_leaves_places_and_instances_to_others() {
    let t = desk(4, 8, &Served::default()).await;
    let client = t.client();
    t.run(async {
        let hot: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::task::spawn_local(async move { client.ask(serve("hot", How::Hangs)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for key in 0..100 {
            assert_eq!(client.ask(serve(key, How::AtOnce)).await, Ok(key.to_string()), "another key");
        }
        let refused = client.ask(serve("hot", How::AtOnce)).await;
        let bound = "capabilities.desk.mailbox_per_key = 4 messages of one key".to_string();
        let overloaded = NotDelivered::Overloaded { capability: "desk".into(), bound };
        assert_eq!(refused, Err(AskError::NotDelivered(overloaded)));
        for asked in hot {
            assert!(asked.await.unwrap().is_err());
        }
        assert_eq!(client.ask(serve("hot", How::AtOnce)).await, Ok("hot".into()), "its places are free again");
    })
    .await;
}

#[tokio::test]
async fn what_is_past_its_deadline_when_its_turn_comes_does_not_run() {
    let served = Served::default();
    let t = desk(1, 8, &served).await;
    let (first, second) = (t.client(), t.client().within(Duration::from_millis(100)));
    let ((), ended) = t
        .run(async {
            tokio::join!(
                async { assert!(first.ask(serve("first", How::Blocks)).await.is_ok()) },
                second.ask(serve("second", How::AtOnce))
            )
        })
        .await;
    assert!(matches!(ended, Err(AskError::NotDelivered(NotDelivered::Expired { .. }))), "{ended:?}");
    assert_eq!(*served.0.lock(), ["first"]);
}
