//! What handlers send is first kept in their own database, with what else they write, and goes to the log from there.
//!
//! Messages wait in lanes, each with a relay of its own that goes in order and stops at the first message that it cannot
//! hand over: `p/N` for the handlers of partition N, `n/NODE/START` for the asks and timers of one life of a node, and
//! `o/SUBSCRIBER/LANE` for events whose subscriber had no room. A relay that ends between handing over and forgetting
//! hands over again; the receivers' inboxes make that harmless. (Transactional outbox: Richardson, "Microservices
//! Patterns", 2018.)
//!
//! # Layout
//! - here: lanes and their relays; `numbers`: what their messages are numbered from; `page`: what became of the messages that a
//!   relay has taken at a time.
//! - `overflow`: events whose subscriber has no room; `unwanted`: those of them that it does not want any more.
//! - `latecomers`: subscribers that want what was published before they came.

mod backfill;
mod ended_subscriptions;
mod numbers;
mod overflow;
mod page;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use essaim_contract::SendError;
use sea_orm::DbErr;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use self::backfill::BackfillSubscriber;
use self::ended_subscriptions::EndedSubscriptions;
use self::numbers::Known;
use self::overflow::origin;
use self::page::Page;
use crate::send::message::{OutgoingKind, OutgoingMessage};
use crate::send::sender::Sender;
use crate::{Durable, soon};
use essaim_base::task::{TaskName, Tasks};
use essaim_base::{Env, crash};
use essaim_config::DurableConfig;
use essaim_protocol::log::Registry;
use essaim_store::tables::{dead, outbox as table, retained};
use essaim_store::{Database, TxError};

/// Messages that a relay takes at a time.
const PAGE: u32 = 256;
/// About how many bytes it takes at a time.
const PAGE_BYTES: u64 = 4 << 20;
/// How often a node that leaves looks whether its lane is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// So many failures in a row are worth a line in the log.
const FAILURES_TOLD: u32 = 3;

/// The outbox of one capability in this node.
pub struct Outbox {
    pub database: Database,
    sender: Arc<Sender>,
    config: DurableConfig,
    env: Env,
    tasks: Tasks,
    /// The lane of this node's asks and timers.
    own: Arc<str>,
    lanes: Mutex<HashMap<Arc<str>, Lane>>,
    /// Where messages go, as last heard.
    registry: Mutex<Arc<Registry>>,
    ended: Mutex<EndedSubscriptions>,
    /// Who wants what is kept, and the subscribers of the capability's events.
    backfill: Mutex<Arc<[BackfillSubscriber]>>,
}

struct Lane {
    last: AtomicU64,
    /// Numbers up to this one are noted as used up.
    used_up: AtomicU64,
    /// The ownership that it was opened under.
    epoch: u64,
    /// Messages in it, about; none for certain whenever its relay finds it empty.
    waiting: AtomicI64,
    /// How often messages were added.
    added: AtomicU64,
    /// How often messages had been added when its relay last began to look and then found nothing.
    drained: AtomicU64,
    /// Commits of messages of it whose outcome is not known yet.
    doubts: AtomicI64,
    /// Those latecomers that have got what was kept before they came.
    backfilled: Arc<[BackfillSubscriber]>,
    more: Arc<Notify>,
    relay: AbortHandle,
}

impl Lane {
    /// Messages in it, about.
    fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed).max(0) as u64
    }

    /// Whether everything that was ever added is handed over.
    fn is_drained(&self) -> bool {
        let certain = self.doubts.load(Ordering::Relaxed) <= 0;
        certain && self.added.load(Ordering::Relaxed) == self.drained.load(Ordering::Relaxed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Outbox {
    /// The outbox of a capability's database; `own` is the lane of this node's asks and timers.
    pub fn new(durable: &Durable, database: Database, own: Arc<str>) -> Arc<Self> {
        let (sender, config) = (durable.sender.clone(), durable.config.clone());
        let (env, tasks, lanes) = (durable.env.clone(), durable.tasks.clone(), Mutex::default());
        let (registry, ended, backfill) = (Mutex::default(), Mutex::default(), Mutex::new(Arc::default()));
        Arc::new(Self { database, sender, config, env, tasks, own, lanes, registry, ended, backfill })
    }

    /// The lane of this node's asks and timers.
    pub fn own_lane(&self) -> &Arc<str> {
        &self.own
    }

    /// Why an ask may send nothing now, if it may not.
    pub fn refusal(&self, capability: &str) -> Option<SendError> {
        let (waiting, most) = (self.waiting(), self.config.outbox_messages);
        let bound = || format!("{waiting} messages wait in its sender's outbox, durable.outbox_messages = {most}");
        (waiting >= most).then(|| SendError::Full { capability: capability.into(), bound: bound() })
    }

    /// Messages in the lanes of this node, about. What waits for a subscriber that has no room is not counted: it has a bound
    /// of its own, and its publisher goes on.
    pub fn waiting(&self) -> u64 {
        let lanes = self.lock();
        let own = lanes.iter().filter(|(name, _)| origin(name) == &***name);
        own.map(|(_, lane)| lane.waiting()).sum()
    }

    /// Begins to relay a lane, with what is in it from before and what overflowed from it, under an ownership of its partition;
    /// 0 where it is a node's. Must run on an arbiter.
    pub async fn open(self: &Arc<Self>, lane: &Arc<str>, epoch: u64) -> Result<(), DbErr> {
        let reads = self.database.reads();
        let overflow = format!("/{lane}");
        // What overflowed goes first, or a new message could overtake it.
        for old in table::queues(reads).await?.iter().filter(|l| l.starts_with("o/") && l.ends_with(&overflow)) {
            self.relay(old.as_str().into(), epoch, self.known(reads, old, epoch).await?);
        }
        self.relay(lane.clone(), epoch, self.known(reads, lane, epoch).await?);
        Ok(())
    }

    /// Relays what nodes left behind that are gone, and what is kept of them to whoever wants that: the lanes of nodes for
    /// which `is_gone` holds, and what overflowed from them. Must run on an arbiter.
    pub async fn adopt(self: &Arc<Self>, is_gone: impl Fn(&str) -> bool) -> Result<(), DbErr> {
        let reads = self.database.reads();
        let found = table::queues(reads).await?;
        let kept = if lock(&self.backfill).is_empty() { Vec::new() } else { retained::queues(reads).await? };
        let lanes = found.iter().chain(&kept).map(|lane| origin(lane));
        let gone: BTreeSet<_> =
            lanes.filter(|lane| lane.starts_with("n/") && **lane != *self.own && is_gone(lane)).collect();
        for lane in gone {
            if !self.lock().contains_key(lane) {
                tracing::info!(lane, "relaying what a node left in its outbox");
                self.open(&lane.into(), 0).await?;
                continue;
            }
            // Its node was not gone yet when it was adopted, or had something under way.
            for more in found.iter().filter(|found| origin(found) == lane) {
                let is_relayed = self.lock().contains_key(more.as_str());
                match is_relayed {
                    true => self.committed(more, 0),
                    false => self.relay(more.as_str().into(), 0, self.known(reads, more, 0).await?),
                }
            }
        }
        Ok(())
    }

    /// Relays a lane no longer: it has another owner, or its owner leaves. One that was opened again meanwhile, with another
    /// epoch, stays open.
    pub fn close(&self, lane: &str, epoch: u64) {
        let overflow = format!("/{lane}");
        let of_lane = |name: &str| name == lane || (name.starts_with("o/") && name.ends_with(&overflow));
        self.lock().retain(|name, open| open.epoch != epoch || !of_lane(name));
    }

    /// Messages of a lane may have been committed.
    pub fn committed(&self, lane: &str, count: usize) {
        if let Some(lane) = self.lock().get(lane) {
            lane.waiting.fetch_add(count as i64, Ordering::Relaxed);
            lane.added.fetch_add(1, Ordering::Relaxed);
            lane.more.notify_one();
        }
    }

    /// As [`Outbox::committed`], for a commit whose outcome is in doubt: the relay looks once more when it is not.
    pub fn committed_perhaps(self: &Arc<Self>, lane: &Arc<str>, count: usize) {
        self.doubt(lane, 1);
        self.committed(lane, count);
        let Ok(runtime) = Handle::try_current() else { return };
        let (outbox, lane, doubt) = (Arc::downgrade(self), lane.clone(), self.database.longest_doubt());
        // It waits, and cannot panic.
        #[allow(clippy::disallowed_methods)]
        runtime.spawn(async move {
            tokio::time::sleep(doubt).await;
            let Some(outbox) = outbox.upgrade() else { return };
            outbox.doubt(&lane, -1);
            outbox.committed(&lane, 0);
        });
    }

    fn doubt(&self, lane: &str, more: i64) {
        if let Some(lane) = self.lock().get(lane) {
            lane.doubts.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Waits until what this node's asks and timers have sent is in the log; for a node that leaves and has time.
    pub async fn flushed(&self) {
        while table::load(self.database.reads(), &self.own, 0, 1).await.is_ok_and(|rows| !rows.is_empty()) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn relay(self: &Arc<Self>, name: Arc<str>, epoch: u64, Known { last, used_up, count }: Known) {
        let more = Arc::new(Notify::new());
        let task = TaskName::of("relay", &self.database.capability().into()).which(&name);
        let (outbox, lane, wake) = (Arc::downgrade(self), name.clone(), more.clone());
        let relay = self.tasks.restarted(task, move || {
            // Each life begins with what is there.
            wake.notify_one();
            relay(outbox.clone(), lane.clone(), wake.clone())
        });
        let (last, used_up) = (AtomicU64::new(last), AtomicU64::new(used_up));
        let waiting = AtomicI64::new(count as i64);
        let (added, drained, doubts) = (AtomicU64::new(1), AtomicU64::new(0), AtomicI64::new(0));
        let backfilled = Arc::default();
        let lane = Lane { last, used_up, epoch, waiting, added, drained, doubts, backfilled, more, relay };
        self.lock().insert(name, lane);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lane>> {
        lock(&self.lanes)
    }

    /// Hands over a page of a lane, of at most so many messages, and forgets it. Whether anything was left behind because of
    /// an error.
    async fn step(self: &Arc<Self>, lane: &str, most: u32) -> Result<Step, TxError> {
        let Some(backfilled) = self.backfilled(lane).await? else { return Ok(Step::Done) };
        let added = self.lock().get(lane).map_or(0, |lane| lane.added.load(Ordering::Relaxed));
        let rows = table::page(self.database.reads(), lane, most, PAGE_BYTES).await?;
        if rows.is_empty() {
            self.lock().get(lane).inspect(|lane| {
                // What was added since then may be there.
                if lane.added.load(Ordering::Relaxed) == added {
                    lane.waiting.store(0, Ordering::Relaxed);
                }
                lane.drained.store(added, Ordering::Relaxed);
            });
            self.drained(lane);
            return Ok(Step::Empty);
        }
        let overflowing = self.overflowing(lane);
        let mut messages = Vec::with_capacity(rows.len());
        for (_, outgoing) in &rows {
            let kind = match (&outgoing.target, outgoing.event) {
                (Some(target), _) => OutgoingKind::EventFor(target.as_str().into()),
                (None, true) => OutgoingKind::Event { except: overflowing.clone(), backfilled: None },
                (None, false) => OutgoingKind::Command,
            };
            messages.push(OutgoingMessage::read(&outgoing.record, kind).map(|mut message| {
                if let (OutgoingKind::Event { backfilled: told, .. }, true) =
                    (&mut message.kind, message.kept.is_some())
                {
                    // What is not kept they get at once: they would never get it later.
                    *told = Some(backfilled.clone());
                }
                message
            }));
        }
        let mut page = Page::default();
        let is_wanted =
            |message: &Result<OutgoingMessage, _>| message.as_ref().is_ok_and(|l| !self.is_outlived(lane, l));
        let wanted: Vec<_> = messages.iter().map(is_wanted).collect();
        // What is wanted is decided once: the answers are matched with it by their order.
        let sending =
            messages.iter().zip(&wanted).filter(|(_, wanted)| **wanted).filter_map(|(l, _)| l.as_ref().ok()).cloned();
        crash::point("relay.before-append");
        let mut sent = self.sender.send_all(sending.collect()).await.into_iter();
        crash::point("relay.after-append");
        for (((seq, outgoing), message), wanted) in rows.iter().zip(&messages).zip(wanted) {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    page.take_unreadable(*seq, outgoing, error);
                    continue;
                }
            };
            if !wanted {
                page.outlived += 1;
                page.done.push(*seq);
            } else if !sent.next().is_some_and(|sent| page.take(*seq, outgoing, message, &sent)) {
                break;
            }
        }
        if !page.done.is_empty() {
            self.forget(lane, &page).await?;
            if page.outlived > 0 {
                let messages = page.outlived;
                tracing::warn!(
                    lane,
                    messages,
                    "events are dropped: they have waited for longer than their subscriber wants, or it has ended its \
                     subscription"
                );
            }
            crash::point("relay.after-forget");
        }
        Ok(if page.done.len() == rows.len() { Step::Done } else { Step::Stopped(page.why.unwrap_or_default()) })
    }

    async fn forget(self: &Arc<Self>, lane: &str, page: &Page) -> Result<(), TxError> {
        let tx = self.database.begin().await?;
        let overflowed = self.overflow(&tx, lane, page).await?;
        let now = self.env.wall_ms();
        let unreadable = page.unreadable(lane, self.database.capability(), now);
        dead::bury(&tx, &[page.refused(now), unreadable].concat()).await?;
        retained::retain(&tx, lane, &page.kept(self.config.inbox_retention_hours)).await?;
        table::remove(&tx, lane, &page.done).await?;
        let used_up = self.use_up(&tx, lane, &page.done).await?;
        if let Err(error) = tx.commit().await {
            if matches!(error, TxError::CommitUnanswered(_)) {
                overflowed.iter().for_each(|(name, count)| self.committed_perhaps(name, *count));
            }
            return Err(error);
        }
        if let Some(lane) = self.lock().get(lane) {
            lane.waiting.fetch_sub(page.done.len() as i64, Ordering::Relaxed);
            lane.used_up.fetch_max(used_up, Ordering::Relaxed);
        }
        for (name, count) in overflowed {
            self.committed(&name, count);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step of a relay found.
enum Step {
    Empty,
    Done,
    Stopped(String),
}

/// Relays one lane until it is closed.
///
/// What comes behind a message that could not be handed over may be stored all the same, and is handed over again with it.
/// So that one is tried alone until it is taken: else one receiver without room would have all others flooded.
async fn relay(outbox: Weak<Outbox>, name: Arc<str>, more: Arc<Notify>) {
    let mut failures = 0;
    loop {
        more.notified().await;
        loop {
            let Some(outbox) = outbox.upgrade() else { return };
            let most = if failures == 0 { PAGE } else { 1 };
            let reason = match outbox.step(&name, most).await {
                Ok(Step::Empty) => break,
                Ok(Step::Done) => {
                    failures = 0;
                    continue;
                }
                Ok(Step::Stopped(why)) => why,
                Err(error) => error.to_string(),
            };
            failures += 1;
            if failures == FAILURES_TOLD && !outbox.database.is_out() {
                tracing::warn!(lane = %name, reason, "messages wait in the outbox; trying again");
            }
            let delay = soon(&outbox.config).delay(failures, &outbox.env);
            drop(outbox);
            tokio::time::sleep(delay).await;
        }
        failures = 0;
    }
}
