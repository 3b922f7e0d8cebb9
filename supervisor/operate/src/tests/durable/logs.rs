//! A capability that goes on with another log than before.

use essaim_durable::SendOptions;

use super::{Stage, note, tables};

#[tokio::test]
async fn a_database_that_has_seen_higher_epochs_goes_on_with_this_log() {
    let t = Stage::start(&["shop"], |_| {}).await;
    t.note("a", "before").await;
    t.words("shop", 1).await;
    t.at_rest("shop").await;
    let database = t.database("shop");
    let ahead = async {
        let tx = database.begin().await.unwrap();
        // As a server would whose clock is far ahead.
        for partition in 0..2 {
            tables::fence::take(&tx, partition, 1 << 52).await.unwrap();
            tables::logs::change(&tx, partition, "", "redis/elsewhere").await.unwrap();
        }
        tx.commit().await.unwrap();
    };
    t.run(ahead).await;
    drop(database);
    let t = Stage::again(t.end().await, &["shop"], |_| {}).await;
    t.note("a", "after").await;
    assert_eq!(t.words("shop", 2).await, ["before", "after"]);
    t.at_rest("shop").await;
}

#[tokio::test]
async fn a_copy_in_another_log_is_a_duplicate_even_at_the_offset_that_the_message_had() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let id = t.note("a", "once").await;
    assert_eq!(t.at_rest("shop").await, (1, 0, 0, 0));
    let directory = t.end().await;
    for file in ["log.sqlite3", "log.sqlite3-wal", "log.sqlite3-shm"] {
        let _ = std::fs::remove_file(directory.path().join(file));
    }
    let t = Stage::again(directory, &["shop"], |_| {}).await;
    t.run(t.client().send_with(note("a", "once"), SendOptions::new().id(id))).await.unwrap();
    assert_eq!(t.at_rest("shop").await, (1, 1, 0, 0));
    assert_eq!(t.words("shop", 1).await, ["once"]);
}
