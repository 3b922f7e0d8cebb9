//! kameo with its default mailbox.

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::message::{Context, Message};

use super::ask_many;
use crate::Error;
use crate::echo::Payload;

struct Echo {
    seen: u64,
}

impl Actor for Echo {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self { seen: 0 })
    }
}

impl Message<Payload> for Echo {
    type Reply = Result<Payload, Infallible>;

    async fn handle(&mut self, payload: Payload, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.seen = self.seen.wrapping_add(payload.id);
        Ok(payload.answer())
    }
}

pub fn run() -> Result<f64, Error> {
    super::on_one_thread(async {
        let echo = Echo::spawn(());
        ask_many(async move |payload| echo.ask(payload).await.expect("the echo answers")).await
    })
}
