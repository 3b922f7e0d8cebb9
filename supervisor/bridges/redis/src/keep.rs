//! Keeping a connection: one that is lost, that leads to the wrong server or that has lived for long enough is replaced,
//! again and again until nobody wants it any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use essaim_base::Env;
use essaim_base::backoff::Backoff;
use essaim_base::outages::{Dependency, Outages};
use essaim_config::Settings;
use essaim_protocol::wire::ClaimError;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::{Endpoint, NoConnection};

/// A connection that is in use.
#[derive(Clone)]
pub(super) struct Connected {
    /// Tells it from those before.
    pub number: u64,
    pub connection: MultiplexedConnection,
    /// The server process; empty if the user of the URL may not know.
    pub run: Arc<str>,
}

/// What a connection is made for.
pub(super) trait Kept {
    /// Makes a connection of this number, and does all that it needs before it can be used.
    fn connect(&self, number: u64) -> impl Future<Output = Result<Connected, NoConnection>> + Send;

    /// A connection is there and about to be used.
    fn connected(&self, new: &Connected, old: Option<&Connected>);

    /// Another connection is in use instead of this one.
    fn replaced(&self, old: Connected) -> impl Future<Output = ()> + Send;
}

/// The waits between tries to connect.
pub(super) fn reconnecting(settings: &Settings) -> Backoff {
    let wire = &settings.wire;
    Backoff {
        first: Duration::from_millis(wire.reconnect_first_ms),
        most: Duration::from_millis(wire.reconnect_most_ms),
    }
}

/// The place of one connection, which may be empty for a while.
pub(super) struct Keeper {
    endpoint: Arc<Endpoint>,
    current: watch::Sender<Option<Connected>>,
    numbers: AtomicU64,
    state: Mutex<State>,
    /// Wakes the loop that keeps the connection.
    wake: Notify,
    /// The connection that is in use is not replaced any more.
    settled: AtomicBool,
    /// It is not wanted any more.
    closed: AtomicBool,
    /// Held while a connection is made and put into use.
    making: AsyncMutex<()>,
    backoff: Backoff,
    /// The longest life of a connection.
    life: Duration,
    dependency: Dependency,
    outages: Outages,
    env: Env,
}

/// Which connection is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// There is none.
    Any,
    /// There is one to the wrong server.
    Right,
    /// There is one that has lived for long enough, and may be used until then.
    Younger,
}

#[derive(Default)]
struct State {
    /// When the connection was put into use, and when its life ends.
    since: Option<Instant>,
    until: Option<Instant>,
    /// The connection of this number leads to the wrong server.
    outdated: Option<u64>,
    /// Why there is no connection, or only one that is outdated.
    cause: String,
    /// What the URL leads to can be no bridge's server.
    unsupported: Option<String>,
}

impl Keeper {
    /// An empty place for what this depends on.
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

    /// The connection that is in use, if one is.
    pub fn current(&self) -> Option<Connected> {
        self.current.borrow().clone()
    }

    /// As [`Keeper::current`], to be told of changes.
    pub fn watch(&self) -> watch::Receiver<Option<Connected>> {
        self.current.subscribe()
    }

    /// Why there is no connection, or only one to the wrong server.
    pub fn cause(&self) -> String {
        self.state().cause.clone()
    }

    /// What the URL leads to, where that can be no bridge's server.
    pub fn unsupported(&self) -> Option<String> {
        self.state().unsupported.clone()
    }

    /// Takes note that the connection of this number is gone; whether it was in use.
    pub fn lost(&self, number: u64) -> bool {
        let url = self.endpoint.url();
        self.lost_for(number, || format!("the connection to {url} was lost"))
    }

    /// As [`Keeper::lost`], for this reason: nothing is to be asked of its server any more.
    pub fn lost_for(&self, number: u64, why: impl FnOnce() -> String) -> bool {
        let gone = self.current.send_if_modified(|current| current.take_if(|c| c.number == number).is_some());
        if gone {
            self.broken(why());
        }
        gone
    }

    /// Takes note that the connection of this number leads to the wrong server. It stays in use until there is another one.
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

    /// Has the connection that is in use stay so until it is lost; waits until one that is being made has taken its place.
    pub async fn settle(&self) {
        self.settled.store(true, Ordering::Release);
        drop(self.making.lock().await);
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// No connection is wanted any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// A connection for what comes before there can be one to keep.
    ///
    /// # Errors
    /// As [`Keeper::begin`].
    pub async fn first(&self) -> Result<MultiplexedConnection, ClaimError> {
        self.once_loaded(async || self.endpoint.connect(&self.endpoint.config()).await).await
    }

    /// Makes the first connection that is kept.
    ///
    /// # Errors
    /// If nothing answers, or what answers is not the server that is wanted. One that loads its data is waited for.
    pub async fn begin(&self, kept: &impl Kept) -> Result<(), ClaimError> {
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

    /// Keeps a connection until none is wanted any more.
    pub async fn keep(&self, kept: &impl Kept) {
        let mut disappointments = 0;
        while let Some(want) = self.wanted().await {
            // Where an outdated one was new it may be the same server once more.
            let is_in_vain = want == Want::Right && self.lived() < self.backoff.most;
            disappointments = if is_in_vain { disappointments + 1 } else { 0 };
            if is_in_vain {
                self.pause(disappointments).await;
            }
            let mut failures = 0;
            while let Err(why) = self.connect(kept).await {
                failures += 1;
                if want == Want::Younger && failures == 1 {
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

    /// Waits until another connection is wanted; `None` once none is.
    async fn wanted(&self) -> Option<Want> {
        loop {
            if self.is_closed() {
                return None;
            }
            let Some(number) = self.current().map(|current| current.number) else { return Some(Want::Any) };
            let (outdated, until) = {
                let state = self.state();
                (state.outdated, state.until)
            };
            let left = until.map_or(self.life, |until| until.saturating_duration_since(self.env.now()));
            match outdated == Some(number) {
                _ if self.is_settled() => self.wake.notified().await,
                true => return Some(Want::Right),
                false if left.is_zero() => return Some(Want::Younger),
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
    async fn connect(&self, kept: &impl Kept) -> Result<(), NoConnection> {
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
        kept.connected(&new, self.current().as_ref());
        let now = self.env.now();
        // Not all at once, what was made at once.
        let until = now + self.life.mul_f64(1.0 - self.env.fraction() / 4.0);
        *self.state() = State { since: Some(now), until: Some(until), ..State::default() };
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

    /// Takes note that there is no other connection than what there was.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
