//! A capability behind a pooler: it works in session mode, and is refused in the others.

use essaim::{Harness, Stage};

use super::words::{Add, Count, Gate, WordsActor};
use crate::support::{PgBouncer, Postgres, Process, Scratch, essaim};

async fn words_at(url: &str) -> Stage<WordsActor> {
    let settings = |s: &mut essaim::config::Settings| {
        s.capabilities.entry("words".into()).or_default().database = url.into();
        s.ask.timeout_ms = 30_000;
    };
    Harness::sqlite().runtime(settings).provide(Gate::open()).start().await
}

#[tokio::test]
async fn behind_a_pooler_in_session_mode_each_session_keeps_its_schema_and_its_limits() {
    let server = Postgres::shared();
    let (database, pooler) = (server.database(), PgBouncer::start(server, "session", ""));
    for count in [1, 2] {
        // The second one gets sessions that the first one had.
        let t = words_at(&pooler.url(&database)).await;
        assert_eq!(t.ask(Add(format!("word {count}"))).await, Ok(count));
        assert_eq!(t.ask(Count).await, Ok(count));
    }
    assert_eq!(
        server.sql(database.name(), "SELECT count(*) FROM words.words"),
        "2",
        "they are in the capability's schema"
    );
}

#[test]
fn a_pooler_in_transaction_or_statement_mode_is_refused_at_the_start_and_by_check() {
    let server = Postgres::shared();
    let modes = [("transaction", ""), ("statement", ""), ("transaction", "server_round_robin = 1\nmin_pool_size = 3")];
    for (mode, more) in modes {
        let (database, pooler) = (server.database(), PgBouncer::start(server, mode, more));
        let setting = format!("capabilities.users.database={}", pooler.url(&database));
        let data = Scratch::new("pooled");
        let checked = essaim()
            .args(["check", "--listen", "127.0.0.1:0", "--set", &setting])
            .arg("--data-dir")
            .arg(data.path())
            .output()
            .unwrap();
        let page = String::from_utf8_lossy(&checked.stdout).into_owned();
        let remedy = "let it work in session mode (pool_mode = session)";
        assert!(page.contains(remedy) && checked.status.code() == Some(73), "{mode}: {page}");
        let mut run = essaim();
        run.args(["run", "--set", &setting, "--set", "gateway.listen=127.0.0.1:0"]).arg("--data-dir").arg(data.path());
        let node = Process::start("pooled", &mut run);
        node.wait_for_line(remedy);
        let tables = "SELECT count(*) FROM pg_namespace WHERE nspname = 'users'";
        assert_eq!(server.sql(database.name(), tables), "0", "{mode}: nothing was written through it");
    }
}
