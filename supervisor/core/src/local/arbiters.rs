//! The threads that run actors. With `cell.rs` the only file that knows actix.
//!
//! Arbiters are actix arbiters: threads with a current-thread runtime each. The runtime's own tasks have two threads beside
//! them, where no handler runs that could block them. The one that starts the node is the control thread (heartbeats, asks of
//! other nodes and of operators); nothing may block it. On the durable thread all work on durable messages is done (leases,
//! readers, workers, relays, the embedded log), which calls SQLite in place. Without a control thread both are the first
//! arbiter as well; a node with one arbiter lives on one thread entirely then, which is how the harness pauses its time.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use essaim_base::lock::Mutex;
use essaim_base::task::{TaskName, Tasks};
use essaim_base::threads::{self, Thread};

use crate::local::watchdog::{TurnMonitor, Watchdog};

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
    /// Dropped when all else that lives on the thread of an arbiter has been.
    static ALIVE: Cell<Option<mpsc::SyncSender<Infallible>>> = const { Cell::new(None) };
}

/// How long a node that ends waits for what lives on its arbiters, such as databases that its successor opens. One that a
/// handler blocks is left alone then.
const LEAVE: Duration = Duration::from_secs(1);

/// The index of the arbiter whose thread this is; none on the control thread.
pub fn current() -> Option<usize> {
    CURRENT.get()
}

/// Runs a future, such as a node's life, on this thread: it becomes the node's control thread.
///
/// # Panics
/// If the operating system gives no event queue.
pub fn run<F: Future>(work: F) -> F::Output {
    let system = actix::System::new();
    let (output, runtime) = system.block_on(async { (work.await, tokio::runtime::Handle::current()) });
    // What is still under way, such as a pool that is being opened, must find the runtime while it is dropped.
    let _context = runtime.enter();
    drop(system);
    output
}

/// The arbiters of one node.
pub struct Arbiters {
    /// Whether this thread is none of them.
    control: bool,
    others: Vec<actix::Arbiter>,
    /// Absent without a control thread.
    durable: Option<(actix::Arbiter, Thread)>,
    monitors: Vec<Arc<TurnMonitor>>,
    /// Says nothing, until no arbiter is left.
    alive: Mutex<mpsc::Receiver<Infallible>>,
}

impl Arbiters {
    /// Starts `count` arbiters, of which this thread is the first unless it is the `control` thread. Each records a
    /// turn every `turn_interval`, if one is given, and so does the control thread.
    #[allow(clippy::disallowed_methods)] // What is set cannot panic.
    pub fn start(
        count: usize,
        control: bool,
        watchdog: &Watchdog,
        turn_interval: Option<Duration>,
        tasks: &Tasks,
    ) -> Self {
        let here = usize::from(!control);
        CURRENT.set((!control).then_some(0));
        threads::set_must_not_block(control);
        let others: Vec<_> = (here..count).map(|_| actix::Arbiter::new()).collect();
        let (living, alive) = mpsc::sync_channel(0);
        for (index, arbiter) in (here..).zip(&others) {
            let living = living.clone();
            arbiter.spawn_fn(move || {
                CURRENT.set(Some(index));
                ALIVE.set(Some(living));
            });
        }
        let durable = control.then(|| durable_thread(living));
        let monitors = (0..count).map(|_| Arc::default()).collect();
        let arbiters = Self { control, others, durable, monitors, alive: Mutex::new(alive) };
        if let Some(turn_interval) = turn_interval {
            for (index, monitor) in arbiters.monitors.iter().enumerate() {
                watchdog.add(index.to_string(), monitor.clone());
                let (monitor, tasks) = (monitor.clone(), tasks.clone());
                let name = TaskName::of_node("arbiter").which(index);
                arbiters.run(index, move || {
                    drop(tasks.restarted(name, move || record_turns(monitor.clone(), turn_interval)))
                });
            }
            for (name, tasks) in [("control", tasks.clone()), ("durable", tasks.on(arbiters.durable()))] {
                if control {
                    let monitor: Arc<TurnMonitor> = Arc::default();
                    watchdog.add(name.into(), monitor.clone());
                    tasks.restarted(TaskName::of_node(name), move || record_turns(monitor.clone(), turn_interval));
                }
            }
        }
        arbiters
    }

    /// The thread for work on durable messages; `None`: where the node runs.
    pub fn durable(&self) -> Option<Thread> {
        self.durable.as_ref().map(|(_, thread)| thread.clone())
    }

    pub fn count(&self) -> usize {
        self.monitors.len()
    }

    pub fn monitor(&self, arbiter: usize) -> Arc<TurnMonitor> {
        self.monitors[arbiter].clone()
    }

    /// The arbiter for what any of them can do, one after the other, and none that is blocked while another is not; `None` where
    /// this thread is one of them.
    pub fn in_turn(&self, turn: usize) -> Option<usize> {
        let mut all = (0..self.count()).map(|n| (turn + n) % self.count());
        let first = all.clone().next().filter(|_| self.control)?;
        Some(all.find(|index| self.monitors[*index].blocked().is_zero()).unwrap_or(first))
    }

    /// Begins something on an arbiter; on one that is the node's own thread from there alone.
    #[allow(clippy::disallowed_methods)] // What is begun there is a task or an instance, and watched as such.
    pub fn run(&self, arbiter: usize, begin: impl FnOnce() + Send + 'static) {
        match arbiter.checked_sub(usize::from(!self.control)) {
            None => begin(),
            Some(other) => drop(self.others[other].spawn_fn(begin)),
        }
    }
}

impl Drop for Arbiters {
    fn drop(&mut self) {
        for arbiter in self.others.iter().chain(self.durable.as_ref().map(|(arbiter, _)| arbiter)) {
            arbiter.stop();
        }
        let _ = self.alive.get_mut().recv_timeout(LEAVE);
    }
}

/// Starts the thread for work on durable messages.
#[allow(clippy::disallowed_methods)] // What is given to it are tasks, and watched as such.
fn durable_thread(living: mpsc::SyncSender<Infallible>) -> (actix::Arbiter, Thread) {
    let (arbiter, (id, told)) = (actix::Arbiter::new(), mpsc::sync_channel(1));
    arbiter.spawn_fn(move || {
        ALIVE.set(Some(living));
        let _ = id.send(std::thread::current().id());
    });
    let (id, handle) = (told.recv().expect("a thread that has started tells its id"), arbiter.handle());
    (
        arbiter,
        Thread::new(id, move |begin| {
            handle.spawn_fn(begin);
        }),
    )
}

async fn record_turns(monitor: Arc<TurnMonitor>, turn_interval: Duration) {
    loop {
        monitor.record_turn();
        tokio::time::sleep(turn_interval).await;
    }
}
