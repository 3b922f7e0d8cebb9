//! Copies of one message, and dead letters that are replayed more than once.

use std::time::Duration;

use essaim_base::codec;
use essaim_durable::SendOptions;
use essaim_protocol::record::Record;
use essaim_store::tables::dead::DeadLetter;
use futures_util::future::{join_all, try_join_all};
use serde_bytes::ByteBuf;

use super::{Stage, note, tables};
use crate::api::ReplayDead;

fn id(t: &Stage) -> essaim_contract::MessageId {
    essaim_contract::MessageId::parse(t.client().env().id().to_string()).unwrap()
}

#[tokio::test]
async fn copies_behind_a_first_one_that_fails_have_no_effect_of_their_own() {
    let t = Stage::start(&["shop"], |s| s.durable.backoff_first_ms = 20).await;
    let client = t.client();
    // More pairs than there are instances: copies that got stuck would leave no room for anything.
    let pairs = (0..40).flat_map(|n| {
        let (word, options) = (format!("once-copies-{n}"), SendOptions::new().id(id(&t)));
        [word.clone(), word].map(|word| client.send_with(note(&format!("k{n}"), &word), options.clone()))
    });
    t.run(try_join_all(pairs)).await.unwrap();
    let (handled, duplicates, dead, _) = t.at_rest("shop").await;
    assert_eq!((handled, duplicates, dead), (40, 40, 0));
    assert_eq!(t.words("shop", 40).await.len(), 40, "each once");
}

#[tokio::test]
async fn copies_that_wait_for_their_time_have_one_effect() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let (client, id) = (t.client(), id(&t));
    let later = || SendOptions::new().id(id.clone()).after(Duration::from_millis(50));
    let copies = (0..3).map(|_| client.send_with(note("a", "later"), later()));
    t.run(try_join_all(copies)).await.unwrap();
    assert_eq!(t.at_rest("shop").await, (1, 2, 0, 0));
    assert_eq!(t.words("shop", 1).await, ["later"]);
}

#[tokio::test]
async fn a_letter_that_is_replayed_twice_at_once_is_applied_once() {
    let t = Stage::start(&["shop"], |_| {}).await;
    let id = t.note("b", "reject").await.to_string();
    t.at_rest("shop").await;
    let database = t.database("shop");
    let mend = async {
        let letter = tables::dead::find(database.reads(), &id).await.unwrap().remove(0);
        let mut record = Record::decode(&letter.record).unwrap();
        record.body = ByteBuf::from(codec::encode(&note("b", "mended")).unwrap());
        let mended = DeadLetter { record: record.encode().unwrap(), ..letter };
        let tx = database.begin().await.unwrap();
        tables::dead::bury(&tx, &[mended]).await.unwrap();
        tx.commit().await.unwrap();
    };
    t.run(mend).await;
    let replay = || ReplayDead { ids: vec![id.clone(), id.clone()], capability: None, payload: None };
    let answers = t.run(join_all((0..3).map(|_| t.operate(replay())))).await;
    assert!(answers.iter().any(|changed| !changed.done.is_empty()), "{answers:?}");
    t.at_rest("shop").await;
    assert_eq!(t.words("shop", 1).await, ["mended"]);
}
