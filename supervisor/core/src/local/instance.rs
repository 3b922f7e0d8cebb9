//! Instances of a host, as other threads see them: mailbox, load, and whether the state is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use essaim_base::activity::VisibleActivity;
use essaim_contract::NotDelivered;
use tokio::time::Instant;

use crate::local::mailbox::Mailbox;
use crate::local::watchdog::TurnMonitor;

/// One concurrency slot.
pub struct InstanceHandle {
    pub arbiter: usize,
    pub monitor: Arc<TurnMonitor>,
    /// Unique in this process.
    pub id: u64,
    pub mailbox: Mailbox,
    /// What its handler does, if it has waited.
    pub activity: Arc<VisibleActivity>,
    /// 1 while the instance has its state, or is about to build it for the first time in a row.
    up: AtomicU32,
    sent: AtomicU64,
    done: AtomicU64,
}

impl InstanceHandle {
    pub fn new(arbiter: usize, monitor: Arc<TurnMonitor>, mailbox: Mailbox) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            arbiter,
            monitor,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            mailbox,
            activity: Arc::default(),
            up: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    /// What its handler does, in words; empty if that is not known.
    pub fn doing(&self) -> String {
        self.activity.doing(Instant::now())
    }

    /// Why a message was not begun that was queued behind so many for so long.
    pub fn expired(&self, queued_behind: u32, queued_ms: u64) -> NotDelivered {
        NotDelivered::Expired { queued_behind, queued_ms, behind: self.activity.ahead(Instant::now()) }
    }

    pub fn set_up(&self, up: bool) {
        self.up.store(u32::from(up), Ordering::Release);
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire) == 1
    }

    /// Whether a handler blocks its arbiter, of this instance or of another on the same thread.
    pub fn is_blocked(&self) -> bool {
        !self.monitor.blocked().is_zero()
    }

    /// Messages admitted to this instance and not yet done.
    pub fn waiting(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.done.load(Ordering::Relaxed))
    }

    /// Counts an admitted message; its ticket, the number of those before it.
    pub fn admit(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes back the count of a message that never reached the mailbox.
    pub fn withdraw(&self) {
        let before = self.sent.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > self.done(), "only an admitted message is withdrawn");
    }

    /// Counts a message as done; only on the instance's own thread.
    pub fn end(&self) {
        // Only the instance's own thread writes it, so it needs no locked instruction.
        let done = self.done.load(Ordering::Relaxed) + 1;
        debug_assert!(done <= self.sent.load(Ordering::Relaxed), "only an admitted message ends");
        self.done.store(done, Ordering::Relaxed);
    }

    /// Messages that have ended.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}
