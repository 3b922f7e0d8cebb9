//! A capability that goes on with another log than before.

use super::{Stage, tables};
use crate::progress::Track;

#[tokio::test]
async fn a_database_that_has_seen_higher_epochs_goes_on_with_this_log() {
    let t = Stage::start(&["shop"], |_| {}).await;
    t.note("a", "before").await;
    t.words("shop", 1).await;
    t.at_rest("shop").await;
    let database = t.database("shop");
    let ahead = async {
        let tx = database.begin(None, Track::default()).await.unwrap();
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
