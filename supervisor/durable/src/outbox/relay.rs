//! The relay of one queue: it hands over message after message to the log, and forgets them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use essaim_base::crash;
use essaim_protocol::record::NotOpened;
use essaim_store::TxError;
use essaim_store::tables::outbox::{self as table, OutboxRow};
use essaim_store::tables::{dead, retained};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::page::RelayedPage;
use super::{BackfillSubscriber, Outbox, OutboxQueue, QueueKind};
use crate::send::message::{OutgoingKind, OutgoingMessage};
use crate::soon;

/// Messages that a relay takes at a time.
pub(super) const PAGE: u32 = 256;
/// About how many bytes it takes at a time.
pub(super) const PAGE_BYTES: u64 = 4 << 20;
/// After so many failures in a row a line is logged.
const FAILURES_LOGGED: u32 = 3;

/// How long what is handed over may wait for a commit that forgets it, before it has one of its own.
const FORGET_WITHIN: Duration = Duration::from_millis(10);

/// The end of one step of a relay.
enum RelayStep {
    /// The queue is empty.
    Empty,
    /// All messages of the step are handed over.
    Done,
    /// A message could not be handed over, for this reason.
    Stopped(String),
}

/// Relays one queue until it is closed.
///
/// What comes behind a message that could not be handed over may be stored all the same, and is handed over again with it.
/// So that one is tried alone until it is taken: else one receiver without room would have all others flooded.
pub(super) async fn relay(outbox: Weak<Outbox>, queue: OutboxQueue, more: Arc<Notify>) {
    let mut failures = 0;
    // What an earlier life has taken is in the table.
    if let Some(outbox) = outbox.upgrade() {
        outbox.committed(&queue, 0);
    }
    loop {
        while timeout(FORGET_WITHIN, more.notified()).await.is_err() {
            let Some(outbox) = outbox.upgrade() else { return };
            if !outbox.database.has_riding() {
                drop(outbox);
                more.notified().await;
                break;
            }
            if let Err(error) = outbox.database.write_riding().await {
                tracing::debug!(lane = %queue, %error, "what is handed over is not forgotten yet; trying again");
            }
        }
        loop {
            let Some(outbox) = outbox.upgrade() else { return };
            let most = if failures == 0 { PAGE } else { 1 };
            let step = outbox.step(&queue, most).await;
            if failures > 0 && matches!(step, Ok(RelayStep::Empty | RelayStep::Done)) {
                outbox.set_stalled(&queue, None);
            }
            let reason = match step {
                Ok(RelayStep::Empty) => break,
                Ok(RelayStep::Done) => {
                    failures = 0;
                    continue;
                }
                Ok(RelayStep::Stopped(why)) => why,
                Err(error) => error.to_string(),
            };
            failures += 1;
            outbox.set_stalled(&queue, Some(reason.clone()));
            if failures == FAILURES_LOGGED && !outbox.database.is_out() {
                tracing::warn!(lane = %queue, reason, "messages wait in the outbox; trying again");
            }
            let delay = soon(&outbox.config).delay(failures, &outbox.env);
            drop(outbox);
            tokio::time::sleep(delay).await;
        }
        failures = 0;
    }
}

/// The message of a row of the outbox.
type ReadMessage = Result<OutgoingMessage, NotOpened>;

impl Outbox {
    /// Hands over a page of a queue, of at most so many messages, and forgets it.
    async fn step(self: &Arc<Self>, queue: &OutboxQueue, most: u32) -> Result<RelayStep, TxError> {
        let Some(backfilled) = self.backfilled(queue).await? else { return Ok(RelayStep::Done) };
        let Some(counters) = self.lock().get(queue).map(|relayed| relayed.counters.clone()) else {
            // It is closed, and this relay is about to be aborted.
            return Ok(RelayStep::Empty);
        };
        let start = counters.begin_read();
        let rows = self.next_rows(queue, most).await?;
        if rows.is_empty() {
            counters.found_empty(start);
            self.wake_origin(queue);
            return Ok(RelayStep::Empty);
        }
        let overflowing = self.overflowing(queue);
        let messages: Vec<_> = rows.iter().map(|(_, row)| self.message(row, &overflowing, &backfilled)).collect();
        let page = self.hand_over(queue, &rows, &messages).await;
        if self.may_ride(queue, &page) {
            self.database.forget_later(queue.text(), page.done.iter().copied());
            self.handed_over(queue, page.done.len());
        } else if !page.done.is_empty() {
            self.forget(queue, &page).await?;
            crash::point("relay.after-forget");
        }
        if page.outlived > 0 {
            let (lane, messages) = (queue.as_str(), page.outlived);
            tracing::warn!(
                lane,
                messages,
                "events are dropped: they have waited for longer than their subscriber wants, or it has ended its \
                 subscription"
            );
        }
        let all = page.done.len() == rows.len();
        Ok(if all { RelayStep::Done } else { RelayStep::Stopped(page.why.unwrap_or_default()) })
    }

    /// The next messages of a queue: those that it was handed, or what the table has.
    async fn next_rows(&self, queue: &OutboxQueue, most: u32) -> Result<Vec<(u64, OutboxRow)>, TxError> {
        let handed = self.lock().get_mut(queue).and_then(|relayed| {
            let handed = relayed.handed.take(most);
            if handed.is_none() {
                relayed.handed.begin_read();
            }
            handed
        });
        if let Some(rows) = handed {
            return Ok(rows);
        }
        // What is out and not forgotten yet would be found again.
        if self.database.kind().has_one_host() {
            self.database.write_riding().await?;
        }
        let rows = table::page(self.database.own_reads(), queue, most, PAGE_BYTES).await?;
        if let (Some((last, _)), Some(relayed)) = (rows.last(), self.lock().get_mut(queue)) {
            relayed.handed.has_found(*last);
        }
        Ok(rows)
    }

    /// Sends those messages that are wanted; the outcome, up to the first that could not be handed over.
    async fn hand_over(&self, queue: &OutboxQueue, rows: &[(u64, OutboxRow)], messages: &[ReadMessage]) -> RelayedPage {
        let mut page = RelayedPage::default();
        let is_wanted = |message: &ReadMessage| message.as_ref().is_ok_and(|m| !self.is_outlived(queue, m));
        let wanted: Vec<_> = messages.iter().map(is_wanted).collect();
        // What is wanted is decided once: the answers are matched with it by their order.
        let sending = messages.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
        let sending = sending.filter_map(|(message, _)| message.as_ref().ok()).cloned();
        crash::point("relay.before-append");
        let mut sent = self.sender.send_all(sending.collect()).await.into_iter();
        crash::point("relay.after-append");
        for (((seq, row), message), wanted) in rows.iter().zip(messages).zip(wanted) {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    page.take_unreadable(*seq, row, error);
                    continue;
                }
            };
            if !wanted {
                page.outlived += 1;
                page.done.push(*seq);
            } else if !sent.next().is_some_and(|sent| page.take(*seq, row, message, &sent)) {
                break;
            }
        }
        page
    }

    /// Whether what is handed over may be forgotten with any commit: nothing else is to be written with it, and nothing is read back
    /// before it is forgotten.
    fn may_ride(&self, queue: &OutboxQueue, page: &RelayedPage) -> bool {
        let relayed = self.lock();
        let Some(relayed) = relayed.get(queue) else { return false };
        let (used_up, highest) = (relayed.used_up.load(Ordering::Relaxed), page.done.iter().copied().max());
        let is_noted = matches!(queue.kind(), QueueKind::Node { .. }) || highest <= Some(used_up);
        self.database.kind().has_one_host() && relayed.handed.is_complete() && page.only_removes() && is_noted
    }

    fn handed_over(&self, queue: &OutboxQueue, messages: usize) {
        if let Some(relayed) = self.lock().get(queue) {
            relayed.counters.handed_over(messages);
        }
    }

    /// Removes what is handed over, in one transaction with what overflows, dies or is retained of it.
    async fn forget(self: &Arc<Self>, queue: &OutboxQueue, page: &RelayedPage) -> Result<(), TxError> {
        let tx = self.database.begin().await?;
        let overflowed: HashMap<OutboxQueue, usize> = self.overflow(&tx, queue, page).await?;
        let now = self.env.wall_ms();
        let unreadable = page.unreadable(queue, self.database.capability(), now);
        dead::bury(&tx, &[page.refused(now), unreadable].concat()).await?;
        retained::retain(&tx, queue, &page.retained(self.config.inbox_retention_hours)).await?;
        table::remove(&tx, queue, &page.done).await?;
        let used_up = self.use_up(&tx, queue, &page.done).await?;
        if let Err(error) = tx.commit().await {
            if matches!(error, TxError::CommitUnanswered(_)) {
                overflowed.iter().for_each(|(overflow, messages)| self.committed_perhaps(overflow, *messages));
            }
            return Err(error);
        }
        if let Some(relayed) = self.lock().get(queue) {
            relayed.counters.handed_over(page.done.len());
            relayed.used_up.fetch_max(used_up, Ordering::Relaxed);
        }
        for (overflow, messages) in overflowed {
            self.committed(&overflow, messages);
        }
        Ok(())
    }

    /// The message of a row, which goes to all its subscribers but those for whom it overflows, and to those that want what is
    /// retained only if they are backfilled.
    fn message(
        &self,
        row: &OutboxRow,
        overflowing: &Arc<[Arc<str>]>,
        backfilled: &Arc<[BackfillSubscriber]>,
    ) -> ReadMessage {
        let kind = match (&row.target, row.event) {
            (Some(target), _) => OutgoingKind::EventFor(target.as_str().into()),
            (None, true) => OutgoingKind::Event { except: overflowing.clone(), backfilled: None },
            (None, false) => OutgoingKind::Command,
        };
        let record = self.trust.open(&row.record, self.database.capability())?;
        let mut message = OutgoingMessage::read(record, &row.record, kind);
        if let (OutgoingKind::Event { backfilled: those, .. }, true) = (&mut message.kind, message.retained.is_some()) {
            // What is not retained they get at once: they would never get it later.
            *those = Some(backfilled.clone());
        }
        Ok(message)
    }
}
