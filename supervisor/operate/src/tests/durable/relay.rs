//! Relays of an outbox, with rows that a test has put there.

use essaim_durable::send::message::OutgoingKind;
use essaim_durable::{Outbox, OutboxQueue, OutgoingMessage};
use essaim_protocol::log::{Acknowledge, HostHeartbeat, Log, Partition, Position, Reading};
use essaim_protocol::record::{Record, sample as record};
use essaim_store::Database;
use essaim_store::tables::dead;
use essaim_store::tables::outbox::{self as table, OutboxRow};

use super::*;

/// Messages that have room in a partition.
const ROOM: u64 = 5_000;

/// A command to a capability that nobody hosts.
fn command(to: &str, number: u64) -> Record {
    Record { name: format!("{to}.do.v1"), ..record(number, Some("a")) }
}

fn message(record: &Record) -> OutgoingMessage {
    OutgoingMessage::read(record.clone(), &record.encode().unwrap(), OutgoingKind::Command)
}

async fn insert(database: &Database, queue: &str, records: &[Record]) {
    let row = |record: &Record| OutboxRow { event: false, target: None, record: record.encode().unwrap() };
    let rows: Vec<_> = records.iter().map(row).collect();
    let tx = database.begin().await.unwrap();
    table::insert(&tx, queue, 1, &rows).await.unwrap();
    tx.commit().await.unwrap();
}

/// Waits until nothing waits in the outbox.
pub(super) async fn empty(database: &Database) {
    while table::count(database.reads(), 1).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn appended(log: &dyn Log, capability: &str) -> u64 {
    log.counts(capability).await.unwrap().iter().map(|count| count.appended).sum()
}

/// Takes out of a partition what is in it, as its owner would.
async fn make_room(log: &dyn Log, capability: &str) {
    let heartbeat = HostHeartbeat {
        capability: capability.into(),
        host: "somebody".into(),
        handles: Default::default(),
        leaving: false,
        given_up: Vec::new(),
        unhandled: Vec::new(),
        stale_epochs: Vec::new(),
        lease: Duration::from_secs(60),
    };
    let epoch = log.heartbeat(&heartbeat).await.unwrap()[0].epoch;
    let partition = Partition { capability: capability.into(), number: 0 };
    let reading = Reading { partition: partition.clone(), after: Position::default(), most: 1_000 };
    let read = log.read(&[reading], Duration::from_secs(1)).await.unwrap().remove(0).1;
    let positions = read.iter().map(|entry| entry.position).collect();
    let done = Acknowledge {
        partition,
        epoch,
        positions,
        foreign: Vec::new(),
        tally: Default::default(),
        dead: Vec::new(),
        parked: 0,
    };
    log.acknowledge(&[done]).await.unwrap();
}

#[tokio::test]
async fn a_receiver_without_room_does_not_have_the_others_flooded() {
    let t = Stage::start(&["shop"], |s| (s.durable.partition_messages, s.durable.partitions) = (ROOM, 1)).await;
    let (durable, database) = (t.node.bus().durable().unwrap().clone(), t.database("shop"));
    let (log, queue) = (durable.log.clone(), OutboxQueue::of_partition(7));
    let outbox = Outbox::new(&durable, database.clone(), OutboxQueue::of_node("test", "1"));
    t.run(async {
        let filling = (0..ROOM).map(|number| message(&command("full", number))).collect();
        assert!(durable.sender.send_all(filling).await.iter().all(|sent| sent.error.is_none()));
        let (first, others) = (command("full", ROOM), (1..256).map(|number| command("roomy", number)));
        insert(&database, &queue, &[first].into_iter().chain(others).collect::<Vec<_>>()).await;
        outbox.open(&queue, 0).await.unwrap().keep();
        while appended(&*log, "roomy").await < 255 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // It is tried again meanwhile, several times.
        tokio::time::sleep(Duration::from_millis(100)).await;
        make_room(&*log, "full").await;
        empty(&database).await;
        assert_eq!(appended(&*log, "full").await, ROOM + 1);
        let appended = appended(&*log, "roomy").await;
        assert!(appended <= 2 * 255, "255 messages were stored {appended} times in all");
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_was_adopted_before_is_looked_at_again() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let (durable, database) = (t.node.bus().durable().unwrap().clone(), t.database("shop"));
    let outbox = Outbox::new(&durable, database.clone(), OutboxQueue::of_node("test", "1"));
    t.run(async {
        for (number, queue) in [(1, "n/gone/1"), (2, "n/gone/1"), (3, "o/till/n/gone/1"), (4, "o/till/n/gone/1")] {
            insert(&database, queue, &[command("till", number)]).await;
            outbox.adopt(|_| false).await.unwrap();
            outbox.adopt(|node| node == "gone").await.unwrap();
            // The keeper of the stage has an outbox of its own, and takes longer to look.
            let relayed = tokio::time::timeout(Duration::from_secs(2), empty(&database)).await;
            relayed.unwrap_or_else(|_| panic!("message {number} waits"));
            // The relay finds that there is nothing more, and rests.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(appended(&*durable.log, "till").await >= 4, "the keeper may have relayed some of them, too");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_is_no_message_is_a_dead_letter_and_those_behind_it_go_on() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let (durable, database) = (t.node.bus().durable().unwrap().clone(), t.database("shop"));
    let (log, queue) = (durable.log.clone(), OutboxQueue::of_partition(7));
    let outbox = Outbox::new(&durable, database.clone(), OutboxQueue::of_node("test", "1"));
    t.run(async {
        let row = |record| OutboxRow { event: false, target: None, record };
        let ours = |number| row(command("till", number).encode().unwrap());
        let rows = [ours(1), row(vec![0xc1, 7]), ours(2)];
        let tx = database.begin().await.unwrap();
        table::insert(&tx, &queue, 1, &rows).await.unwrap();
        tx.commit().await.unwrap();
        outbox.open(&queue, 0).await.unwrap().keep();
        let relayed = tokio::time::timeout(Duration::from_secs(2), empty(&database)).await;
        relayed.expect("the row stops the others");
        assert_eq!(appended(&*log, "till").await, 2);
        let letters = dead::find(database.reads(), "outbox-p/7/2").await.unwrap();
        let found: Vec<_> = letters.iter().map(|l| (l.capability.as_str(), l.reason, l.record.as_slice())).collect();
        assert_eq!(found, [("shop", dead::DeadReason::Unreadable, &[0xc1, 7][..])]);
    })
    .await;
}
