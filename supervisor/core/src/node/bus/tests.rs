use std::time::Duration;

use essaim_base::call::Chain;
use essaim_base::trace::TraceContext;
use essaim_contract::Never;
use essaim_remote::ports::Inbound;

use super::*;
use crate::local::testing::{Serve, bus, host};

/// A host of the desk with room for one message.
fn desk() -> Arc<Host> {
    Arc::new(host(1, 1))
}

fn call(bus: &Bus, chain: Chain) -> Call {
    let deadline = bus.env.now() + Duration::from_millis(20);
    Call { chain, ..Call::of_the_runtime(deadline, TraceContext::root(&bus.env)) }
}

async fn ask(bus: &Bus, origin: Origin<'_>, chain: Chain) -> Result<u32, AskError<Never>> {
    bus.ask(Serve(1), origin, call(bus, chain)).await
}

#[tokio::test]
async fn a_handler_asks_only_capabilities_that_it_declares() {
    let bus = bus(vec![desk()]);
    let answer = ask(&bus, Origin::Handler { asks: &["till"] }, Chain::default()).await;
    assert!(matches!(answer, Err(AskError::NotDelivered(NotDelivered::Cycle { chain })) if chain == ["desk"]));
    assert_eq!(bus.hosts()[0].admitted(), 0);
}

#[tokio::test]
async fn a_handler_asks_no_capability_that_waits_for_it() {
    let bus = bus(vec![desk()]);
    let chain = Chain::default().then(&"desk".into()).then(&"till".into());
    let answer = ask(&bus, Origin::Handler { asks: &["desk"] }, chain).await;
    let Err(AskError::NotDelivered(NotDelivered::Cycle { chain })) = answer else { panic!("{answer:?}") };
    assert_eq!(chain, ["desk", "till", "desk"]);
}

#[tokio::test]
async fn without_a_host_and_without_other_nodes_nobody_is_there() {
    let answer = ask(&bus(Vec::new()), Origin::Edge, Chain::default()).await;
    assert!(matches!(answer, Err(AskError::NotDelivered(NotDelivered::NoHost { capability })) if capability == "desk"));
}

#[tokio::test]
async fn why_the_host_here_refuses_is_the_answer_where_there_is_no_other_node() {
    let bus = bus(vec![desk()]);
    let host = bus.host("desk").unwrap().clone();
    let _only = host.admit(None).ok().unwrap();
    let answer = ask(&bus, Origin::Edge, Chain::default()).await;
    assert!(matches!(answer, Err(AskError::NotDelivered(NotDelivered::Overloaded { .. }))), "{answer:?}");
}

#[tokio::test]
async fn without_a_log_nothing_is_stored_and_the_error_says_so() {
    let bus = bus(Vec::new());
    let context = essaim_durable::MessageContext {
        trace: TraceContext::root(&bus.env),
        trace_state: Default::default(),
        records: None,
        principal: None,
        metadata: None,
        most_bytes: 1 << 20,
        keys: Default::default(),
    };
    let message = context.to(&bus.env, &Serve(1), "desk".into()).unwrap();
    assert!(matches!(bus.send(message).await, Err(SendError::NotStored { .. })));
}

#[tokio::test]
async fn asks_of_other_nodes_are_refused_for_what_is_true_of_them() {
    let bus = bus(vec![desk()]);
    let body = codec::encode(&Serve(1)).unwrap();
    let refused = |name: &str, body: &[u8], chain| bus.clone().answer(name, body, call(&bus, chain)).err();
    assert!(matches!(refused("till.pay.v1", &body, Chain::default()), Some(NotDelivered::NoHost { .. })));
    assert!(matches!(refused("desk.serve.v2", &body, Chain::default()), Some(NotDelivered::Unsupported { .. })));
    let undecodable = refused("desk.serve.v1", b"\xc1", Chain::default());
    assert!(matches!(undecodable, Some(NotDelivered::Undecodable { .. })), "{undecodable:?}");
    let waits_for_it = Chain::default().then(&"desk".into());
    assert!(matches!(refused("desk.serve.v1", &body, waits_for_it), Some(NotDelivered::Cycle { .. })));
    assert!(refused("desk.serve.v1", &body, Chain::default()).is_none());
}
