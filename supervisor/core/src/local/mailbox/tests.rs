use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;
use std::time::Duration;

use essaim_contract::Never;

use super::*;

type Envelope32 = Envelope<u8, u32, Never>;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn message(due: Instant) -> QueuedMessage {
    let call = Call::of_the_runtime(due, essaim_base::trace::TraceContext::root(&essaim_base::Env::system()));
    let contents = EnvelopeContents { message: 1, call, observed: None, key: None };
    QueuedMessage { entry: 0, envelope: Arc::new(Envelope32::holding(contents)), deadline: due }
}

#[test]
fn all_that_waits_is_taken_at_once_with_the_earliest_deadline() {
    let (mailbox, now) = (Mailbox::default(), Instant::now());
    let woken = Arc::new(Woken::default());
    let waker = woken.clone().into();
    let task = Context::from_waker(&waker);
    let mut taken = VecDeque::new();
    assert!(mailbox.poll_take(&mut taken, &task).is_pending());
    for seconds in [3, 1, 2] {
        assert!(mailbox.put(message(now + Duration::from_secs(seconds))).is_ok());
    }
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "the first message wakes, the others find it awake");
    assert_eq!(mailbox.poll_take(&mut taken, &task), Poll::Ready(Some(now + Duration::from_secs(1))));
    assert_eq!(taken.len(), 3);
}

#[test]
fn a_busy_instance_is_woken_only_by_a_message_that_is_due_sooner() {
    let (mailbox, now) = (Mailbox::default(), Instant::now());
    let woken = Arc::new(Woken::default());
    let waker = woken.clone().into();
    let task = Context::from_waker(&waker);
    let at = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(mailbox.poll_earliest(Some(at(5)), &task), Some(at(5)));
    assert!(mailbox.put(message(at(9))).is_ok());
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    assert!(mailbox.put(message(at(2))).is_ok());
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(mailbox.poll_earliest(Some(at(5)), &task), Some(at(2)));
}

#[test]
fn a_closed_mailbox_gives_messages_back() {
    let (mailbox, now) = (Mailbox::default(), Instant::now());
    assert!(mailbox.put(message(now)).is_ok());
    assert_eq!(mailbox.close().len(), 1);
    assert!(mailbox.put(message(now)).is_err());
}

#[test]
fn a_message_of_another_type_is_given_back_and_can_be_refused() {
    let dispatched: ErasedDispatch = Dispatched::Queued(message(Instant::now()).envelope);
    let other = dispatched.downcast::<String, (), Never>().err().expect("it is not of this type");
    other.refuse(NotDelivered::Unsupported { message: "desk.serve.v1".into() });
    let Ok(Dispatched::Queued(envelope)) = other.downcast::<u8, u32, Never>() else { panic!("it is of this type") };
    assert!(envelope.is_settled() && envelope.begin().is_none());
}
