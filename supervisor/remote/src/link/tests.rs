//! What a link sends in one frame, and how credit bounds it.

use super::*;
use crate::frame_batching::WriterStep;

fn link(window_bytes: u64) -> PeerLink {
    let limits = LinkLimits {
        frame_bytes: 1_000,
        queue_bytes: 5_000,
        window_bytes,
        credit_request_after: Duration::from_secs(1),
    };
    PeerLink::new("n".into(), "inbox".into(), limits, window_bytes)
}

fn frame_of(next: WriterStep) -> usize {
    match next {
        WriterStep::Publish { frame, .. } => frame.len(),
        _ => 0,
    }
}

#[test]
fn everything_that_waits_goes_into_one_frame_up_to_its_size() {
    let link = link(100_000);
    assert!((0..15).all(|_| link.enqueue(vec![0; 100])));
    assert_eq!(frame_of(link.next_step()), 10);
    link.record_published(1_000);
    assert_eq!(frame_of(link.next_step()), 5);
    link.record_published(500);
    assert!(matches!(link.next_step(), WriterStep::WaitForMessage) && link.is_idle());
}

#[test]
fn a_full_window_blocks_until_the_receiver_grants_more() {
    let link = link(1_000);
    link.enqueue(vec![0; 400]);
    link.enqueue(vec![0; 400]);
    assert_eq!(frame_of(link.next_step()), 1);
    link.record_published(420);
    assert!(matches!(link.next_step(), WriterStep::WaitForCredit));
    link.record_frame(0, 10, 2_000);
    assert_eq!(frame_of(link.next_step()), 1);
}

#[test]
fn a_message_larger_than_the_window_goes_when_the_whole_window_is_free() {
    let link = link(1_000);
    link.enqueue(vec![0; 10]);
    link.enqueue(vec![0; 3_000]);
    assert_eq!(frame_of(link.next_step()), 1);
    link.record_published(20);
    assert!(matches!(link.next_step(), WriterStep::WaitForCredit), "a part of the window is in use");
    link.record_frame(0, 0, 1_020);
    assert_eq!(frame_of(link.next_step()), 1);
}

#[test]
fn an_ask_that_was_taken_back_is_not_sent_and_a_full_queue_refuses() {
    let link = link(100_000);
    let slot = Arc::new(Slot::new());
    link.enqueue_ask(vec![0; 100], slot.clone()).unwrap();
    slot.give_up();
    assert!(matches!(link.next_step(), WriterStep::WaitForMessage));
    link.enqueue_ask(vec![0; 5_000], Arc::new(Slot::new())).unwrap();
    assert_eq!(link.enqueue_ask(vec![0], Arc::new(Slot::new())), Err(NotQueued::Full { bound: 5_000 }));
}

#[test]
fn the_other_end_is_told_of_its_grant_when_half_the_window_is_used_or_it_asks() {
    let link = link(1_000);
    link.record_frame(0, 400, 0);
    assert!(matches!(link.next_step(), WriterStep::WaitForMessage));
    link.record_frame(400, 200, 0);
    assert!(matches!(link.next_step(), WriterStep::Publish { granted_bytes: 1_600, .. }));
    link.record_published(0);
    link.record_credit_request();
    assert!(matches!(link.next_step(), WriterStep::Publish { granted_bytes: 1_600, .. }));
}

#[test]
fn a_lost_frame_does_not_shrink_the_window() {
    let link = link(1_000);
    // A frame of 900 bytes was lost; the next says that it comes after it.
    link.record_frame(900, 50, 0);
    assert!(matches!(link.next_step(), WriterStep::Publish { granted_bytes: 1_950, .. }));
}

/// Numbers that look random, the same in each run.
fn numbers(mut seed: u32) -> impl FnMut(u32) -> u32 {
    move |below| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    }
}

#[test]
fn over_a_wire_that_loses_frames_no_sender_exceeds_its_grant_and_every_message_leaves() {
    const FRAME_HEADER: u64 = 20;
    for seed in 0..200 {
        let mut random = numbers(seed);
        let window = u64::from(random(3_000)) + 700;
        let (here, there) = (link(window), link(window));
        let sizes: Vec<usize> = (0..60).map(|_| random(400) as usize + 1).collect();
        let (mut queued, mut left) = (sizes.iter(), sizes.len());
        for _ in 0..10_000 {
            if random(2) == 0
                && let Some(size) = queued.next()
            {
                assert!(here.enqueue(vec![0; *size]));
            }
            let is_lost = random(4) == 0;
            match here.next_step() {
                WriterStep::Publish { frame, sent_bytes, granted_bytes, .. } => {
                    let bytes = frame.iter().map(|m| m.len() as u64).sum::<u64>() + FRAME_HEADER;
                    let granted = here.lock().granted_bytes;
                    assert!(sent_bytes + bytes <= granted, "{sent_bytes} and {bytes} of {granted}");
                    left -= frame.len();
                    here.record_published(bytes);
                    if !is_lost {
                        there.record_frame(sent_bytes, bytes, granted_bytes);
                    }
                }
                // The writer asks for credit after a while; it has then sent nothing for as long.
                WriterStep::WaitForCredit if !is_lost => {
                    there.record_frame(here.lock().sent_bytes, 0, 0);
                    there.record_credit_request();
                }
                _ => {}
            }
            if let WriterStep::Publish { granted_bytes, .. } = there.next_step() {
                there.record_published(0);
                if random(4) > 0 {
                    here.record_frame(0, 0, granted_bytes);
                }
            }
            if left == 0 {
                break;
            }
        }
        assert_eq!(left, 0, "with a window of {window} bytes");
        assert!(here.is_idle() && here.lock().queued_bytes == 0);
    }
}
