//! A connection that is kept up: one that is lost, that leads to the wrong server or whose life is over is replaced, until the
//! keeper is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::lock::{Mutex, MutexGuard};
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;
use essaim_protocol::wire::ClaimError;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::{Endpoint, NoConnection};

/// The connection in use.
#[derive(Clone)]
pub(super) struct Connected {
    /// Its number; each connection has a higher one than those before.
    pub number: u64,
    pub connection: MultiplexedConnection,
    /// The `run_id` of the server process; empty if the user of the URL may not read it.
    pub run: Arc<str>,
}

/// The user of a connection: the wire, or the log.
pub(super) trait ConnectionUse {
    /// Makes a connection of this number and prepares it for use.
    fn connect(&self, number: u64) -> impl Future<Output = Result<Connected, NoConnection>> + Send;

    /// Called before a new connection is put into use.
    fn connected(&self, new: &Connected, old: Option<&Connected>);

    /// Called when another connection is in use instead of `old`.
    fn replaced(&self, old: Connected) -> impl Future<Output = ()> + Send;
}

/// The pauses between tries to connect.
pub(super) fn reconnecting(settings: &Settings) -> Backoff {
    let wire = &settings.wire;
    Backoff {
        first: Duration::from_millis(wire.reconnect_first_ms),
        most: Duration::from_millis(wire.reconnect_most_ms),
    }
}

/// Keeps one connection up; for a while there may be none.
pub(super) struct ConnectionKeeper {
    endpoint: Arc<Endpoint>,
    current: watch::Sender<Option<Connected>>,
    numbers: AtomicU64,
    state: Mutex<KeeperState>,
    /// Wakes the loop that keeps the connection.
    wake: Notify,
    /// Set once the connection in use must not be replaced any more.
    settled: AtomicBool,
    /// Set once no connection is wanted any more.
    closed: AtomicBool,
    /// Locked while a connection is made and put into use.
    making: AsyncMutex<()>,
    backoff: Backoff,
    /// The longest life of a connection.
    life: Duration,
    dependency: Dependency,
    outages: Outages,
    env: Env,
}

/// The reason to make another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacement {
    /// There is no connection.
    Any,
    /// The connection in use leads to the wrong server.
    Right,
    /// The life of the connection in use is over; it stays in use meanwhile.
    Younger,
}

#[derive(Default)]
struct KeeperState {
    /// The times at which the connection was put into use and its life ends.
    since: Option<Instant>,
    until: Option<Instant>,
    /// The number of a connection that leads to the wrong server.
    outdated: Option<u64>,
    /// The reason why there is no connection, or only an outdated one.
    cause: String,
    /// The reason why the server at the URL cannot be a bridge, if it cannot.
    unsupported: Option<String>,
}

impl ConnectionKeeper {
    /// A keeper without a connection yet; outages are reported as this dependency.
    pub fn new(
        endpoint: Arc<Endpoint>,
        settings: &Settings,
        dependency: Dependency,
        outages: &Outages,
        env: &Env,
    ) -> Self {
        Self {
            endpoint,
            current: watch::Sender::new(None),
            numbers: AtomicU64::new(0),
            state: Mutex::default(),
            wake: Notify::new(),
            settled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            making: AsyncMutex::default(),
            backoff: reconnecting(settings),
            life: Duration::from_millis(settings.bridge.connection_life_ms),
            dependency,
            outages: outages.clone(),
            env: env.clone(),
        }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The connection in use, if there is one.
    pub fn current(&self) -> Option<Connected> {
        self.current.borrow().clone()
    }

    /// As [`ConnectionKeeper::current`], with its changes.
    pub fn watch(&self) -> watch::Receiver<Option<Connected>> {
        self.current.subscribe()
    }

    /// The reason why there is no connection, or only one to the wrong server.
    pub fn cause(&self) -> String {
        self.state().cause.clone()
    }

    /// The reason why the server at the URL cannot be a bridge, if it cannot.
    pub fn unsupported(&self) -> Option<String> {
        self.state().unsupported.clone()
    }

    /// Records that the connection of this number is lost, and returns whether it was in use.
    pub fn lost(&self, number: u64) -> bool {
        let url = self.endpoint.url();
        self.lost_for(number, || format!("the connection to {url} was lost"))
    }

    /// As [`ConnectionKeeper::lost`], for this reason: its server must not be asked any more.
    pub fn lost_for(&self, number: u64, why: impl FnOnce() -> String) -> bool {
        let gone = self.current.send_if_modified(|current| current.take_if(|c| c.number == number).is_some());
        if gone {
            self.broken(why());
        }
        gone
    }

    /// Records that the connection of this number leads to the wrong server. It stays in use until there is another one.
    pub fn is_outdated(&self, number: u64, why: String) {
        let is_current = self.current.borrow().as_ref().is_some_and(|c| c.number == number);
        if is_current && self.state().outdated.replace(number) != Some(number) {
            self.broken(why);
        }
    }

    fn broken(&self, cause: String) {
        self.state().cause.clone_from(&cause);
        self.outages.begin(self.dependency.clone(), cause);
        self.wake.notify_one();
    }

    /// Keeps the connection in use until it is lost; waits first until one that is being made has replaced it.
    pub async fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        drop(self.making.lock().await);
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Stops keeping a connection.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A connection for the steps before the kept one.
    ///
    /// # Errors
    /// As [`ConnectionKeeper::begin`].
    pub async fn first(&self) -> Result<MultiplexedConnection, ClaimError> {
        self.once_loaded(async || self.endpoint.connect(&self.endpoint.config()).await).await
    }

    /// Makes the first connection to keep.
    ///
    /// # Errors
    /// If no server answers, or not the right one. A server that loads its data is waited for.
    pub async fn begin(&self, kept: &impl ConnectionUse) -> Result<(), ClaimError> {
        self.once_loaded(async || self.connect(kept).await).await
    }

    async fn once_loaded<T>(&self, make: impl AsyncFn() -> Result<T, NoConnection>) -> Result<T, ClaimError> {
        let mut failures = 0;
        loop {
            match make().await {
                Err(why @ NoConnection::Loading) => self.failed(&why),
                made => return made.map_err(|why| self.endpoint.refusal(&why)),
            }
            failures += 1;
            self.pause(failures).await;
        }
    }

    /// Keeps a connection up until the keeper is closed.
    pub async fn keep(&self, kept: &impl ConnectionUse) {
        let mut disappointments = 0;
        while let Some(want) = self.wanted().await {
            // After a new connection to the wrong server the next one may lead there again.
            let is_in_vain = want == Replacement::Right && self.lived() < self.backoff.most;
            disappointments = if is_in_vain { disappointments + 1 } else { 0 };
            if is_in_vain {
                self.pause(disappointments).await;
            }
            let mut failures = 0;
            while let Err(why) = self.connect(kept).await {
                failures += 1;
                if want == Replacement::Younger && failures == 1 {
                    let url = self.endpoint.url();
                    tracing::warn!(url, %why, "no new connection for {}: the old one stays in use", self.dependency);
                }
                self.pause(failures).await;
                if self.is_closed() {
                    return;
                }
            }
        }
    }

    /// Waits until another connection is wanted; `None` once the keeper is closed.
    async fn wanted(&self) -> Option<Replacement> {
        loop {
            if self.is_closed() {
                return None;
            }
            let Some(number) = self.current().map(|current| current.number) else { return Some(Replacement::Any) };
            let (outdated, until) = {
                let state = self.state();
                (state.outdated, state.until)
            };
            let left = until.map_or(self.life, |until| until.saturating_duration_since(self.env.now()));
            match outdated == Some(number) {
                _ if self.is_settled() => self.wake.notified().await,
                true => return Some(Replacement::Right),
                false if left.is_zero() => return Some(Replacement::Younger),
                false => drop(timeout(left, self.wake.notified()).await),
            }
        }
    }

    fn lived(&self) -> Duration {
        let since = self.state().since;
        since.map_or(Duration::MAX, |since| self.env.now().saturating_duration_since(since))
    }

    async fn pause(&self, failures: u32) {
        sleep(self.backoff.delay(failures, &self.env)).await;
    }

    /// Makes a connection and puts it into use.
    async fn connect(&self, kept: &impl ConnectionUse) -> Result<(), NoConnection> {
        let _making = self.making.lock().await;
        if self.is_settled() && self.current().is_some() {
            return Ok(());
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let new = match kept.connect(number).await {
            Ok(new) => new,
            Err(why) => {
                self.failed(&why);
                return Err(why);
            }
        };
        debug_assert!(self.current().is_none_or(|old| old.number < new.number), "connections are numbered in order");
        kept.connected(&new, self.current().as_ref());
        let now = self.env.now();
        // A random part is taken off, so that connections made together do not end together.
        let until = now + self.life.mul_f64(1.0 - self.env.fraction() / 4.0);
        *self.state() = KeeperState { since: Some(now), until: Some(until), ..KeeperState::default() };
        let old = self.current.send_replace(Some(new));
        self.outages.end(&self.dependency);
        if self.is_closed() {
            self.current.send_replace(None);
        }
        if let Some(old) = old {
            kept.replaced(old).await;
        }
        Ok(())
    }

    /// Records that a connection could not be made.
    fn failed(&self, why: &NoConnection) {
        let number = self.current().map(|current| current.number);
        let mut state = self.state();
        if number.is_some() && state.outdated != number {
            return;
        }
        state.cause = format!("{} cannot be used: {why}", self.endpoint.url());
        state.unsupported = matches!(why, NoConnection::Unsupported(_)).then(|| state.cause.clone());
        self.outages.begin(self.dependency.clone(), state.cause.clone());
    }

    fn state(&self) -> MutexGuard<'_, KeeperState> {
        self.state.lock()
    }
}
