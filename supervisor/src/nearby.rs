//! The instances on this thread.
//!
//! An ask for an instance that lives on the asker's own thread and has nothing else to do is a call: it needs no
//! mailbox, no wake-up and no turn of the scheduler. What keeps an actor an actor stays as it is: one message at a
//! time, its permit, its deadline, its guard.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

use crate::idhash::IdHasher;

/// An instance on this thread.
pub(crate) trait Nearby {
    /// Whether it has nothing to do.
    fn is_free(&self) -> bool;

    /// Runs a message of this entry, a `HereEnvelope`, up to its first wait; only while it is free.
    fn run_now(&self, entry: usize, envelope: Rc<dyn Any>);
}

thread_local! {
    static HERE: RefCell<HashMap<u64, Rc<dyn Nearby>, BuildHasherDefault<IdHasher>>> = RefCell::default();
}

/// The instance of this id, if it lives on this thread.
pub(crate) fn find(id: u64) -> Option<Rc<dyn Nearby>> {
    HERE.with_borrow(|here| here.get(&id).cloned())
}

/// An instance lives on this thread from now on.
pub(crate) fn moved_in(id: u64, instance: Rc<dyn Nearby>) {
    HERE.with_borrow_mut(|here| here.insert(id, instance));
}

/// It does not any more.
pub(crate) fn moved_out(id: u64) {
    // A thread that ends may have forgotten everybody already. Dropped outside the borrow, whatever that sets off.
    drop(HERE.try_with(|here| here.try_borrow_mut().ok()?.remove(&id)));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use essaim_contract::{Ask, Capability, Message, Never};
    use futures_util::{FutureExt, poll};
    use serde::{Deserialize, Serialize};

    use crate::{Actor, Cx, Fault, Handle, Handles, Harness, Start, StartError};

    struct Steps;
    impl Capability for Steps {
        const NAME: &'static str = "steps";
    }

    /// Counted after so many milliseconds; 0: at once.
    #[derive(Serialize, Deserialize)]
    struct Step(u64);
    impl Message for Step {
        type To = Steps;
        const NAME: &'static str = "step";
        const VERSION: u16 = 1;
    }
    impl Ask for Step {
        type Reply = u64;
        type Error = Never;
    }

    struct StepsActor(u64);
    impl Actor for StepsActor {
        type Capability = Steps;
        type Settings = std::collections::BTreeMap<String, String>;
        type Shared = ();

        async fn share(_: Self::Settings, _: &mut Start) -> Result<(), StartError> {
            Ok(())
        }
        async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
            Ok(Self(0))
        }
        fn handles(h: &mut Handles<Self>) {
            h.ask::<Step>();
        }
    }
    impl Handle<Step> for StepsActor {
        async fn handle(&mut self, Step(wait_ms): Step, _: &mut Cx) -> Result<u64, Fault> {
            if wait_ms > 0 {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            self.0 += 1;
            Ok(self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_neighbour_answers_in_the_askers_own_turn() {
        let t = Harness::<StepsActor>::bare().start().await;
        let client = t.client();
        assert_eq!(t.run(async { client.ask(Step(0)).now_or_never() }).await, Some(Ok(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_waits_goes_on_when_its_asker_has_gone() {
        let t = Harness::<StepsActor>::bare().start().await;
        let client = t.client();
        let after = t.run(async {
            let mut ask = Box::pin(client.ask(Step(10)));
            assert!(poll!(&mut ask).is_pending());
            drop(ask);
            // It comes after the one that is being handled, by way of the mailbox.
            client.ask(Step(0)).await
        });
        assert_eq!(after.await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn asks_that_are_answered_at_once_leave_others_their_turn() {
        let t = Harness::<StepsActor>::bare().start().await;
        let (client, had_its_turn) = (t.client(), Rc::new(Cell::new(false)));
        let other = had_its_turn.clone();
        let asked = t.run(async {
            tokio::task::spawn_local(async move { other.set(true) });
            let mut asked = 0;
            while !had_its_turn.get() && asked < 100_000 {
                asked = client.ask(Step(0)).await.unwrap();
            }
            asked
        });
        assert!((1..100_000).contains(&asked.await), "the other task ran while asks were being answered");
    }
}
