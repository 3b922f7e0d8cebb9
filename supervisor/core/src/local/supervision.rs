//! Supervision: what happens when a capability fails to start, or its handlers panic or do not end.
//!
//! One capability in one node has one [`Supervision`], shared by its instances. What counts towards giving up is
//! *consecutive* failed starts, of whichever instance fails most often, and *consecutive* panics: any message that is
//! handled without a panic clears the count, so a payload that panics each time it comes never takes a capability down,
//! and neither do many instances that fail together once. Giving up is a circuit breaker, not an end: asks are
//! refused at once, and after `failed_retry_ms` the capability is tried again.
//!
//! Handlers that are dropped at their deadline count too, of whichever instance missed most in a row: what many instances wait
//! for together keeps them all, once. A handler that had less than `missed_deadline_ms` says more about its asker's haste.
//!
//! Every capability is supervised alone (one-for-one). Strategies for groups would decide here which other
//! capabilities start anew with it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::exit::{self, Fatal};
use essaim_base::lock::Mutex;
use essaim_config::SupervisionConfig;
use essaim_contract::NotDelivered;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::StartError;

/// How a capability of this node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    /// No instance has started yet, or none is left; the reason says what it waits for.
    Starting {
        /// Why the last start failed, or empty. A gateway tells admins alone.
        #[serde(default)]
        reason: String,
    },
    /// At least one instance is up.
    Running,
    /// It has been given up until the next try.
    Failed {
        /// What stopped it.
        #[serde(default)]
        reason: String,
    },
}

impl Default for Health {
    fn default() -> Self {
        Self::Starting { reason: String::new() }
    }
}

/// The supervision of one capability in one node.
pub struct Supervision {
    capability: Arc<str>,
    config: SupervisionConfig,
    env: Env,
    /// A copy of `health`'s discriminant that the hot path reads: 0 starting, 1 running, 2 failed.
    state: AtomicU8,
    health: watch::Sender<Health>,
    /// Failed starts, panics and missed deadlines since the last success.
    failures: AtomicU32,
    /// Until when nothing is started, once the capability was given up.
    rests_until: Mutex<Option<Instant>>,
    restarts: AtomicU64,
    panics: AtomicU64,
    missed_deadlines: AtomicU64,
    /// Rises with each success that ends a row of failures.
    rows: AtomicU32,
    /// Told when the node must end: a start that trying again cannot mend, or the capability was given up and the node
    /// is configured to exit then.
    fatal: watch::Sender<Option<Fatal>>,
}

/// Deadlines that one instance has missed in a row, and which row that is.
#[derive(Debug, Default)]
pub struct MissedDeadlines(Cell<(u32, u32)>);

impl Supervision {
    pub fn new(capability: Arc<str>, config: SupervisionConfig, env: Env, fatal: watch::Sender<Option<Fatal>>) -> Self {
        Self {
            capability,
            config,
            env,
            state: AtomicU8::new(0),
            health: watch::Sender::new(Health::default()),
            failures: AtomicU32::new(0),
            rests_until: Mutex::new(None),
            restarts: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            missed_deadlines: AtomicU64::new(0),
            rows: AtomicU32::new(0),
            fatal,
        }
    }

    /// Whether asks are taken now.
    pub fn admits(&self) -> Result<(), NotDelivered> {
        if self.state.load(Ordering::Acquire) == 1 {
            return Ok(());
        }
        let capability = self.capability.to_string();
        Err(match self.health() {
            Health::Running => return Ok(()),
            Health::Starting { reason } => NotDelivered::Starting { capability, reason },
            Health::Failed { reason } => NotDelivered::Failed { capability, reason },
        })
    }

    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Whether it was given up and rests until the next try.
    pub fn is_resting(&self) -> bool {
        matches!(*self.health.borrow(), Health::Failed { .. })
    }

    /// Tells of every change of its health.
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Waits until an instance is up.
    pub async fn running(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.health.subscribe().wait_for(|h| *h == Health::Running).await;
    }

    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub fn missed_deadlines(&self) -> u64 {
        self.missed_deadlines.load(Ordering::Relaxed)
    }

    /// An instance is up.
    pub fn started(&self) {
        match self.set(Health::Running) {
            Health::Running => {}
            // The start of a node has one line for all of them.
            Health::Starting { reason } if reason.is_empty() => {
                tracing::debug!(capability = %self.capability, "running");
            }
            Health::Starting { .. } | Health::Failed { .. } => {
                tracing::info!(capability = %self.capability, "running again");
            }
        }
    }

    /// A handler ended by itself, without a panic.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.rows.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A handler that ran for so long was dropped at its deadline, and its instance, which has missed those before, will start
    /// anew.
    pub fn missed_deadline(&self, missed_in_a_row: &MissedDeadlines, ran: Duration) {
        self.missed_deadlines.fetch_add(1, Ordering::Relaxed);
        if ran < Duration::from_millis(self.config.missed_deadline_ms) {
            return;
        }
        let row = self.rows.load(Ordering::Relaxed);
        let before = if missed_in_a_row.0.get().0 == row { missed_in_a_row.0.get().1 } else { 0 };
        let missed = before.saturating_add(1);
        missed_in_a_row.0.set((row, missed));
        self.failures.fetch_max(missed, Ordering::Relaxed);
        if missed >= self.config.max_failures {
            self.give_up(format!("one instance has missed {missed} deadlines, without a success between"));
        }
    }

    /// A handler panicked, and its instance will start anew.
    pub fn panicked(&self, what: &str) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= self.config.max_failures {
            self.give_up(format!("{failures} panics without a success between, the last: {what}"));
        }
    }

    /// An instance is about to start anew; how long to wait first.
    pub fn restart_delay(&self) -> Duration {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        match self.failures.load(Ordering::Relaxed) {
            // One panic, or one handler dropped at its deadline: the state is rebuilt at once.
            0 | 1 => Duration::ZERO,
            failures => self.backoff().delay(failures - 1, &self.env),
        }
    }

    /// A start failed, the `tries`th in a row of what could not be started; how long to wait before the next.
    ///
    /// What keeps one instance from starting keeps the others too, so instances that fail together do not add up. While
    /// another instance is up the capability goes on with that one.
    pub fn start_failed(&self, error: &StartError, tries: u32, others_up: bool) -> Duration {
        if let Some(fatal) = error.as_fatal() {
            // The node says so itself when it ends.
            self.set(Health::Starting { reason: error.to_string() });
            self.fatal.send_replace(Some(fatal));
            return self.retry_after();
        }
        let reason = error.to_string();
        let failures = self.failures.fetch_max(tries, Ordering::Relaxed).max(tries);
        if failures >= self.config.max_failures && !others_up {
            self.give_up(format!("{failures} starts failed, the last: {reason}"));
            return self.retry_after();
        }
        if !others_up {
            self.set(Health::Starting { reason: reason.clone() });
        }
        let delay = self.backoff().delay(failures, &self.env);
        let retry_ms = delay.as_millis() as u64;
        tracing::warn!(capability = %self.capability, reason, failures, retry_ms, "the start failed; trying again");
        delay
    }

    /// Waits while the capability is given up: an instance with a short backoff would end the rest of all others.
    pub async fn rest(&self) {
        let until = *self.rests_until.lock();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// How long a capability that was given up rests.
    fn retry_after(&self) -> Duration {
        Duration::from_millis(self.config.failed_retry_ms)
    }

    fn give_up(&self, reason: String) {
        *self.rests_until.lock() = Some(self.env.now() + self.retry_after());
        let before = self.set(Health::Failed { reason: reason.clone() });
        if !matches!(before, Health::Failed { .. }) {
            let retry_ms = self.config.failed_retry_ms;
            tracing::error!(capability = %self.capability, reason, retry_ms, "GIVEN UP: its asks are refused");
        }
        if self.config.exit_when_failed {
            let reason = format!("`{}` was given up: {reason}", self.capability);
            self.fatal.send_replace(Some(Fatal::new(exit::GIVEN_UP, reason)));
        }
    }

    fn set(&self, health: Health) -> Health {
        let code = match health {
            Health::Starting { .. } => 0,
            Health::Running => 1,
            Health::Failed { .. } => 2,
        };
        let mut before = health;
        self.health.send_if_modified(|current| {
            std::mem::swap(current, &mut before);
            *current != before
        });
        self.state.store(code, Ordering::Release);
        before
    }

    fn backoff(&self) -> Backoff {
        self.config.backoff()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervision() -> Supervision {
        let config = SupervisionConfig { max_failures: 3, ..Default::default() };
        Supervision::new("shop".into(), config, Env::system(), watch::channel(None).0)
    }

    #[test]
    fn panics_with_successes_between_never_give_up() {
        let s = supervision();
        s.started();
        for _ in 0..100 {
            s.panicked("bad payload");
            s.panicked("bad payload");
            s.succeeded();
        }
        assert_eq!((s.health(), s.panics()), (Health::Running, 200));
    }

    #[test]
    fn consecutive_panics_give_up_and_a_start_brings_it_back() {
        let s = supervision();
        s.started();
        for _ in 0..3 {
            s.panicked("broken");
        }
        assert!(matches!(s.admits(), Err(NotDelivered::Failed { reason, .. }) if reason.contains("broken")));
        s.started();
        assert_eq!(s.admits(), Ok(()));
    }

    #[test]
    fn deadlines_missed_in_a_row_by_one_instance_give_up_and_a_success_ends_the_row() {
        let (s, missed_in_a_row, long) = (supervision(), MissedDeadlines::default(), Duration::from_secs(5));
        s.started();
        for _ in 0..100 {
            s.missed_deadline(&missed_in_a_row, long);
            s.missed_deadline(&missed_in_a_row, long);
            s.succeeded();
        }
        assert_eq!((s.health(), s.missed_deadlines()), (Health::Running, 200));
        (0..32).for_each(|_| s.missed_deadline(&MissedDeadlines::default(), long));
        assert_eq!(s.health(), Health::Running, "instances that wait for one thing together do not add up");
        (0..50).for_each(|_| s.missed_deadline(&missed_in_a_row, Duration::from_millis(20)));
        assert_eq!(s.health(), Health::Running, "their askers were in a hurry");
        (0..3).for_each(|_| s.missed_deadline(&missed_in_a_row, long));
        assert!(matches!(s.admits(), Err(NotDelivered::Failed { reason, .. }) if reason.contains("3 deadlines")));
    }

    #[test]
    fn deadlines_missed_in_a_row_are_backed_off_from() {
        let (s, missed_in_a_row) = (supervision(), MissedDeadlines::default());
        s.missed_deadline(&missed_in_a_row, Duration::from_secs(5));
        assert_eq!(s.restart_delay(), Duration::ZERO, "one handler that hangs costs its own state alone");
        s.missed_deadline(&missed_in_a_row, Duration::from_secs(5));
        assert!(s.restart_delay() > Duration::ZERO);
    }

    #[test]
    fn failed_starts_are_told_to_askers_and_then_give_up() {
        let s = supervision();
        s.start_failed(&StartError::new("no database"), 1, false);
        assert!(matches!(s.admits(), Err(NotDelivered::Starting { reason, .. }) if reason == "no database"));
        s.start_failed(&StartError::new("no database"), 2, false);
        s.start_failed(&StartError::new("no database"), 3, false);
        assert!(matches!(s.admits(), Err(NotDelivered::Failed { .. })));
    }

    #[test]
    fn instances_that_fail_together_do_not_add_up() {
        let s = supervision();
        for _ in 0..32 {
            s.start_failed(&StartError::new("no database"), 1, false);
        }
        assert!(matches!(s.health(), Health::Starting { .. }));
    }

    #[test]
    fn a_start_that_trying_again_cannot_mend_ends_the_node() {
        let (fatal, told) = watch::channel(None);
        let s = Supervision::new("shop".into(), SupervisionConfig::default(), Env::system(), fatal);
        s.start_failed(&StartError::new("no database"), 1, false);
        assert_eq!(*told.borrow(), None);
        s.start_failed(&StartError::fatal(exit::ADDRESS_IN_USE, "taken"), 2, false);
        assert_eq!(*told.borrow(), Some(Fatal::new(exit::ADDRESS_IN_USE, "taken")));
    }
}
