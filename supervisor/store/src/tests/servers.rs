//! What is particular to servers: sessions, lost connections, commits without an answer.

use std::net::SocketAddr;
use std::time::Duration;

use essaim_config::Durability;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::{DbBackend, Statement};

use super::bench::{Bench, begin, insert, texts, words};
use super::proxy::{Cut, cut_at_commit};
use crate::postgres::{self, Options, weaker_than};
use crate::testing::schema;
use crate::tx_tracker::CommitState;
use crate::{Database, TxError};

#[tokio::test]
async fn every_session_sees_its_own_schema_and_has_limits_of_its_own() {
    let Some(mut bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    let (tx, _) = begin(&database).await;
    let setting = async |name: &str| texts(&tx, &format!("SELECT current_setting('{name}')")).await.remove(0);
    assert_eq!(setting("search_path").await, format!("\"{}\"", bench.capability));
    assert_eq!(setting("statement_timeout").await, "5s");
    // durable.lease_ms: the next owner of a partition does not wait for longer.
    assert_eq!(setting("idle_in_transaction_session_timeout").await, "1250ms");
    assert!(setting("application_name").await.starts_with("essaim/"));
    assert_eq!(texts(&tx, "SELECT current_schema()::text").await, [bench.capability.as_str()]);
    bench.settings.store.transaction_limit_ms = 500;
    let database = bench.open(&schema(1)).await;
    for name in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let asked = format!("SELECT current_setting('{name}')");
        assert_eq!(texts(database.reads(), &asked).await, ["500ms"], "{name}");
    }
}

#[tokio::test]
async fn a_session_that_holds_a_lock_is_named_to_those_that_wait_for_it() {
    let Some(mut bench) = Bench::postgres() else { return };
    bench.settings.node.name = "holder".into();
    let holding = bench.open(&schema(1)).await;
    bench.settings.node.name = "waiter".into();
    bench.settings.store.postgres_connections = 1;
    let waiting = bench.open(&schema(1)).await;
    let limit = Duration::from_secs(30);
    let ((held, _), (late, _)) = (begin(&holding).await, begin(&waiting).await);
    assert_eq!(waiting.lock_holders(limit).await.unwrap(), [], "nobody waits");
    texts(&held, "SELECT pg_advisory_xact_lock(4711)::text").await;
    let mut blocked = Box::pin(texts(&late, "SELECT pg_advisory_xact_lock(4711)::text"));
    let holders = tokio::select! {
        _ = &mut blocked => panic!("the lock is held"),
        holders = async {
            loop {
                let holders = waiting.lock_holders(limit).await.unwrap();
                if !holders.is_empty() {
                    return holders;
                }
            }
        } => holders,
    };
    let [holder] = &holders[..] else { panic!("{holders:?}") };
    assert_eq!(holder.application, format!("essaim/holder/{}", bench.capability));
    assert_eq!(holder.state, "idle in transaction");
    let said = format!("`{}` (backend {}, idle in transaction, its", holder.application, holder.backend);
    assert!(holder.to_string().starts_with(&said), "{holder}");
    assert_eq!(holding.lock_holders(limit).await.unwrap(), [], "who holds it does not wait");
    held.rollback().await.unwrap();
    blocked.await;
}

#[tokio::test]
async fn a_server_that_is_weaker_than_the_configuration_is_told_by_its_settings() {
    let Some(bench) = Bench::postgres() else { return };
    let options: PgConnectOptions = url(&bench).parse().unwrap();
    let weak = Options::of(options.clone().options([("synchronous_commit", "off")]));
    let mut weak = postgres::connect(&weak).await.unwrap();
    for durability in [Durability::Process, Durability::Machine] {
        let said = weaker_than(durability, &mut weak).await.unwrap().unwrap();
        assert!(said.contains("synchronous_commit = off"), "{said}");
    }
    let mut as_it_is = postgres::connect(&Options::of(options)).await.unwrap();
    assert_eq!(weaker_than(Durability::Process, &mut as_it_is).await.unwrap(), None);
}

#[tokio::test]
async fn connections_that_the_server_closed_are_replaced_unnoticed() {
    let Some(bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    for _ in 0..2 {
        // Several connections wait for use, and all of them die.
        let (a, b) = (begin(&database).await, begin(&database).await);
        drop((a, b));
        end_sessions(&bench).await;
        assert!(words(&database).await.is_empty());
        end_sessions(&bench).await;
        let (tx, _) = begin(&database).await;
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_whose_connection_died_fails_and_is_not_unknown() {
    let Some(bench) = Bench::postgres() else { return };
    let database = bench.open(&schema(1)).await;
    let (tx, tracker) = begin(&database).await;
    insert(&tx, "a").await.unwrap();
    end_sessions(&bench).await;
    assert!(insert(&tx, "b").await.is_err());
    assert!(matches!(tx.commit().await, Err(TxError::Database(_))));
    assert_eq!(tracker.commit_state(), CommitState::Nothing);
    assert!(words(&database).await.is_empty());
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_whether_it_took_place_or_not() {
    let Some(bench) = Bench::postgres() else { return };
    let direct = bench.open(&schema(1)).await;
    for (cut, kept) in [(Cut::BeforeTheServer, 0), (Cut::BeforeTheAnswer, 1)] {
        let database = through_a_proxy(&bench, cut).await;
        let (tx, tracker) = begin(&database).await;
        insert(&tx, "a").await.unwrap();
        assert!(matches!(tx.commit().await, Err(TxError::CommitUnanswered(_))), "{cut:?}");
        assert_eq!(tracker.commit_state(), CommitState::Committing);
        assert_eq!(words(&direct).await.len(), kept, "{cut:?}");
    }
}

#[tokio::test]
async fn wrong_users_and_databases_are_told_apart() {
    let Some(mut bench) = Bench::postgres() else { return };
    let options: PgConnectOptions = url(&bench).parse().unwrap();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let mut error_at = async |url: String| {
        bench.settings.capabilities.entry(bench.capability.clone()).or_default().database = url;
        bench.try_open(&schema(1)).await.unwrap_err().to_string()
    };
    let user = options.get_username();
    let missing = error_at(format!("postgres://{user}@{server}/nowhere_at_all")).await;
    assert!(missing.contains("has no database `nowhere_at_all`: create it"), "{missing}");
    let stranger = error_at(format!("postgres://nobody_here:s3cret@{server}/postgres")).await;
    assert!(stranger.contains("does not let `nobody_here` in") && !stranger.contains("s3cret"), "{stranger}");
}

/// Ends all sessions of the capability, as a restart of the server does.
async fn end_sessions(bench: &Bench) {
    let mut admin = postgres::connect(&Options::parse(&url(bench)).unwrap()).await.unwrap();
    let sql = format!(
        "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity WHERE application_name LIKE 'essaim/%/{}'",
        bench.capability
    );
    admin.query_all(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
}

async fn through_a_proxy(bench: &Bench, cut: Cut) -> Database {
    let options: PgConnectOptions = url(bench).parse().unwrap();
    let server: SocketAddr = format!("{}:{}", options.get_host(), options.get_port()).parse().unwrap();
    let proxy = cut_at_commit(server, cut).await;
    let mut settings = bench.settings.clone();
    settings.store.acquire_timeout_ms = Duration::from_secs(5).as_millis() as u64;
    let through = url(bench).replace(&server.to_string(), &proxy.to_string());
    settings.capabilities.entry(bench.capability.clone()).or_default().database = through;
    // The schema is there, so that opening has nothing to commit.
    bench.open_with(&settings, &schema(1)).await.unwrap()
}

fn url(bench: &Bench) -> String {
    bench.settings.capabilities[&bench.capability].database.clone()
}
