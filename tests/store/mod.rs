//! A capability on a PostgreSQL server that restarts, disappears or falls silent.

mod backups;
mod poolers;
mod pools;
mod restores;
mod tls;
mod words;

use essaim::config::Settings;
use essaim::{Harness, Stage};
use essaim_contract::{AskError, FailureKind, Unknown};

use crate::support::{Database, Postgres};
use words::{Add, Count, Gate, WordsActor};

/// How long a transaction may be open where a test waits for that to pass, in milliseconds.
const SHORT_LIMIT_MS: u64 = 500;

async fn words(database: &Database, gate: &Gate, limit_ms: u64) -> Stage<WordsActor> {
    words_with(database, gate, |s| s.store.transaction_limit_ms = limit_ms).await
}

async fn words_with(database: &Database, gate: &Gate, more: impl Fn(&mut Settings)) -> Stage<WordsActor> {
    let settings = |s: &mut Settings| {
        s.capabilities.entry("words".into()).or_default().database = database.url().into();
        s.ask.timeout_ms = 30_000;
        more(s);
    };
    Harness::sqlite().runtime(settings).provide(gate.clone()).start().await
}

#[tokio::test]
async fn a_restart_of_the_server_goes_unnoticed_and_its_absence_is_a_failure() {
    let mut server = Postgres::start();
    let (database, gate) = (server.database(), Gate::open());
    let t = words(&database, &gate, 5_000).await;
    assert_eq!(t.ask(Add("before".into())).await, Ok(1));
    server.restart();
    assert_eq!(t.ask(Count).await, Ok(1), "a reading connection is replaced");
    server.restart();
    assert_eq!(t.ask(Add("after".into())).await, Ok(2), "a writing connection is replaced");
    server.kill();
    for asked in [t.ask(Add("nowhere".into())).await, t.ask(Count).await.map_err(|e| e.map_rejected(|n| match n {}))] {
        let Err(AskError::Failed(failure)) = asked else { panic!("nothing was committed: {asked:?}") };
        assert!(failure.kind == FailureKind::Unavailable && failure.detail.contains("start it"), "{failure}");
    }
    server.restart();
    assert_eq!(t.ask(Count).await, Ok(2));
}

#[tokio::test]
async fn a_commit_that_the_server_does_not_answer_is_unknown() {
    let mut server = Postgres::start();
    let (database, gate) = (server.database(), Gate::shut());
    let t = words(&database, &gate, SHORT_LIMIT_MS).await;
    let ask = t.client();
    let asked = t
        .run(async {
            let (asked, ()) = tokio::join!(ask.ask(Add("perhaps".into())), async {
                gate.reached().await;
                server.pause();
                gate.let_pass();
            });
            asked
        })
        .await;
    assert_eq!(asked, Err(AskError::Unknown(Unknown::CommitUnanswered)));
    server.resume();
    assert!(t.ask(Count).await.is_ok_and(|n| n <= 1), "it goes on with fresh connections");
}

#[tokio::test]
async fn many_nodes_that_start_at_once_on_one_server_make_one_schema() {
    let server = Postgres::start();
    let database = server.database();
    let gate = Gate::open();
    // Each stage is a node of its own, as far as the server can tell; all begin before one has finished.
    let starting = (0..4).map(|_| words(&database, &gate, 5_000));
    let nodes: Vec<Stage<WordsActor>> = futures_util::future::join_all(starting).await;
    for (node, count) in nodes.iter().zip(1..) {
        assert_eq!(node.ask(Add(format!("word {count}"))).await, Ok(count));
    }
    let name = database.url().rsplit('/').next().unwrap_or_default();
    let history = "SELECT version, name FROM words.essaim_schema ORDER BY version";
    assert_eq!(server.sql(name, history), "1|the_words\n2|when_they_came");
}
