//! The connections that all capabilities of a node may have to PostgreSQL together.
//!
//! Each capability has some of its own, which no other can take, and one spare for what is made beside those in use (the
//! successor of an old connection, a check, a migration). The rest is shared: it goes to who needs it, and comes back from
//! pools that have idle connections while another one waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use essaim_base::lock::Mutex;
use essaim_config::{Settings, StoreConfig};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::DatabaseKind;
use super::pool::Pool;
use super::waiting::WaitingGuard;

/// What a capability needs at least: a connection, and the spare one.
const LEAST_FOR_EACH: usize = 2;

/// The budget of a node.
pub struct ConnectionBudget {
    most: usize,
    /// Of each pool.
    own: usize,
    shared: Arc<Semaphore>,
    /// Users of any pool that wait for a connection.
    waiting: AtomicUsize,
    /// Bounded by the capabilities that the node hosts.
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// A node's budget is too small for the capabilities that it hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "store.node_connections is {most}, and the node hosts {capabilities} capabilities on PostgreSQL, which need 2 each: set \
     it to {least} or more, or host some of them in another node"
)]
pub struct BudgetTooSmall {
    most: usize,
    capabilities: usize,
    least: usize,
}

impl ConnectionBudget {
    /// The budget of a node for the capabilities that it hosts and that keep anything.
    ///
    /// # Errors
    /// If it is too small for them.
    pub fn of<'a>(settings: &Settings, hosts: impl Iterator<Item = &'a str>) -> Result<Arc<Self>, BudgetTooSmall> {
        let capabilities = on_postgres(settings, hosts);
        let (most, least) = (settings.store.node_connections as usize, LEAST_FOR_EACH * capabilities);
        if most < least {
            return Err(BudgetTooSmall { most, capabilities, least });
        }
        // Half of it is everyone's own, the other half goes to those that need it.
        let for_use = most - capabilities;
        let each = for_use / 2 / capabilities.max(1);
        let own = each.clamp(1, settings.store.postgres_connections as usize);
        let shared = Arc::new(Semaphore::new(for_use.saturating_sub(own * capabilities)));
        Ok(Arc::new(Self { most, own, shared, waiting: AtomicUsize::new(0), pools: Mutex::default() }))
    }

    /// The most connections that a node with these capabilities has at a time.
    pub fn most_of<'a>(settings: &Settings, hosts: impl Iterator<Item = &'a str>) -> usize {
        let store: &StoreConfig = &settings.store;
        let wanted = on_postgres(settings, hosts) * (store.postgres_connections as usize + 1);
        wanted.min(store.node_connections as usize)
    }

    /// The share of one more pool.
    pub fn share(self: &Arc<Self>) -> Arc<PoolShare> {
        let (own, extra) = (Arc::new(Semaphore::new(self.own)), Mutex::default());
        let (spare, returned, waiting) = (Semaphore::new(1), Notify::new(), AtomicUsize::new(0));
        Arc::new(PoolShare { budget: self.clone(), own, extra, spare, returned, waiting })
    }

    /// Has this pool give back what it does not use while others wait.
    pub fn register(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Takes an idle connection from a pool that has more than its own.
    fn reclaim(&self) {
        let pools: Vec<_> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        for pool in pools {
            if pool.give_up_idle() {
                return;
            }
        }
    }
}

/// Of the capabilities that a node hosts and that keep anything, those that do so on PostgreSQL.
fn on_postgres<'a>(settings: &Settings, hosts: impl Iterator<Item = &'a str>) -> usize {
    hosts.filter(|host| DatabaseKind::of(host, settings) == DatabaseKind::Postgres).count()
}

/// The share of one pool.
pub struct PoolShare {
    budget: Arc<ConnectionBudget>,
    /// Places that nobody else can take and that are free.
    own: Arc<Semaphore>,
    /// Places of the shared ones that it has. Bounded by the budget.
    extra: Mutex<Vec<OwnedSemaphorePermit>>,
    spare: Semaphore,
    /// A connection of the pool became idle.
    returned: Notify,
    /// Users of the pool that wait for a place.
    waiting: AtomicUsize,
}

/// The right to have one connection. It is free again when this is dropped.
pub struct Place(Arc<PoolShare>);

/// What became free for a user who waited.
pub enum Freed {
    Place(Place),
    /// A connection became idle, which another user may have taken.
    Connection,
}

impl PoolShare {
    /// A place, if there is one or an idle connection of another pool can be given up for it.
    pub fn try_place(self: &Arc<Self>) -> Option<Place> {
        self.free_place().or_else(|| {
            self.budget.reclaim();
            self.free_place()
        })
    }

    fn free_place(self: &Arc<Self>) -> Option<Place> {
        if let Ok(own) = self.own.try_acquire() {
            own.forget();
            return Some(Place(self.clone()));
        }
        let shared = self.budget.shared.clone().try_acquire_owned().ok()?;
        self.extra.lock().push(shared);
        Some(Place(self.clone()))
    }

    /// Counts a user who waits. It begins before the user looks for an idle connection the last time, so that whoever gives
    /// one back later knows of the user.
    pub fn wait(&self) -> impl Sized + use<'_> {
        (WaitingGuard::among(&self.waiting), WaitingGuard::among(&self.budget.waiting))
    }

    /// Waits until `patience` ends for a place, or for a connection of the pool.
    pub async fn freed(self: &Arc<Self>, patience: Instant) -> Option<Freed> {
        let freed = async {
            tokio::select! {
                biased;
                () = self.returned.notified() => Freed::Connection,
                own = self.own.acquire() => {
                    own.expect("the semaphore is never closed").forget();
                    Freed::Place(Place(self.clone()))
                }
                shared = self.budget.shared.clone().acquire_owned() => {
                    self.extra.lock().push(shared.expect("the semaphore is never closed"));
                    Freed::Place(Place(self.clone()))
                }
            }
        };
        timeout_at(patience, freed).await.ok()
    }

    /// Tells those who wait that a connection is idle.
    pub fn returned(&self) {
        if self.waiting() > 0 {
            self.returned.notify_one();
        }
    }

    /// Users of the pool that wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Whether users of other pools wait and this one has more than its own.
    pub fn is_wanted(&self) -> bool {
        self.budget.waiting.load(Ordering::Acquire) > self.waiting() && self.has_extra()
    }

    /// Whether it has places of the shared ones.
    pub fn has_extra(&self) -> bool {
        !self.extra.lock().is_empty()
    }

    /// The right to make a connection beside those that have a place, for as long as it takes to check something or to
    /// replace one of them. `None` while another user has it.
    pub fn try_spare(&self) -> Option<SemaphorePermit<'_>> {
        self.spare.try_acquire().ok()
    }

    /// As [`PoolShare::try_spare`], and waits for it.
    pub async fn spare(&self) -> Option<SemaphorePermit<'_>> {
        self.spare.acquire().await.ok()
    }

    /// What is said when nothing became free in time.
    pub fn used_up(&self) -> String {
        format!(
            "all of the node's {} connections to PostgreSQL are in use by its capabilities: raise store.node_connections, or \
             host some of them in another node",
            self.budget.most
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A pool gives back what it shares with others before its own.
        let extra = self.0.extra.lock().pop();
        if extra.is_none() {
            self.0.own.add_permits(1);
        }
    }
}
