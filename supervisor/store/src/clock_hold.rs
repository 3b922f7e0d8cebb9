//! Keeps a paused clock from running away while a database works.
//!
//! With tokio's clock paused, time jumps to the next timer as soon as every task waits. A database works on threads
//! and servers that tokio does not know of, so each statement would look like idleness and every deadline would pass
//! at once. Tokio does not advance the clock while a blocking task runs, so one is kept running for as long as the
//! database is at work.

use std::sync::mpsc;

use essaim_base::Env;

/// While it lives, a paused clock stands still.
pub struct ClockHold {
    /// Dropping the sender ends the blocking task.
    _release: mpsc::SyncSender<()>,
}

impl ClockHold {
    /// Holds the clock of a simulated environment; does nothing where time is real.
    ///
    /// Hold it only while the database works, never while waiting for another task, which may itself wait for time.
    #[allow(clippy::disallowed_methods)] // One task for each connection at work, in tests alone.
    pub fn of(env: &Env) -> Option<Self> {
        if !env.is_simulated() {
            return None;
        }
        let (release, released) = mpsc::sync_channel::<()>(0);
        tokio::task::spawn_blocking(move || released.recv());
        Some(Self { _release: release })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[allow(clippy::disallowed_methods)] // A thread that tokio knows nothing of has to take real time.
    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_stands_still_while_a_thread_works_and_runs_on_afterwards() {
        let env = Env::simulated(1, Duration::ZERO);
        let (began, hold) = (env.now(), ClockHold::of(&env));
        let (done, work) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            // Long enough for the clock to jump if it could: it does so at the runtime's next idle moment.
            std::thread::sleep(Duration::from_millis(20));
            done.send(())
        });
        let deadline = tokio::time::timeout(Duration::from_secs(1), work);
        assert!(deadline.await.is_ok(), "the deadline does not pass while the thread works");
        assert_eq!(env.now(), began);
        drop(hold);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(env.now() - began, Duration::from_secs(1));
    }

    #[tokio::test]
    async fn real_time_is_not_held() {
        assert!(ClockHold::of(&Env::system()).is_none());
    }
}
