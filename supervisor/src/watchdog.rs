//! Names a handler that blocks its arbiter.
//!
//! An arbiter is one thread: while a handler computes or blocks instead of awaiting, nothing else on that thread runs.
//! Each arbiter beats; a thread of its own looks at the beats and at what each arbiter is polling.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Env;
use crate::task::{TaskName, Tasks};

/// The pulse of one arbiter.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    beats: AtomicU64,
    /// 0: nothing; else the label of the handler that is being polled, plus 1.
    polling: AtomicUsize,
}

impl Beat {
    /// Marks the label as being polled until the answer is dropped; then it is again what was polled before.
    pub fn polling(&self, label: usize) -> Polling<'_> {
        // Only the arbiter itself writes it.
        let before = self.polling.load(Ordering::Relaxed);
        self.polling.store(label + 1, Ordering::Relaxed);
        Polling { beat: self, before }
    }

    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Polling<'a> {
    beat: &'a Beat,
    before: usize,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.beat.polling.store(self.before, Ordering::Relaxed);
    }
}

/// The labels of all handlers in a node, and the beats of its arbiters.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    labels: Mutex<Vec<Arc<str>>>,
    beats: Mutex<Vec<Arc<Beat>>>,
    blocked: AtomicU64,
    stopped: AtomicBool,
}

impl Watchdog {
    /// A label for a handler of this name.
    pub fn label(&self, name: Arc<str>) -> usize {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        labels.push(name);
        labels.len() - 1
    }

    pub fn add(&self, beat: Arc<Beat>) {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).push(beat);
    }

    /// How often an arbiter was found blocked.
    pub fn blocked(&self) -> u64 {
        self.blocked.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Starts the thread that looks on; an arbiter without a beat for `limit` is named once.
    pub fn watch(self: &Arc<Self>, env: Env, limit: Duration, tasks: &Tasks) {
        let watchdog = self.clone();
        let spawned = tasks.restarted_thread(TaskName::of_node("watchdog"), move || watchdog.look_on(&env, limit));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for the watchdog: a blocking handler will not be named");
        }
    }

    #[allow(clippy::disallowed_methods)] // It has a thread of its own, so that no arbiter can block it.
    fn look_on(&self, env: &Env, limit: Duration) {
        let mut seen: Vec<(u64, tokio::time::Instant, bool)> = Vec::new();
        let pause = limit / 4;
        while !self.stopped.load(Ordering::Relaxed) {
            let before = env.now();
            std::thread::sleep(pause);
            let now = env.now();
            // If this thread did not run either, no handler is to blame for what the others have not done.
            let stood_still = (now - before).saturating_sub(pause);
            if stood_still >= pause {
                seen.iter_mut().for_each(|(_, since, _)| *since = now);
                if stood_still >= limit {
                    let stood_still_ms = stood_still.as_millis() as u64;
                    tracing::warn!(
                        stood_still_ms,
                        "the whole process stood still: it was stopped, suspended or got no processor"
                    );
                }
            }
            let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner).clone();
            seen.resize(beats.len(), (0, now, false));
            for (arbiter, (beat, (count, since, named))) in beats.iter().zip(&mut seen).enumerate() {
                let current = beat.beats.load(Ordering::Relaxed);
                if current != *count {
                    (*count, *since, *named) = (current, now, false);
                } else if now - *since >= limit && !*named {
                    *named = true;
                    self.blocked.fetch_add(1, Ordering::Relaxed);
                    let blocked_ms = (now - *since).as_millis() as u64;
                    let handler = self.name_of(beat.polling.load(Ordering::Relaxed));
                    tracing::error!(
                        arbiter,
                        blocked_ms,
                        %handler,
                        "a handler blocks its arbiter: everything on that thread waits; \
                         use cx.blocking() for long computations"
                    );
                }
            }
        }
    }

    fn name_of(&self, polling: usize) -> Arc<str> {
        let labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        polling.checked_sub(1).and_then(|l| labels.get(l)).cloned().unwrap_or_else(|| "not a handler".into())
    }
}
