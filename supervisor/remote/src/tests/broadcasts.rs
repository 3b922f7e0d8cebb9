//! Broadcasts: what their sender records of them, and what those who hear them learn of it.

use essaim_base::call::{Call, Chain, WireOrigin};
use essaim_base::measure::Outcome;
use essaim_base::trace::TraceContext;
use essaim_protocol::frame::BroadcastMessage;
use essaim_protocol::wire::PublishError;
use essaim_trace::{Cursor, Filter, Half, MessageKind, MessageRecord, Shown};

use super::super::broadcasts::{MAX_QUEUED, RemoteBroadcast};
use super::*;

impl Stage {
    /// Broadcasts for a handler of `till`, in a trace whose records are kept or not.
    fn broadcast(&self, kept: bool) -> (TraceContext, Option<Arc<WireOrigin>>) {
        let env = Env::system();
        let trace = TraceContext { kept, ..TraceContext::root(&env) };
        let chain = ["shop", "till"].into_iter().collect::<Chain>();
        let call = Call { chain, ..Call::of_the_runtime(env.now() + PATIENCE, trace) };
        let (name, shown) = ("shop.changed.v1".into(), Shown { key: Some("k".into()), payload: None });
        let broadcast = RemoteBroadcast { capability: "shop", name, body: vec![0; 5], shown, call: &call };
        (trace, self.remote.broadcast(broadcast))
    }

    async fn broadcast_sent(&mut self) -> u64 {
        self.sent(|sent| match sent {
            Sent::Broadcast { id } => Some(id),
            _ => None,
        })
        .await
    }

    fn records(&self) -> Vec<MessageRecord> {
        self.remote.recorder.page(&Cursor::default(), &Filter::default(), usize::MAX).records
    }

    /// How the broadcasts have ended that are recorded.
    fn outcomes(&self) -> Vec<(Outcome, Option<String>)> {
        let end = |record: MessageRecord| (record.outcome, record.error.map(|error| error.to_string()));
        self.records().into_iter().map(end).collect()
    }
}

#[test]
fn of_a_trace_that_is_kept_the_sender_records_what_it_has_published() {
    staged(async |mut stage: Stage| {
        let (_, origin) = stage.broadcast(false);
        assert_eq!((origin, stage.broadcast_sent().await), (None, 0));
        let (trace, origin) = stage.broadcast(true);
        let id = stage.broadcast_sent().await;
        stage.settle().await;
        let origin = origin.expect("handlers of this node share its link");
        assert_eq!((&origin.node, origin.link), (&None, WireOrigin::link_of(100, id)));
        let records = stage.records();
        let [record] = &records[..] else { panic!("one is kept: {records:?}") };
        assert_eq!((record.half, record.kind, record.outcome), (Half::Sent, MessageKind::Broadcast, Outcome::Ok));
        assert_eq!((record.trace_id.0, record.parent_id), (trace.trace_id, trace.span_id));
        assert_eq!((&*record.name, &*record.capability), ("shop.changed.v1", "shop"));
        assert_eq!((record.sender.as_deref(), record.key.as_deref()), (Some("till"), Some("k")));
        assert_eq!((record.link, record.bytes), (origin.link, 5));
    });
}

#[test]
fn what_the_wire_has_not_taken_is_recorded_whether_or_not_its_trace_is_kept() {
    staged(async |mut stage: Stage| {
        for why in [PublishError::NotSent, PublishError::Unanswered] {
            *stage.wire.refuses.lock() = Some(why);
            stage.broadcast(false);
            stage.broadcast_sent().await;
        }
        // Nobody records what the runtime says to itself.
        stage.remote.broadcast_own("essaim.near-invalidate.v1", b"", &TraceContext::root(&Env::system()));
        stage.broadcast_sent().await;
        stage.settle().await;
        let expected = [
            (Outcome::NotDelivered, Some("the wire is down".to_string())),
            (Outcome::Unknown, Some("the wire did not say whether it took the frame".to_string())),
        ];
        assert_eq!(stage.outcomes(), expected);
    });
}

#[test]
fn a_broadcast_without_room_is_recorded_at_once() {
    staged(async |mut stage: Stage| {
        stage.settle().await;
        (0..=MAX_QUEUED).for_each(|_| drop(stage.broadcast(false)));
        let why = format!("{MAX_QUEUED} are waiting for the wire");
        assert_eq!(stage.outcomes(), [(Outcome::NotDelivered, Some(why))]);
        stage.broadcast_sent().await;
    });
}

#[test]
fn what_was_to_be_said_after_the_leave_is_recorded_as_not_delivered() {
    staged(async |stage: Stage| {
        stage.events.send(WireEvent::Closed).unwrap();
        stage.settle().await;
        for _ in 0..2 {
            stage.broadcast(false);
            stage.settle().await;
        }
        let left = (Outcome::NotDelivered, Some("this node has left the others".to_string()));
        assert_eq!(stage.outcomes(), [left.clone(), left]);
    });
}

#[test]
fn who_hears_a_broadcast_learns_what_joins_it_with_its_sender() {
    staged(async |stage: Stage| {
        for (id, kept) in [(7, true), (0, true), (7, false)] {
            let body = serde_bytes::Bytes::new(&[1, 2]);
            let heard = BroadcastMessage { id, name: "shop.changed.v1", trace: TRACE, trace_state: "", kept, body };
            stage.hear(("b", 4), FrameMessage::Broadcast(heard));
        }
        stage.settle().await;
        let origin = Arc::new(WireOrigin { node: Some("b".into()), link: WireOrigin::link_of(4, 7), bytes: 2 });
        assert_eq!(*stage.node.origins.lock(), [Some(origin), None, None]);
    });
}
