//! Bare actix with a mailbox that is never full: no permit, no deadline, no guard.

use actix::{Actor, Context, Handler, Message};

use super::{IN_FLIGHT, ask_many};
use crate::echo::Payload;

struct Echo {
    seen: u64,
}

impl Actor for Echo {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(4 * IN_FLIGHT as usize);
    }
}

struct Ask(Payload);
impl Message for Ask {
    type Result = Result<Payload, ()>;
}

impl Handler<Ask> for Echo {
    type Result = Result<Payload, ()>;

    fn handle(&mut self, Ask(payload): Ask, _: &mut Self::Context) -> Self::Result {
        self.seen = self.seen.wrapping_add(payload.id);
        Ok(payload.answer())
    }
}

pub fn run() -> f64 {
    actix::System::new().block_on(async {
        let echo = Echo { seen: 0 }.start();
        ask_many(async move |payload| echo.send(Ask(payload)).await.expect("the echo lives").expect("it answers")).await
    })
}
