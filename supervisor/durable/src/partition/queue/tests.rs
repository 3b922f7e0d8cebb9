//! Turns of keys.

use essaim_protocol::record::sample as record;

use super::*;

fn message(id: u64, key: &str) -> LogMessage {
    let record = record(id, Some(key));
    LogMessage { record, order: key.into(), offset: id, position: Position(id, 0), copy: None }
}

fn place(order: &str, seq: u64) -> ParkedPlace {
    ParkedPlace { order: order.into(), seq }
}

fn tries(attempts: u32) -> Tries {
    Tries { attempts, tries: attempts }
}

fn next_at(queue: &mut Queue, now_ms: u64) -> Option<String> {
    Some(match queue.next(now_ms)? {
        QueueItem::Fresh(message, tries) => format!("{}{}x{}", message.order, message.offset, tries.attempts),
        QueueItem::Parked(ParkedPlace { order, seq }, tries) => format!("{order}#{seq}x{}", tries.attempts),
    })
}

fn next(queue: &mut Queue) -> Option<String> {
    next_at(queue, 1_000)
}

#[test]
fn one_key_is_worked_on_one_at_a_time_and_others_beside_it() {
    let mut queue = Queue::default();
    for (id, key) in [(1, "a"), (2, "a"), (3, "b")] {
        assert!(queue.arrive(message(id, key)).is_none());
    }
    assert_eq!(
        (next(&mut queue), next(&mut queue), next(&mut queue)),
        (Some("a1x0".into()), Some("b3x0".into()), None)
    );
    queue.finished(&"a".into());
    assert_eq!(next(&mut queue).as_deref(), Some("a2x0"));
}

#[test]
fn behind_a_failed_message_only_its_key_waits() {
    let mut queue = Queue::default();
    for (id, key) in [(1, "a"), (2, "a")] {
        queue.arrive(message(id, key));
    }
    next(&mut queue);
    let behind = queue.parked(&place("a", 1), 2_000, tries(1));
    assert_eq!(behind.len(), 1);
    queue.begin_parking(&place("a", 2));
    assert!(queue.arrive(message(3, "a")).is_some(), "it goes to the database too");
    assert!(queue.arrive(message(4, "b")).is_none());
    assert_eq!(next(&mut queue).as_deref(), Some("b4x0"));
    assert_eq!((next(&mut queue), queue.next_due()), (None, Some(2_000)), "the first decides, not those behind it");
    assert_eq!(queue.stored(), 2);
}

#[test]
fn parked_messages_go_in_order_once_they_are_stored() {
    let mut queue = Queue::default();
    let (first, second) = (place("a", 1), place("a", 2));
    queue.begin_parking(&first);
    queue.begin_parking(&second);
    queue.park_committed(&second);
    assert_eq!(next(&mut queue), None, "the first is not there yet");
    queue.park_committed(&first);
    assert_eq!(next(&mut queue).as_deref(), Some("a#1x0"));
    assert_eq!(next(&mut queue), None, "one at a time");
    assert!(queue.failed(&first, 500, tries(3)).is_empty());
    assert_eq!((next(&mut queue).as_deref(), queue.stored()), (Some("a#1x3"), 2));
    queue.removed(&first);
    assert_eq!(next(&mut queue).as_deref(), Some("a#2x0"));
    queue.removed(&second);
    assert_eq!(queue.stored(), 0);
    assert!(queue.arrive(message(9, "a")).is_none(), "nothing is left of the order");
}

#[test]
fn what_is_due_takes_its_place_among_those_of_its_key() {
    let mut queue = Queue::default();
    queue.delay_parked(place("a", 2), 900, tries(0));
    queue.delay_parked(place("b", 4), 900, tries(0));
    assert!(queue.arrive(message(1, "a")).is_none(), "nobody waits for it before its time");
    assert_eq!((next_at(&mut queue, 899).as_deref(), queue.next_due()), (Some("a1x0"), Some(900)));
    queue.arrive(message(3, "a"));
    assert_eq!(next_at(&mut queue, 900).as_deref(), Some("b#4x0"));
    assert_eq!(next_at(&mut queue, 900), None, "one of `a` is being worked on");
    queue.arrive(message(5, "a"));
    queue.finished(&"a".into());
    assert_eq!(next(&mut queue).as_deref(), Some("a3x0"));
    queue.finished(&"a".into());
    assert_eq!(next(&mut queue).as_deref(), Some("a#2x0"));
    let behind = queue.failed(&place("a", 2), 2_000, tries(1));
    assert_eq!((behind.len(), behind[0].offset), (1, 5), "what came later waits behind it now");
    assert_eq!((next(&mut queue), queue.stored()), (None, 2));
}

#[test]
fn what_is_due_waits_while_its_key_waits_for_another_try() {
    let mut queue = Queue::default();
    queue.add_parked(&place("a", 4), 5_000, tries(1));
    queue.delay_parked(place("a", 2), 900, tries(0));
    assert_eq!(next(&mut queue).as_deref(), Some("a#2x0"), "in no order with those of its key, but one at a time");
    assert_eq!(next_at(&mut queue, 9_000), None);
    queue.removed(&place("a", 2));
    assert_eq!(next_at(&mut queue, 9_000).as_deref(), Some("a#4x1"));
}

#[test]
fn without_a_database_a_failed_message_keeps_its_turn_in_memory() {
    let mut queue = Queue::default();
    queue.arrive(message(1, "a"));
    queue.arrive(message(2, "a"));
    let Some(QueueItem::Fresh(first, _)) = queue.next(0) else { panic!("it is the first") };
    queue.retry(first, 700, tries(1));
    assert_eq!((next_at(&mut queue, 699), queue.next_due()), (None, Some(700)));
    assert_eq!(next(&mut queue).as_deref(), Some("a1x1"));
    queue.finished(&"a".into());
    assert_eq!(next(&mut queue).as_deref(), Some("a2x0"));
    queue.delay(message(3, "a"), 800);
    assert_eq!(next(&mut queue), None, "its key has another turn");
    queue.finished(&"a".into());
    assert_eq!(next(&mut queue).as_deref(), Some("a3x0"));
}

#[test]
fn a_hold_keeps_its_key_until_it_is_released() {
    let (mut queue, order): (_, OrderKey) = (Queue::default(), "a".into());
    queue.arrive(message(1, "a"));
    queue.arrive(message(2, "a"));
    next(&mut queue);
    assert_eq!(queue.hold(&order).len(), 1);
    queue.begin_parking(&place("a", 7));
    queue.park_committed(&place("a", 7));
    assert_eq!(next(&mut queue), None);
    queue.release(&order);
    assert_eq!(next(&mut queue).as_deref(), Some("a#7x0"));
    assert!(queue.hold_after(&place("a", 7)).is_empty());
    assert_eq!((next(&mut queue), queue.stored()), (None, 0));
    queue.release(&order);
    assert!(queue.arrive(message(3, "a")).is_none());
}

#[test]
fn a_hold_with_nothing_behind_it_still_keeps_what_comes() {
    let (mut queue, order): (_, OrderKey) = (Queue::default(), "a".into());
    queue.arrive(message(1, "a"));
    next(&mut queue);
    queue.hold(&order);
    assert!(queue.arrive(message(2, "a")).is_some());
    queue.release(&order);
    assert!(queue.arrive(message(3, "a")).is_none());
}

#[test]
fn a_hold_that_comes_beside_a_message_that_is_worked_on_waits_for_its_end() {
    let (mut queue, order): (_, OrderKey) = (Queue::default(), "a".into());
    queue.arrive(message(1, "a"));
    queue.arrive(message(2, "a"));
    assert_eq!(next(&mut queue).as_deref(), Some("a1x0"));
    // One that was not due yet has died.
    assert!(queue.hold_beside(&order).is_empty());
    queue.release(&order);
    assert_eq!(next(&mut queue), None, "the first is still worked on");
    assert!(queue.hold_beside(&order).is_empty());
    let behind = queue.finished(&order);
    assert_eq!((behind.len(), behind[0].offset), (1, 2), "it waits in the database");
    assert!(queue.arrive(message(3, "a")).is_some());
}

#[test]
fn a_hold_takes_the_turn_from_a_message_that_was_not_begun() {
    let (mut queue, order): (_, OrderKey) = (Queue::default(), "a".into());
    queue.arrive(message(1, "a"));
    queue.arrive(message(2, "a"));
    let behind: Vec<_> = queue.hold_beside(&order).iter().map(|message| message.offset).collect();
    assert_eq!((behind, next(&mut queue)), (vec![1, 2], None));
}

#[test]
fn after_the_clock_was_set_back_what_failed_is_tried_within_a_backoff() {
    const DAY: u64 = 86_400_000;
    let mut queue = Queue::default();
    queue.clock_shows(DAY, 500);
    for (id, key) in [(1, "a"), (2, "b")] {
        queue.arrive(message(id, key));
        next(&mut queue);
    }
    queue.parked(&place("a", 1), DAY + 100, tries(1));
    queue.retry(Rc::new(message(2, "b")), DAY + 200, tries(1));
    queue.delay(message(3, "c"), DAY + 300);
    queue.delay_parked(place("d", 4), DAY + 300, tries(0));
    queue.clock_shows(1_000, 500);
    assert_eq!((next_at(&mut queue, 1_499), queue.next_due()), (None, Some(1_500)));
    assert_eq!(next_at(&mut queue, 1_500).as_deref(), Some("b2x1"));
    assert_eq!(next_at(&mut queue, 1_500).as_deref(), Some("a#1x1"));
    assert_eq!((next_at(&mut queue, DAY), queue.next_due()), (None, Some(DAY + 300)), "its moment has not come");
}
