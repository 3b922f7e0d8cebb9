//! ractor, whose mailbox has no bound.

use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::ask_many;
use crate::Error;
use crate::echo::Payload;

struct Ask(Payload, RpcReplyPort<Payload>);

struct Echo;

impl Actor for Echo {
    type Msg = Ask;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        Ask(payload, port): Ask,
        seen: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        *seen = seen.wrapping_add(payload.id);
        let _ = port.send(payload.answer());
        Ok(())
    }
}

pub fn run() -> Result<f64, Error> {
    super::on_one_thread(async {
        let (echo, _task) = Actor::spawn(None, Echo, ()).await.expect("it starts");
        ask_many(async move |payload| match echo.call(|port| Ask(payload, port), None).await {
            Ok(CallResult::Success(payload)) => payload,
            _ => panic!("the echo answers"),
        })
        .await
    })
}
