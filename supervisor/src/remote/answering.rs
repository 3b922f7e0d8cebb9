//! Asks from elsewhere that are answered here: the node's own thread reads them and hands those of a frame over to an arbiter
//! together, where handlers that have nothing to wait for run in place. One wake-up of another thread serves them all.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Waker};

use essaim_contract::{AskError, NotDelivered, Unknown};
use futures_util::FutureExt;
use serde_bytes::ByteBuf;

use super::Remote;
use super::frame::{self, FrameMessage};
use super::lane::Lane;
use super::pending::RawAnswer;
use crate::call::Call;
use crate::durable::operations;
use crate::guard::panic_text;
use crate::status::others;

/// An ask from elsewhere that is being answered; counted until this is dropped.
struct Answering(Arc<Remote>);

impl Answering {
    fn begin(remote: &Arc<Remote>) -> Self {
        remote.answering.fetch_add(1, Ordering::AcqRel);
        Self(remote.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.0.answering.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.progress.notify_waiters();
        }
    }
}

/// An ask that was read.
pub(super) struct Asked {
    counted: Answering,
    lane: Arc<Lane>,
    id: u64,
    name: String,
    body: Vec<u8>,
    call: Call,
}

/// An answer for which its lane was closed: the node's own thread makes another.
pub(super) struct Late {
    lane: Arc<Lane>,
    id: u64,
    answer: RawAnswer,
}

impl Asked {
    pub fn new(remote: &Arc<Remote>, lane: Arc<Lane>, (id, name, body): (u64, &str, &[u8]), call: Call) -> Self {
        Self { counted: Answering::begin(remote), lane, id, name: name.into(), body: body.to_vec(), call }
    }

    /// Whether the runtime itself answers, however busy or blocked its actors are.
    fn is_own(&self) -> bool {
        self.name == others::NAME || operations::capability_of(&self.name).is_some()
    }

    /// Answers at once if the handler has nothing to wait for, and else when it has ended.
    fn begin(self) {
        let Self { counted, lane, id, name, body, call } = self;
        let Some(bus) = counted.0.bus.upgrade() else { return };
        let answering = match catch_unwind(AssertUnwindSafe(|| bus.answer(&name, &body, call))) {
            Err(panic) => return answer(&counted.0, &lane, id, Err(panicked(&*panic))),
            Ok(Err(why)) => return answer(&counted.0, &lane, id, Err(AskError::NotDelivered(why))),
            Ok(Ok(answering)) => answering,
        };
        let mut answering = AssertUnwindSafe(answering).catch_unwind();
        // What is woken before the task has looked for itself is found by its first look.
        let first = answering.poll_unpin(&mut TaskContext::from_waker(Waker::noop()));
        if let Poll::Ready(reply) = first {
            return answer(&counted.0, &lane, id, reply.unwrap_or_else(|panic| Err(panicked(&*panic))));
        }
        // Bounded by the windows that the node grants; its panics are caught, and it is the handler's work.
        #[allow(clippy::disallowed_methods)]
        tokio::task::spawn_local(async move {
            let reply = answering.await.unwrap_or_else(|panic| Err(panicked(&*panic)));
            answer(&counted.0, &lane, id, reply);
        });
    }
}

/// Has the asks of one frame answered: each in turn by an arbiter, all by the same one, or here where this thread is an arbiter.
pub(super) fn hand_over(remote: &Arc<Remote>, asked: Vec<Asked>) {
    let (own, asked): (Vec<_>, Vec<_>) = asked.into_iter().partition(Asked::is_own);
    own.into_iter().for_each(Asked::begin);
    if asked.is_empty() {
        return;
    }
    let begin = move || asked.into_iter().for_each(Asked::begin);
    let turn = remote.turn.fetch_add(1, Ordering::Relaxed);
    match remote.arbiters.upgrade().and_then(|arbiters| arbiters.in_turn(turn).map(|index| (arbiters, index))) {
        Some((arbiters, index)) => arbiters.run(index, begin),
        None => begin(),
    }
}

/// Sends an answer that was late, by the lane that there is now; on the node's own thread.
pub(super) fn send_late(remote: &Remote, Late { lane, id, answer: late }: Late) {
    let lane = remote.lane_back(None, &lane.node, &lane.inbox);
    answer(remote, &lane, id, late);
}

/// What an asker is told whose message, or whose answer, panicked in its own code.
fn panicked(panic: &(dyn Any + Send)) -> AskError<ByteBuf> {
    let detail = format!("it panicked while it was read or written: {}", panic_text(panic));
    AskError::Unknown(Unknown::UndecodableAnswer { detail })
}

/// Why an ask is not taken.
pub(super) fn refuse(remote: &Remote, lane: &Arc<Lane>, id: u64, why: NotDelivered) {
    answer(remote, lane, id, Err(AskError::NotDelivered(why)));
}

/// Sends an answer, or says why it cannot be sent; on whichever thread.
fn answer(remote: &Remote, lane: &Arc<Lane>, id: u64, answer: RawAnswer) {
    let limit = remote.settings.wire.max_message_bytes;
    let answer = match answer {
        Ok(body) if body.len() as u64 > limit => {
            let detail = format!("{} bytes are more than wire.max_message_bytes ({limit})", body.len());
            Err(AskError::Unknown(Unknown::UndecodableAnswer { detail }))
        }
        other => other,
    };
    let sent = lane.send(match &answer {
        Ok(body) => encoded(&FrameMessage::Reply { id, body: serde_bytes::Bytes::new(body) }),
        Err(error) => encoded(&FrameMessage::Error { id, error: error.clone() }),
    });
    if !sent {
        // Nobody reads it any more once the node has ended.
        let _ = remote.late.send(Late { lane: lane.clone(), id, answer });
    }
}

pub(super) fn encoded(message: &FrameMessage<'_>) -> Vec<u8> {
    frame::encode_message(message)
        .inspect_err(|error| tracing::error!(%error, "a message cannot be encoded"))
        .unwrap_or_default()
}
