//! What handlers send is first kept in their own database, with what else they write, and goes to the log from there.
//!
//! Messages wait in lanes, each with a relay of its own that goes in order and stops at the first message that it cannot
//! hand over: `p/N` for the handlers of partition N, `n/NODE/START` for the asks and timers of one life of a node, and
//! `o/SUBSCRIBER/LANE` for events whose subscriber had no room. A relay that ends between handing over and forgetting
//! hands over again; the receivers' inboxes make that harmless. (Transactional outbox: Richardson, "Microservices
//! Patterns", 2018.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use essaim_contract::SendError;
use sea_orm::DbErr;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::letter::{Letter, LetterKind};
use super::sender::{Sender, Sent};
use super::soon;
use crate::bridge::log::WhenFull;
use crate::config::DurableConfig;
use crate::progress::Track;
use crate::store::durable::dead::{self, DeadLetter, Reason};
use crate::store::durable::outbox::{self as table, Outgoing};
use crate::store::{Database, TxError};
use crate::{Env, crash};

/// Messages that a relay takes at a time.
const PAGE: u32 = 256;
/// Numbers between one epoch and the next.
const NUMBERS: u64 = 1 << 11;
/// How often a node that leaves looks whether its lane is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// So many failures in a row are worth a line in the log.
const FAILURES_TOLD: u32 = 3;

/// The outbox of one capability in this node.
pub(crate) struct Outbox {
    pub database: Database,
    sender: Arc<Sender>,
    config: DurableConfig,
    env: Env,
    /// The lane of this node's asks and timers.
    own: Arc<str>,
    lanes: Mutex<HashMap<Arc<str>, Lane>>,
}

struct Lane {
    last: AtomicU64,
    /// No number of this ownership is below it.
    floor: u64,
    /// Messages in it, about; none for certain whenever its relay finds it empty.
    waiting: AtomicI64,
    more: Arc<Notify>,
    relay: AbortHandle,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Outbox {
    pub fn new(database: Database, sender: Arc<Sender>, config: &DurableConfig, env: Env, own: Arc<str>) -> Arc<Self> {
        let (config, lanes) = (config.clone(), Mutex::default());
        Arc::new(Self { database, sender, config, env, own, lanes })
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

    /// Messages in the lanes of this node, about.
    pub fn waiting(&self) -> u64 {
        self.lock().values().map(|lane| lane.waiting.load(Ordering::Relaxed).max(0) as u64).sum()
    }

    /// The numbers of one ownership of a partition begin here: an epoch is at least the time in milliseconds, and no lane
    /// takes so many messages in one. They are never those of an earlier ownership, whose relay may still be about to
    /// forget what it has handed over: were a number used again, it would forget another message.
    pub fn floor(epoch: u64) -> u64 {
        epoch.saturating_mul(NUMBERS).min(u64::MAX >> 2)
    }

    /// Begins to relay a lane, with what is in it from before and what overflowed from it. Must run on an arbiter.
    pub async fn open(self: &Arc<Self>, lane: &Arc<str>, floor: u64) -> Result<(), DbErr> {
        let overflow = format!("/{lane}");
        let known = table::lanes(self.database.reads()).await?;
        let (last, count) = known.iter().find(|l| *l.name == **lane).map_or((0, 0), |l| (l.last, l.count));
        self.relay(lane.clone(), last, floor, count);
        for old in known.iter().filter(|l| l.name.starts_with("o/") && l.name.ends_with(&overflow)) {
            self.relay(old.name.as_str().into(), old.last, floor, old.count);
        }
        Ok(())
    }

    /// Relays what nodes left behind that are gone: the lanes of nodes for which `is_gone` holds. Must run on an arbiter.
    pub async fn adopt(self: &Arc<Self>, is_gone: impl Fn(&str) -> bool) -> Result<(), DbErr> {
        for lane in table::lanes(self.database.reads()).await? {
            let of_node = lane.name.starts_with("n/") && *lane.name != *self.own && is_gone(&lane.name);
            let name: Arc<str> = lane.name.as_str().into();
            if of_node && !self.lock().contains_key(&name) {
                tracing::info!(lane = %name, messages = lane.count, "relaying what a node left in its outbox");
                self.open(&name, 0).await?;
            }
        }
        Ok(())
    }

    /// Relays a lane no longer: it has another owner, or its owner leaves. One that was opened again meanwhile, with another
    /// floor, stays open.
    pub fn close(&self, lane: &str, floor: u64) {
        let overflow = format!("/{lane}");
        let of_lane = |name: &str| name == lane || (name.starts_with("o/") && name.ends_with(&overflow));
        self.lock().retain(|name, open| open.floor != floor || !of_lane(name));
    }

    /// Numbers for so many messages of a lane; the first one.
    pub fn numbers(&self, lane: &str, count: usize) -> u64 {
        let lanes = self.lock();
        let last = lanes.get(lane).map(|l| l.last.fetch_add(count as u64, Ordering::Relaxed));
        // A lane that was closed under its handler: its transaction is fenced, whatever its numbers are.
        last.unwrap_or_default() + 1
    }

    /// Messages of a lane may have been committed.
    pub fn committed(&self, lane: &str, count: usize) {
        if let Some(lane) = self.lock().get(lane) {
            lane.waiting.fetch_add(count as i64, Ordering::Relaxed);
            lane.more.notify_one();
        }
    }

    /// Waits until what this node's asks and timers have sent is in the log; for a node that leaves and has time.
    pub async fn flushed(&self) {
        while table::load(self.database.reads(), &self.own, 0, 1).await.is_ok_and(|rows| !rows.is_empty()) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn relay(self: &Arc<Self>, name: Arc<str>, last: u64, floor: u64, count: u64) {
        let more = Arc::new(Notify::new());
        more.notify_one();
        let relay = tokio::task::spawn_local(relay(Arc::downgrade(self), name.clone(), more.clone())).abort_handle();
        let (last, waiting) = (AtomicU64::new(last.max(floor)), AtomicI64::new(count as i64));
        self.lock().insert(name, Lane { last, floor, waiting, more, relay });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a page of a lane and forgets it. Whether anything was left behind because of an error.
    async fn step(self: &Arc<Self>, lane: &str) -> Result<Step, TxError> {
        let rows = table::load(self.database.reads(), lane, 0, PAGE).await?;
        if rows.is_empty() {
            self.lock().get(lane).inspect(|lane| lane.waiting.store(0, Ordering::Relaxed));
            return Ok(Step::Empty);
        }
        let overflowing = self.overflowing(lane);
        let mut letters = Vec::with_capacity(rows.len());
        for (_, outgoing) in &rows {
            let kind = match (&outgoing.target, outgoing.event) {
                (Some(target), _) => LetterKind::EventFor(target.as_str().into()),
                (None, true) => LetterKind::Event { except: overflowing.clone() },
                (None, false) => LetterKind::Command,
            };
            letters.push(Letter::read(&outgoing.record, kind).map_err(|e| DbErr::Custom(e.to_string()))?);
        }
        crash::point("relay.before-append");
        let sent = self.sender.send_all(letters.clone()).await;
        crash::point("relay.after-append");
        let mut page = Page::default();
        for (((seq, outgoing), letter), sent) in rows.iter().zip(&letters).zip(&sent) {
            if !page.take(*seq, outgoing, letter, sent) {
                break;
            }
        }
        if !page.done.is_empty() {
            self.forget(lane, &page).await?;
            crash::point("relay.after-forget");
        }
        Ok(if page.done.len() == rows.len() { Step::Done } else { Step::Stopped(page.why.unwrap_or_default()) })
    }

    /// The subscribers for whom events of this lane wait already, so that later ones wait behind.
    fn overflowing(&self, lane: &str) -> Arc<[Arc<str>]> {
        let lanes = self.lock();
        let of_lane = |name: &str| {
            let subscriber = name.strip_prefix("o/")?.strip_suffix(lane)?.strip_suffix('/')?;
            Some(Arc::from(subscriber))
        };
        lanes.keys().filter_map(|name| of_lane(name)).collect()
    }

    async fn forget(self: &Arc<Self>, lane: &str, page: &Page) -> Result<(), TxError> {
        let tx = self.database.begin(None, Track::default()).await?;
        let mut opened = HashMap::<_, usize>::new();
        let floor = self.lock().get(lane).map_or(0, |lane| lane.floor);
        for (subscriber, outgoing) in &page.overflow {
            let name: Arc<str> = format!("o/{subscriber}/{lane}").into();
            if !self.lock().contains_key(&name) {
                self.relay(name.clone(), 0, floor, 0);
            }
            let copy = Outgoing { target: Some(subscriber.to_string()), ..outgoing.clone() };
            table::insert(&tx, &name, self.numbers(&name, 1), &[copy]).await?;
            *opened.entry(name).or_default() += 1;
        }
        if !page.dead.is_empty() {
            let now = self.env.wall_ms();
            let letters: Vec<_> = page.dead.iter().map(|(to, letter)| refused(to, letter, now)).collect();
            dead::bury(&tx, &letters).await?;
        }
        table::remove(&tx, lane, &page.done).await?;
        tx.commit().await?;
        if let Some(lane) = self.lock().get(lane) {
            lane.waiting.fetch_sub(page.done.len() as i64, Ordering::Relaxed);
        }
        for (name, count) in opened {
            self.committed(&name, count);
        }
        Ok(())
    }
}

/// What a step of a relay found.
enum Step {
    Empty,
    Done,
    Stopped(String),
}

/// What became of a page of messages, up to the first that could not be handed over.
#[derive(Default)]
struct Page {
    done: Vec<u64>,
    overflow: Vec<(Arc<str>, Outgoing)>,
    dead: Vec<(Arc<str>, Letter)>,
    why: Option<String>,
}

impl Page {
    fn take(&mut self, seq: u64, outgoing: &Outgoing, letter: &Letter, sent: &Sent) -> bool {
        let blocked = sent.full.iter().find(|(_, when_full)| *when_full == WhenFull::Block);
        self.why = match (&sent.error, blocked) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some((subscriber, _))) => Some(format!("`{subscriber}` has no room")),
            (None, None) => None,
        };
        if self.why.is_some() {
            return false;
        }
        if let LetterKind::Event { except } = &letter.kind {
            self.overflow.extend(except.iter().map(|subscriber| (subscriber.clone(), outgoing.clone())));
        }
        for (subscriber, when_full) in &sent.full {
            match when_full {
                WhenFull::OverflowToDisk => self.overflow.push((subscriber.clone(), outgoing.clone())),
                WhenFull::DeadLetter => self.dead.push((subscriber.clone(), letter.clone())),
                WhenFull::Block => {}
            }
        }
        self.done.push(seq);
        true
    }
}

/// The dead letter of a subscriber that had no room, kept by the publisher.
fn refused(subscriber: &str, letter: &Letter, now: u64) -> DeadLetter {
    DeadLetter {
        id: letter.id.to_string(),
        partition: 0,
        order_key: letter.order.to_string(),
        ordered: false,
        capability: subscriber.into(),
        name: letter.name.to_string(),
        reason: Reason::Full,
        attempts: 0,
        error: Some("the subscriber had no room for it".into()),
        trace: String::new(),
        first_at_ms: now,
        dead_at_ms: now,
        held: false,
        record: letter.record.clone(),
    }
}

/// Relays one lane until it is closed.
async fn relay(outbox: Weak<Outbox>, name: Arc<str>, more: Arc<Notify>) {
    let mut failures = 0;
    loop {
        more.notified().await;
        loop {
            let Some(outbox) = outbox.upgrade() else { return };
            let reason = match outbox.step(&name).await {
                Ok(Step::Empty) => break,
                Ok(Step::Done) => {
                    failures = 0;
                    continue;
                }
                Ok(Step::Stopped(why)) => why,
                Err(error) => error.to_string(),
            };
            failures += 1;
            if failures == FAILURES_TOLD {
                tracing::warn!(lane = %name, reason, "messages wait in the outbox; trying again");
            }
            let delay = soon(&outbox.config).delay(failures, &outbox.env);
            drop(outbox);
            tokio::time::sleep(delay).await;
        }
        failures = 0;
    }
}
