//! The watchdog: names a handler that blocks its arbiter.
//!
//! An arbiter is one thread: while a handler computes or blocks instead of awaiting, nothing else on that thread runs.
//! Each arbiter counts its turns; the watchdog's own thread looks at the counts and at what each arbiter is polling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use essaim_base::Env;
use essaim_base::lock::Mutex;
use essaim_base::task::{TaskName, Tasks};

/// The turns of one arbiter, as the watchdog sees them.
#[derive(Debug, Default)]
pub struct TurnMonitor {
    turns: AtomicU64,
    /// 0: nothing; else the label of the handler that is being polled, plus 1.
    polling: AtomicUsize,
    /// For how many milliseconds it has made no turn, once that is too long; else 0.
    blocked_ms: watch::Sender<u64>,
}

impl TurnMonitor {
    /// Marks the label as being polled until the answer is dropped; then it is again what was polled before.
    pub fn polling(&self, label: usize) -> PollingGuard<'_> {
        // Only the arbiter itself writes it.
        let before = self.polling.load(Ordering::Relaxed);
        self.polling.store(label + 1, Ordering::Relaxed);
        PollingGuard { monitor: self, before }
    }

    pub fn record_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// For how long the arbiter has made no turn, once that is longer than `node.watchdog_ms`; else nothing.
    pub fn blocked(&self) -> Duration {
        Duration::from_millis(*self.blocked_ms.borrow())
    }

    /// Waits until it has made no turn for so long.
    pub async fn until_blocked(&self, limit: Duration) {
        let blocked =
            self.blocked_ms.subscribe().wait_for(|ms| *ms > 0 && Duration::from_millis(*ms) >= limit).await.is_ok();
        if !blocked {
            std::future::pending().await
        }
    }
}

pub struct PollingGuard<'a> {
    monitor: &'a TurnMonitor,
    before: usize,
}

impl Drop for PollingGuard<'_> {
    fn drop(&mut self) {
        self.monitor.polling.store(self.before, Ordering::Relaxed);
    }
}

/// A handler that keeps its arbiter from turning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockingHandler {
    /// The arbiter's name.
    pub arbiter: String,
    /// The handler's wire name.
    pub handler: Arc<str>,
    pub blocked: Duration,
}

/// The labels of all handlers in a node, and the monitors of its arbiters.
#[derive(Debug, Default)]
pub struct Watchdog {
    labels: Mutex<Vec<Arc<str>>>,
    /// With their names.
    monitors: Mutex<Vec<(String, Arc<TurnMonitor>)>>,
    blocked: AtomicU64,
    stopped: AtomicBool,
}

impl Watchdog {
    /// A label for a handler of this name.
    pub fn label(&self, name: Arc<str>) -> usize {
        let mut labels = self.labels.lock();
        labels.push(name);
        labels.len() - 1
    }

    pub fn add(&self, arbiter: String, monitor: Arc<TurnMonitor>) {
        self.monitors.lock().push((arbiter, monitor));
    }

    /// How often an arbiter was found blocked.
    pub fn blocked(&self) -> u64 {
        self.blocked.load(Ordering::Relaxed)
    }

    /// The handlers that block their arbiters now.
    pub fn blocking(&self) -> Vec<BlockingHandler> {
        let monitors = self.monitors.lock().clone();
        let blocked = monitors.into_iter().filter(|(_, monitor)| !monitor.blocked().is_zero());
        let handler = |(arbiter, monitor): (String, Arc<TurnMonitor>)| {
            let handler = self.name_of(monitor.polling.load(Ordering::Relaxed));
            BlockingHandler { arbiter, handler, blocked: monitor.blocked() }
        };
        blocked.map(handler).collect()
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Starts the watchdog's thread; an arbiter without a turn for `limit` is named once.
    pub fn watch(self: &Arc<Self>, env: Env, limit: Duration, tasks: &Tasks) {
        let watchdog = self.clone();
        let spawned = tasks.restarted_thread(TaskName::of_node("watchdog"), move || watchdog.look_on(&env, limit));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for the watchdog: a blocking handler will not be named");
        }
    }

    #[allow(clippy::disallowed_methods)] // It has a thread of its own, so that no arbiter can block it.
    fn look_on(&self, env: &Env, limit: Duration) {
        let mut arbiters: Vec<WatchedArbiter> = Vec::new();
        let pause = limit / 4;
        while !self.stopped.load(Ordering::Relaxed) {
            let before = env.now();
            std::thread::sleep(pause);
            let late = (env.now() - before).saturating_sub(pause);
            if late >= limit {
                tracing::warn!(
                    stood_still_ms = late.as_millis() as u64,
                    "the whole process stood still: it was stopped, suspended or got no processor"
                );
            }
            let monitors = self.monitors.lock().clone();
            arbiters.resize_with(monitors.len(), WatchedArbiter::default);
            for ((arbiter, monitor), seen) in monitors.iter().zip(&mut arbiters) {
                let found = seen.look(monitor.turns.load(Ordering::Relaxed), pause + late, pause, limit);
                let blocked_ms = if seen.named { seen.unmoved.as_millis() as u64 } else { 0 };
                monitor.blocked_ms.send_if_modified(|known| std::mem::replace(known, blocked_ms) != blocked_ms);
                let Some(blocked) = found else { continue };
                self.blocked.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    %arbiter,
                    blocked_ms = blocked.as_millis() as u64,
                    handler = %self.name_of(monitor.polling.load(Ordering::Relaxed)),
                    "a handler blocks its arbiter: everything on that thread waits; \
                     use cx.blocking() for long computations"
                );
            }
        }
    }

    fn name_of(&self, polling: usize) -> Arc<str> {
        let labels = self.labels.lock();
        polling.checked_sub(1).and_then(|l| labels.get(l)).cloned().unwrap_or_else(|| "not a handler".into())
    }
}

/// What looking at one arbiter has shown so far.
#[derive(Debug, Default)]
struct WatchedArbiter {
    turns: u64,
    /// How long it has made no turn, as far as the watchdog ran itself.
    unmoved: Duration,
    named: bool,
}

impl WatchedArbiter {
    /// Looks at how many turns it has made, `since` the look before; how long it has been blocked, once that is `limit`.
    ///
    /// A look is worth a `pause` at most. The watchdog's own lateness counts for nothing: what kept it from running
    /// has kept the arbiter too. And it takes nothing away: an arbiter that makes no turn is named after as many looks,
    /// however late each is.
    fn look(&mut self, turns: u64, since: Duration, pause: Duration, limit: Duration) -> Option<Duration> {
        if turns != self.turns {
            *self = Self { turns, ..Self::default() };
            return None;
        }
        self.unmoved += since.min(pause);
        let blocked = self.unmoved >= limit && !self.named;
        self.named |= blocked;
        blocked.then_some(self.unmoved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);
    const PAUSE: Duration = Duration::from_millis(250);

    /// The looks at which an arbiter is named: each is (how late the watchdog is, the arbiter's turns).
    fn named_at(looks: impl IntoIterator<Item = (u64, u64)>) -> Vec<usize> {
        let mut arbiter = WatchedArbiter::default();
        let mut look =
            |(late_ms, turns)| arbiter.look(turns, PAUSE + Duration::from_millis(late_ms), PAUSE, LIMIT).is_some();
        looks.into_iter().enumerate().filter_map(|(index, l)| look(l).then_some(index)).collect()
    }

    #[test]
    fn an_arbiter_without_a_turn_is_named_once_until_it_turns_again() {
        assert_eq!(named_at([(0, 1); 12]), [4]);
        let again = [[(0, 1); 6], [(0, 2); 6]].concat();
        assert_eq!(named_at(again), [4, 10]);
    }

    #[test]
    fn a_watchdog_that_is_late_itself_does_not_cry() {
        assert_eq!(named_at([(0, 1), (0, 1), (60_000, 1), (0, 2), (0, 3)]), [0; 0], "a stop in the middle of a turn");
        assert_eq!(named_at((0..100).map(|look| (900, look / 3))), [0; 0], "a machine without processors to spare");
    }

    #[test]
    fn a_blocked_arbiter_is_named_however_late_the_watchdog_is() {
        for late_ms in [0, 100, 250, 400, 2_000] {
            assert_eq!(named_at([(late_ms, 1); 12]), [4], "late by {late_ms} ms each time");
        }
        assert_eq!(named_at([(0, 1), (300, 1), (0, 1), (300, 1), (0, 1), (300, 1)]), [4]);
    }
}
