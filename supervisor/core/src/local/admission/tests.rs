use essaim_base::Env;
use essaim_base::trace::TraceContext;
use futures_util::FutureExt;

use super::*;
use crate::local::testing::{Serve, host};

fn call(limit: Duration) -> Call {
    Call::of_the_runtime(Instant::now() + limit, TraceContext::root(&Env::system()))
}

/// The envelope that waits in the mailbox of an instance.
fn queued(host: &Host, instance: usize) -> Arc<AskEnvelope<Serve>> {
    let message = host.instances()[instance].mailbox.close().pop_front().expect("a message waits");
    let envelope: Arc<dyn std::any::Any + Send + Sync> = message.envelope;
    envelope.downcast().expect("the envelope of an ask")
}

async fn ask(permit: Permit<'_>, limit: Duration) -> Result<u32, AskError<Never>> {
    permit.ask::<Serve, u32, Never>(0, Serve(1), call(limit)).await
}

#[tokio::test]
async fn a_permit_that_is_not_used_is_returned() {
    let host = host(1, 4);
    let permits: Vec<_> = (0..3).map(|_| host.admit(None).ok().unwrap()).collect();
    assert_eq!((host.admitted(), host.instances()[0].waiting()), (3, 3));
    drop(permits);
    assert_eq!((host.admitted(), host.instances()[0].waiting()), (0, 0));
}

#[tokio::test]
async fn at_the_limit_an_ask_is_refused_and_takes_nothing() {
    let host = host(1, 2);
    let (_one, two) = (host.admit(None).ok(), host.admit(None).ok());
    let refused = host.admit(None).err();
    assert!(matches!(refused, Some(NotDelivered::Overloaded { bound, .. }) if bound.contains("mailbox = 2")));
    assert_eq!(RefusalCause::ALL.map(|cause| host.admission.refused(cause)), [0, 1, 0]);
    assert_eq!(host.admitted(), 2);
    drop(two);
    assert!(host.admit(None).is_ok());
}

#[tokio::test]
async fn one_key_has_a_share_of_the_mailbox_and_its_refusal_returns_the_permit() {
    let host = host(1, 8).admitting_of_a_key(2);
    let _held: Vec<_> = (0..2).map(|_| host.admit(Some("a")).ok().unwrap()).collect();
    let refused = host.admit(Some("a")).err();
    assert!(matches!(refused, Some(NotDelivered::Overloaded { bound, .. }) if bound.contains("mailbox_per_key = 2")));
    assert_eq!(RefusalCause::ALL.map(|cause| host.admission.refused(cause)), [0, 0, 1]);
    assert_eq!(host.admitted(), 2);
    assert!(host.admit(Some("b")).is_ok());
}

#[tokio::test]
async fn messages_of_one_key_share_an_instance_and_others_go_where_less_waits() {
    let host = host(4, 64);
    let key: Vec<_> = (0..3).map(|_| host.admit(Some("a")).ok().unwrap()).collect();
    let own = key[0].instance;
    assert!(key.iter().all(|permit| permit.instance == own));
    assert_ne!(host.admit(None).ok().unwrap().instance, own);
}

#[tokio::test]
async fn a_message_whose_asker_has_gone_away_never_begins() {
    let host = host(1, 4);
    // Polled once: it waits in the mailbox then.
    assert!(ask(host.admit(None).ok().unwrap(), Duration::from_secs(9)).now_or_never().is_none());
    assert!(queued(&host, 0).begin().is_none());
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_message_that_waits_is_taken_back() {
    let host = host(1, 4);
    let _ahead = host.admit(None).ok().unwrap();
    let answer = ask(host.admit(None).ok().unwrap(), Duration::from_secs(1)).await;
    assert!(
        matches!(answer, Err(AskError::NotDelivered(NotDelivered::Expired { queued_behind: 1, .. }))),
        "{answer:?}"
    );
    assert!(queued(&host, 0).begin().is_none());
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_message_that_runs_has_an_unknown_outcome() {
    let host = host(1, 4);
    let mut asking = Box::pin(ask(host.admit(None).ok().unwrap(), Duration::from_secs(1)));
    assert!((&mut asking).now_or_never().is_none());
    let envelope = queued(&host, 0);
    assert!(envelope.begin().is_some());
    envelope.running_since(Instant::now());
    let answer = asking.await;
    let running_ms = match answer {
        Err(AskError::Unknown(Unknown::TimedOut { running_ms, .. })) => running_ms,
        other => panic!("{other:?}"),
    };
    assert!((1_000..1_100).contains(&running_ms), "{running_ms}");
}

#[tokio::test]
async fn a_message_for_an_instance_that_has_ended_is_refused_at_once() {
    let host = host(1, 4);
    drop(host.instances()[0].mailbox.close());
    let answer = ask(host.admit(None).ok().unwrap(), Duration::from_secs(9)).await;
    assert!(matches!(answer, Err(AskError::NotDelivered(NotDelivered::Failed { .. }))), "{answer:?}");
    assert_eq!(host.admitted(), 0);
}
