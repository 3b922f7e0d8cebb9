//! A cluster with a secret: frames that no node of it made, or made for another channel or before, have no effect and are
//! counted; those of its nodes have theirs.

use essaim_contract::Principal;
use essaim_protocol::frame::encode_for;
use essaim_protocol::frame_origin::{Origin, origin};
use essaim_protocol::keys::Distrusted;

use super::*;
use crate::RefusedFrames;

const SECRET: &str = "of more than 32 characters, as any secret";
const NEXT: &str = "the next one of more than 32 characters";

fn keys(secret: &str) -> ClusterKeys {
    ClusterKeys::new(secret, &[], false)
}

/// A frame of `admin`'s ask for a channel, with its number among those of its sender.
fn frame_for(keys: &ClusterKeys, channel: &str, (epoch, number): (u64, u64), id: u64) -> Bytes {
    let inbox = format!("inbox:asker:{epoch}");
    let header = FrameHeader {
        version: frame::VERSION,
        from: "asker",
        epoch,
        inbox: &inbox,
        sent_bytes: 0,
        granted_bytes: 1 << 20,
        message_count: 1,
        number,
    };
    let principal = Some(Principal::new("mallory", ["admin"]));
    let ask = AskMessage { principal, ..ask_in((TRACE, ""), id, "shop.now.v1", b"") };
    encode_for(channel, keys, &header, &[frame::encode_message(&FrameMessage::Ask(ask)).unwrap()]).unwrap()
}

impl Stage {
    fn hear_on(&self, channel: Channel, frame: Bytes) {
        self.events.send(WireEvent::Frame(channel, frame)).unwrap();
    }
}

#[test]
fn frames_that_no_node_made_for_this_channel_are_refused_and_counted() {
    staged_with(keys(SECRET), async |mut stage| {
        let (ours, inbox) = (keys(SECRET), "inbox:me:100");
        let mut changed = frame_for(&ours, inbox, (7, 1), 11).to_vec();
        let at = changed.windows(7).position(|part| part == b"mallory").expect("the principal is in it");
        changed[at..at + 7].copy_from_slice(b"malloru");
        stage.hear_on(Channel::Inbox, frame_for(&ClusterKeys::default(), inbox, (7, 0), 12));
        stage.hear_on(Channel::Inbox, changed.into());
        stage.hear_on(Channel::Inbox, frame_for(&keys(NEXT), inbox, (7, 1), 13));
        for elsewhere in ["inbox:me:99", "inbox:you:100", "broadcast"] {
            stage.hear_on(Channel::Inbox, frame_for(&ours, elsewhere, (7, 1), 14));
        }
        stage.hear_on(Channel::Broadcast, frame_for(&ours, inbox, (7, 1), 15));
        stage.hear_on(Channel::Inbox, frame_for(&ours, inbox, (7, 1), 1));
        assert_eq!(stage.answer().await.1, 1, "the first ask that is answered is the node's");
        let distrusted = Distrusted { untagged: 1, unknown_secret: 1, forged: 5 };
        let refused = RefusedFrames { distrusted, repeated: 0 };
        assert_eq!(stage.remote.refused(), refused);
        assert_eq!(stage.remote.figures().refused_frames, refused);
    });
}

#[test]
fn a_frame_that_is_played_again_is_refused_also_under_an_id_that_is_forgotten() {
    staged_with(keys(SECRET), async |mut stage| {
        let ours = keys(SECRET);
        let recorded = frame_for(&ours, "inbox:me:100", (7, 5), 1);
        stage.hear_on(Channel::Inbox, recorded.clone());
        assert_eq!(stage.answer().await.1, 1);
        // As many asks as it remembers ids of.
        for number in 0..stage.remote.settings.wire.duplicate_ids as u64 + 1 {
            stage.hear_on(Channel::Inbox, frame_for(&ours, "inbox:me:100", (7, 6 + number), 2 + number));
            drop(stage.answer().await);
        }
        stage.hear_on(Channel::Inbox, recorded);
        stage.hear_on(Channel::Inbox, frame_for(&ours, "inbox:me:100", (8, 1), 77));
        assert_eq!(stage.answer().await.1, 77, "the recorded one is not answered again");
        assert_eq!(stage.remote.refused(), RefusedFrames { repeated: 1, ..Default::default() });
    });
}

#[test]
fn while_a_secret_is_introduced_or_replaced_nodes_hear_each_other() {
    let (inbox, third) = ("inbox:me:100", keys("a third one of more than 32 characters"));
    staged_with(ClusterKeys::new(NEXT, &[SECRET.into()], false), async |mut stage| {
        for (id, keys) in [(1, keys(SECRET)), (2, keys(NEXT))] {
            stage.hear_on(Channel::Inbox, frame_for(&keys, inbox, (6 + id, 1), id));
            assert_eq!(stage.answer().await.1, id);
        }
        stage.hear_on(Channel::Inbox, frame_for(&third, inbox, (20, 1), 4));
        stage.settle().await;
        assert_eq!(stage.remote.refused().distrusted, Distrusted { unknown_secret: 1, ..Default::default() });
    });
    staged_with(ClusterKeys::new(NEXT, &[], true), async |mut stage| {
        for (id, keys) in [(1, &third), (2, &ClusterKeys::default())] {
            stage.hear_on(Channel::Inbox, frame_for(keys, inbox, (6 + id, u64::from(keys.is_on())), id));
            assert_eq!(stage.answer().await.1, id);
        }
    });
    // A node that has none yet reads what is signed.
    staged(async |mut stage| {
        stage.hear_on(Channel::Inbox, frame_for(&keys(SECRET), inbox, (7, 1), 1));
        assert_eq!(stage.answer().await.1, 1);
    });
}

#[test]
fn what_a_node_sends_is_believed_where_it_is_sent_to_and_numbered() {
    staged_with(keys(SECRET), async |mut stage| {
        let ours = keys(SECRET);
        stage.hear_on(Channel::Inbox, frame_for(&ours, "inbox:me:100", (7, 1), 1));
        drop(stage.answer().await);
        stage.heartbeat().await;
        let frames = stage.wire.frames();
        assert!(frames.len() > 1, "an answer and a heartbeat");
        let mut numbers = Vec::new();
        for (channel, frame) in frames {
            assert_eq!(origin(&channel, &ours, &frame), Ok(Origin::Node), "{channel}");
            numbers.push(frame::decode(&frame, |_, _| {}).unwrap().number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() > 1 && numbers[0] > 0, "{numbers:?}");
    });
}
