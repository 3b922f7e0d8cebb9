//! The threads that run actors. With `cell.rs` the only file that knows actix.
//!
//! The first arbiter is the thread that starts the node, the others are actix arbiters: threads with a
//! current-thread runtime each. A node with one arbiter lives on one thread entirely, which is how the harness pauses
//! its time.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::task::{TaskName, Tasks};
use crate::watchdog::{Beat, Watchdog};

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The index of the arbiter whose thread this is.
pub(crate) fn current() -> Option<usize> {
    CURRENT.get()
}

/// Runs a future, such as a node's life, on this thread: it becomes the first arbiter.
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
pub(crate) struct Arbiters {
    others: Vec<actix::Arbiter>,
    beats: Vec<Arc<Beat>>,
}

impl Arbiters {
    /// Makes this thread the first of `count` arbiters and starts the others. Each beats every `pulse`, if one is given.
    #[allow(clippy::disallowed_methods)] // What is set cannot panic.
    pub fn start(count: usize, watchdog: &Watchdog, pulse: Option<Duration>, tasks: &Tasks) -> Self {
        CURRENT.set(Some(0));
        let others: Vec<_> = (1..count).map(|_| actix::Arbiter::new()).collect();
        let beats: Vec<_> = (0..count).map(|_| Arc::new(Beat::default())).collect();
        for (index, arbiter) in others.iter().enumerate() {
            arbiter.spawn_fn(move || CURRENT.set(Some(index + 1)));
        }
        let arbiters = Self { others, beats };
        if let Some(pulse) = pulse {
            for (index, beat) in arbiters.beats.iter().enumerate() {
                watchdog.add(beat.clone());
                let (beat, tasks) = (beat.clone(), tasks.clone());
                let name = TaskName::of_node("arbiter").which(index);
                arbiters.run(index, move || drop(tasks.restarted(name, move || keep_beating(beat.clone(), pulse))));
            }
        }
        arbiters
    }

    pub fn count(&self) -> usize {
        self.beats.len()
    }

    pub fn beat(&self, arbiter: usize) -> Arc<Beat> {
        self.beats[arbiter].clone()
    }

    /// Begins something on an arbiter; on the first one from its own thread alone.
    #[allow(clippy::disallowed_methods)] // What is begun there is a task or an instance, and watched as such.
    pub fn run(&self, arbiter: usize, begin: impl FnOnce() + Send + 'static) {
        match arbiter.checked_sub(1) {
            None => begin(),
            Some(other) => drop(self.others[other].spawn_fn(begin)),
        }
    }
}

impl Drop for Arbiters {
    fn drop(&mut self) {
        for arbiter in &self.others {
            arbiter.stop();
        }
    }
}

async fn keep_beating(beat: Arc<Beat>, pulse: Duration) {
    loop {
        beat.beat();
        tokio::time::sleep(pulse).await;
    }
}
