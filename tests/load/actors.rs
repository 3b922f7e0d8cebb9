//! Capabilities that misbehave, and one that does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use essaim::lock::{Condvar, Mutex};
use essaim::{Actor, Cx, Fault, Handle, Handles, Start, StartError};
use essaim_contract::{Ask, Capability, Message, Never};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// These capabilities have no settings.
type NoSettings = BTreeMap<String, String>;

/// A value that the test provided to the node.
fn provided<T: Clone + Send + Sync + 'static>(start: &Start) -> Result<T, StartError> {
    start.provided::<T>().map(|t| (*t).clone()).ok_or_else(|| StartError::new("the test provides it"))
}

/// Handlers that wait until the test lets them go on.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets that many pass.
    pub fn let_pass(&self, count: usize) {
        self.0.add_permits(count);
    }

    pub async fn pass(&self) {
        self.0.acquire().await.expect("it is never closed").forget();
    }
}

/// Answers always: the capability that does not misbehave.
pub struct Steady;
impl Capability for Steady {
    const NAME: &'static str = "steady";
}

/// Answered with the same number.
#[derive(Serialize, Deserialize)]
pub struct Echo(pub u64);
impl Message for Echo {
    type To = Steady;
    const NAME: &'static str = "echo";
    const VERSION: u16 = 1;
}
impl Ask for Echo {
    type Reply = u64;
    type Error = Never;
}

pub struct SteadyActor;

impl Actor for SteadyActor {
    type Capability = Steady;
    type Settings = NoSettings;
    type Shared = ();

    async fn share(_: NoSettings, _: &mut Start) -> Result<(), StartError> {
        Ok(())
    }

    async fn start((): &(), _: &mut Start) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Echo>();
    }
}

impl Handle<Echo> for SteadyActor {
    async fn handle(&mut self, Echo(n): Echo, _: &mut Cx) -> Result<u64, Fault> {
        Ok(n)
    }
}

/// Panics at every third message.
pub struct Moody;
impl Capability for Moody {
    const NAME: &'static str = "moody";
}

/// Answered with how many messages the instance has handled since its state was built; a panic if the number is the
/// third, the sixth and so on.
#[derive(Serialize, Deserialize)]
pub struct Say(pub u64);
impl Message for Say {
    type To = Moody;
    const NAME: &'static str = "say";
    const VERSION: u16 = 1;
}
impl Ask for Say {
    type Reply = u64;
    type Error = Never;
}

/// Answered when the gate lets it pass.
#[derive(Serialize, Deserialize)]
pub struct Stay;
impl Message for Stay {
    type To = Moody;
    const NAME: &'static str = "stay";
    const VERSION: u16 = 1;
}
impl Ask for Stay {
    type Reply = ();
    type Error = Never;
}

pub struct MoodyActor {
    handled: u64,
    gate: Gate,
}

impl Actor for MoodyActor {
    type Capability = Moody;
    type Settings = NoSettings;
    type Shared = Gate;

    async fn share(_: NoSettings, start: &mut Start) -> Result<Gate, StartError> {
        provided(start)
    }

    async fn start(gate: &Gate, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { handled: 0, gate: gate.clone() })
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Say>().ask::<Stay>();
    }
}

impl Handle<Say> for MoodyActor {
    async fn handle(&mut self, Say(n): Say, _: &mut Cx) -> Result<u64, Fault> {
        self.handled += 1;
        // Some panic at once, others after they have waited for something.
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        if n % 3 == 0 {
            // As `panic!`, without a thousand lines of the panic hook.
            std::panic::resume_unwind(Box::new(format!("{n} is too much")));
        }
        Ok(self.handled)
    }
}

impl Handle<Stay> for MoodyActor {
    async fn handle(&mut self, _: Stay, _: &mut Cx) -> Result<(), Fault> {
        self.gate.pass().await;
        Ok(())
    }
}

/// Fails to start, again and again, until the test says that it is enough.
pub struct Late;
impl Capability for Late {
    const NAME: &'static str = "late";
}

/// Answered once the capability is up.
#[derive(Serialize, Deserialize)]
pub struct Hello;
impl Message for Hello {
    type To = Late;
    const NAME: &'static str = "hello";
    const VERSION: u16 = 1;
}
impl Ask for Hello {
    type Reply = String;
    type Error = Never;
}

/// The part of `late`'s start that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Building what its instances share.
    Share,
    /// Building the state of an instance.
    Start,
}

/// How `late` starts, and when it tried.
#[derive(Clone)]
pub struct Tries {
    pub at: Step,
    /// How many tries fail, of the share or of all instances together.
    pub failing: u32,
    /// The last of them ends only when this lets it pass.
    pub last: Gate,
    tried: Arc<AtomicU32>,
    begun: Arc<Mutex<Vec<Instant>>>,
}

impl Tries {
    pub fn failing(at: Step, failing: u32) -> Self {
        Self { at, failing, last: Gate::shut(), tried: Arc::default(), begun: Arc::default() }
    }

    /// How many tries have begun.
    pub fn count(&self) -> u32 {
        self.tried.load(Ordering::SeqCst)
    }

    /// When each try began.
    pub fn begun(&self) -> Vec<Instant> {
        self.begun.lock().clone()
    }

    async fn attempt(&self, at: Step) -> Result<(), StartError> {
        if at != self.at {
            return Ok(());
        }
        self.begun.lock().push(Instant::now());
        let number = self.tried.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.failing {
            self.last.pass().await;
        }
        if number <= self.failing { Err(StartError::new(format_args!("try {number} failed"))) } else { Ok(()) }
    }
}

pub struct LateActor;

impl Actor for LateActor {
    type Capability = Late;
    type Settings = NoSettings;
    type Shared = Tries;

    async fn share(_: NoSettings, start: &mut Start) -> Result<Tries, StartError> {
        let tries: Tries = provided(start)?;
        tries.attempt(Step::Share).await?;
        Ok(tries)
    }

    async fn start(tries: &Tries, _: &mut Start) -> Result<Self, StartError> {
        tries.attempt(Step::Start).await?;
        Ok(Self)
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Hello>();
    }
}

impl Handle<Hello> for LateActor {
    async fn handle(&mut self, _: Hello, _: &mut Cx) -> Result<String, Fault> {
        Ok("here at last".into())
    }
}

/// Blocks the thread that it runs on.
pub struct Rude;
impl Capability for Rude {
    const NAME: &'static str = "rude";
}

/// Waits as a handler should: its thread is free meanwhile.
#[derive(Serialize, Deserialize)]
pub struct Wait;
impl Message for Wait {
    type To = Rude;
    const NAME: &'static str = "wait";
    const VERSION: u16 = 1;
}
impl Ask for Wait {
    type Reply = ();
    type Error = Never;
}

/// Waits as a handler must not: nothing else runs on its thread meanwhile.
#[derive(Serialize, Deserialize)]
pub struct Block;
impl Message for Block {
    type To = Rude;
    const NAME: &'static str = "block";
    const VERSION: u16 = 1;
}
impl Ask for Block {
    type Reply = ();
    type Error = Never;
}

/// What `rude`'s handlers wait for: a gate, and a condition for those that block.
#[derive(Clone)]
pub struct Leave {
    pub gate: Gate,
    blocked: Arc<(Mutex<bool>, Condvar)>,
}

impl Leave {
    pub fn none() -> Self {
        Self { gate: Gate::shut(), blocked: Arc::default() }
    }

    /// Frees the threads.
    pub fn unblock(&self) {
        *self.blocked.0.lock() = true;
        self.blocked.1.notify_all();
    }

    fn block(&self) {
        self.blocked.1.wait_while(&mut self.blocked.0.lock(), |free| !*free);
    }
}

pub struct RudeActor(Leave);

impl Actor for RudeActor {
    type Capability = Rude;
    type Settings = NoSettings;
    type Shared = Leave;

    async fn share(_: NoSettings, start: &mut Start) -> Result<Leave, StartError> {
        provided(start)
    }

    async fn start(leave: &Leave, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(leave.clone()))
    }

    fn handles(h: &mut Handles<Self>) {
        h.ask::<Wait>().ask::<Block>();
    }
}

impl Handle<Wait> for RudeActor {
    async fn handle(&mut self, _: Wait, _: &mut Cx) -> Result<(), Fault> {
        self.0.gate.pass().await;
        Ok(())
    }
}

impl Handle<Block> for RudeActor {
    async fn handle(&mut self, _: Block, _: &mut Cx) -> Result<(), Fault> {
        self.0.block();
        Ok(())
    }
}
