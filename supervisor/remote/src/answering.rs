//! Answers to the asks of other nodes.
//!
//! The node's own thread reads the asks and hands those of one frame to one other thread, where handlers that have
//! nothing to wait for run in place. One wake-up of another thread serves them all.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Waker};

use essaim_base::call::Call;
use essaim_base::panic::panic_text;
use essaim_contract::{AskError, NotDelivered, Unknown};
use essaim_protocol::frame::{self, FrameMessage, RawAnswer};
use futures_util::FutureExt;
use serde_bytes::ByteBuf;

use super::Remote;
use super::link::PeerLink;

/// Counts one ask of another node as unanswered until it is dropped.
struct AnswerGuard(Arc<Remote>);

impl AnswerGuard {
    fn begin(remote: &Arc<Remote>) -> Self {
        remote.unanswered.fetch_add(1, Ordering::AcqRel);
        Self(remote.clone())
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let unanswered = self.0.unanswered.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(unanswered > 0, "each guard was counted once");
        if unanswered == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

/// An ask of another node, decoded but for its body.
pub(super) struct IncomingAsk {
    guard: AnswerGuard,
    link: Arc<PeerLink>,
    id: u64,
    name: String,
    body: Vec<u8>,
    call: Call,
}

/// An answer whose link was closed: the node's own thread, which alone makes links, sends it by a new one.
pub(super) struct LateAnswer {
    link: Arc<PeerLink>,
    id: u64,
    answer: RawAnswer,
}

impl IncomingAsk {
    pub fn new(remote: &Arc<Remote>, link: Arc<PeerLink>, (id, name, body): (u64, &str, &[u8]), call: Call) -> Self {
        Self { guard: AnswerGuard::begin(remote), link, id, name: name.into(), body: body.to_vec(), call }
    }

    /// Answers at once if the handler has nothing to wait for, and else when the handler has ended.
    fn begin(self) {
        let Self { guard, link, id, name, body, call } = self;
        let Some(inbound) = guard.0.ports.inbound.upgrade() else { return };
        let answering = match catch_unwind(AssertUnwindSafe(|| inbound.answer(&name, &body, call))) {
            Err(panic) => return send_answer(&guard.0, &link, id, Err(codec_panicked(&*panic))),
            Ok(Err(why)) => return send_answer(&guard.0, &link, id, Err(AskError::NotDelivered(why))),
            Ok(Ok(answering)) => answering,
        };
        let mut answering = AssertUnwindSafe(answering).catch_unwind();
        // A wake-up before the task's own first poll is not lost: that poll finds what it would have announced.
        let first = answering.poll_unpin(&mut TaskContext::from_waker(Waker::noop()));
        if let Poll::Ready(answer) = first {
            return send_answer(&guard.0, &link, id, answer.unwrap_or_else(|panic| Err(codec_panicked(&*panic))));
        }
        // Bounded by the windows that the node grants; its panics are caught, and it is the handler's work.
        #[allow(clippy::disallowed_methods)]
        tokio::task::spawn_local(async move {
            let answer = answering.await.unwrap_or_else(|panic| Err(codec_panicked(&*panic)));
            send_answer(&guard.0, &link, id, answer);
        });
    }
}

/// The asks of one frame, to be answered on one thread.
pub struct AskBatch(Vec<IncomingAsk>);

impl AskBatch {
    /// Answers in order, each ask at once if its handler has nothing to wait for.
    pub fn begin(self) {
        self.0.into_iter().for_each(IncomingAsk::begin);
    }
}

/// Has the asks of one frame answered: all together on one of the node's threads for that, and those to the runtime itself
/// here.
pub(super) fn dispatch(remote: &Arc<Remote>, asks: Vec<IncomingAsk>) {
    let Some(inbound) = remote.ports.inbound.upgrade() else { return };
    let (for_the_runtime, for_actors): (Vec<_>, Vec<_>) =
        asks.into_iter().partition(|ask| inbound.is_for_the_runtime(&ask.name));
    AskBatch(for_the_runtime).begin();
    if for_actors.is_empty() {
        return;
    }
    let (turn, batch) = (remote.next_turn.fetch_add(1, Ordering::Relaxed), AskBatch(for_actors));
    match remote.ports.threads.upgrade() {
        Some(threads) => threads.answer_in_turn(turn, batch),
        None => batch.begin(),
    }
}

/// Sends a late answer by a link that is open; on the node's own thread.
pub(super) fn send_late_answer(remote: &Remote, late: LateAnswer) {
    let link = remote.answer_link(None, &late.link.node, &late.link.inbox);
    send_answer(remote, &link, late.id, late.answer);
}

/// The answer to an ask whose message, or whose reply, panicked in its own code.
fn codec_panicked(panic: &(dyn Any + Send)) -> AskError<ByteBuf> {
    let detail = format!("it panicked while it was read or written: {}", panic_text(panic));
    AskError::Unknown(Unknown::UndecodableAnswer { detail })
}

/// Answers that an ask was not taken.
pub(super) fn refuse(remote: &Remote, link: &Arc<PeerLink>, id: u64, why: NotDelivered) {
    send_answer(remote, link, id, Err(AskError::NotDelivered(why)));
}

/// Sends an answer, or why it cannot be sent. May be called on any thread.
fn send_answer(remote: &Remote, link: &Arc<PeerLink>, id: u64, answer: RawAnswer) {
    let limit = remote.settings.wire.max_message_bytes;
    let answer = match answer {
        Ok(body) if body.len() as u64 > limit => {
            let detail = format!("{} bytes are more than wire.max_message_bytes ({limit})", body.len());
            Err(AskError::Unknown(Unknown::UndecodableAnswer { detail }))
        }
        other => other,
    };
    let enqueued = link.enqueue(match &answer {
        Ok(body) => encode_or_log(&FrameMessage::Reply { id, body: serde_bytes::Bytes::new(body) }),
        Err(error) => encode_or_log(&FrameMessage::Error { id, error: error.clone() }),
    });
    if !enqueued {
        // The receiver is gone only once the node has ended.
        let _ = remote.late_answers.send(LateAnswer { link: link.clone(), id, answer });
    }
}

pub(super) fn encode_or_log(message: &FrameMessage<'_>) -> Vec<u8> {
    frame::encode_message(message)
        .inspect_err(|error| tracing::error!(%error, "a message cannot be encoded"))
        .unwrap_or_default()
}
