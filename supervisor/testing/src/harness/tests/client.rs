//! The client that an actor gets at its start, used by its handlers.

use essaim_core::Client;

use super::*;

struct Middle;
impl Capability for Middle {
    const NAME: &'static str = "middle";
}
struct Below;
impl Capability for Below {
    const NAME: &'static str = "below";
}
struct Beside;
impl Capability for Beside {
    const NAME: &'static str = "beside";
}

macro_rules! ask {
    ($name:ident, $to:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $name;
        impl Message for $name {
            type To = $to;
            const NAME: &'static str = "do";
            const VERSION: u16 = 1;
        }
        impl Ask for $name {
            type Reply = String;
            type Error = Never;
        }
    };
}
ask!(DoMiddle, Middle);
ask!(DoBelow, Below);
ask!(DoBeside, Beside);

/// Asks as it should not: by a client that it has kept.
struct MiddleActor(Client);
impl Actor for MiddleActor {
    type Capability = Middle;
    type Settings = std::collections::BTreeMap<String, String>;
    type Shared = Client;
    const ASKS: &'static [&'static str] = &[Below::NAME];

    async fn share(_: Self::Settings, start: &mut Start) -> Result<Client, StartError> {
        Ok(start.client())
    }
    async fn start(client: &Client, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(client.clone()))
    }
    fn handles(h: &mut Handles<Self>) {
        h.ask::<DoMiddle>();
    }
}
impl Handle<DoMiddle> for MiddleActor {
    async fn handle(&mut self, _: DoMiddle, _: &mut Cx) -> Result<String, Fault> {
        let below = self.0.ask(DoBelow).await.unwrap_or_else(|e| e.to_string());
        let beside = self.0.ask(DoBeside).await.unwrap_or_else(|e| e.to_string());
        let itself = self.0.ask(DoMiddle).await.unwrap_or_else(|e| e.to_string());
        Ok(format!("{below}; {beside}; {itself}"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_an_actor_has_kept_asks_only_whom_the_actor_declares() {
    let one = |settings: &mut essaim_config::Settings| {
        settings.capabilities.entry("middle".into()).or_default().instances = 1;
    };
    let stage = Harness::<MiddleActor>::bare().runtime(one);
    let t = stage.stub::<DoBelow>(|_| Ok("done".into())).stub::<DoBeside>(|_| Ok("done".into())).start().await;
    let answer = t.ask(DoMiddle).await.unwrap();
    let parts: Vec<_> = answer.split("; ").collect();
    assert_eq!(parts[0], "done");
    assert!(parts[1].contains("middle -> beside") && parts[2].contains("middle -> middle"), "{answer}");
}
