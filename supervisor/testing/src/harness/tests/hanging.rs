//! Handlers that do not end by themselves.

use std::time::Duration;

use essaim_contract::{AskError, NotDelivered, Unknown};

use super::*;

struct Mill;
impl Capability for Mill {
    const NAME: &'static str = "mill";
}

/// Whether it hangs.
#[derive(Serialize, Deserialize)]
struct Grind(bool);
impl Message for Grind {
    type To = Mill;
    const NAME: &'static str = "grind";
    const VERSION: u16 = 1;
}
impl Ask for Grind {
    type Reply = ();
    type Error = Never;
}

struct MillActor;
impl Actor for MillActor {
    type Capability = Mill;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = ();

    async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }
    async fn start(_: &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<Grind>();
    }
}
impl Handle<Grind> for MillActor {
    async fn handle(&mut self, Grind(hangs): Grind, _: &mut Cx) -> Result<(), Fault> {
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

async fn mill() -> Stage<MillActor> {
    let few = |settings: &mut essaim_config::Settings| {
        settings.supervision.max_failures = 3;
        settings.capabilities.entry("mill".into()).or_default().instances = 1;
    };
    Harness::<MillActor>::bare().runtime(few).start().await
}

#[tokio::test(start_paused = true)]
async fn handlers_that_only_hang_open_the_breaker_and_are_counted() {
    let t = mill().await;
    for _ in 0..3 {
        assert!(matches!(t.ask(Grind(true)).await, Err(AskError::Unknown(Unknown::TimedOut { .. }))));
    }
    let refused = t.ask(Grind(true)).await;
    let Err(AskError::NotDelivered(NotDelivered::Failed { reason, .. })) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("has missed 3 deadlines"), "{reason}");
    let status = t.run(t.client().status()).await;
    assert_eq!(status["capabilities"]["mill"]["missed_deadlines"], 3);
    t.run(tokio::time::sleep(Duration::from_secs(60))).await;
    let again = t.ask(Grind(false)).await;
    assert!(again.is_ok(), "it was given up for a while, not for good: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_hangs_takes_nobody_down_while_others_are_handled() {
    let t = mill().await;
    for _ in 0..10 {
        assert!(t.ask(Grind(true)).await.is_err());
        assert!(t.ask(Grind(false)).await.is_ok());
    }
}
