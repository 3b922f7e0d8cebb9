//! The connections that pools take of their node's budget and of their server, and give back.

use std::time::Duration;

use super::bench::{Bench, begin, texts, try_begin};
use crate::testing::schema;
use crate::{ConnectionBudget, Database};

/// How long one waits for what must not come.
const SHORT: Duration = Duration::from_millis(300);
/// How long one waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node of that budget with two capabilities, each of which may have 8 connections.
async fn node(budget: u32, idle_ms: u64) -> Option<(Bench, [Database; 2])> {
    let (mut bench, other) = (Bench::postgres()?, Bench::postgres()?);
    let settings = &mut bench.settings;
    settings.capabilities.extend(other.settings.capabilities.clone());
    settings.store.postgres_connections = 8;
    settings.store.node_connections = budget;
    settings.store.idle_connection_ms = idle_ms;
    let names = [&*bench.capability, &*other.capability];
    let budget = ConnectionBudget::of(&bench.settings, names.into_iter()).unwrap();
    let open = async |name: &str| {
        let Bench { settings, env, tasks, .. } = &bench;
        Database::open(name, settings, &schema(1), env, tasks, &budget).await.unwrap()
    };
    let both = [open(names[0]).await, open(names[1]).await];
    Some((bench, both))
}

#[tokio::test]
async fn a_busy_capability_leaves_the_other_its_own_and_takes_the_rest() {
    // One spare each; 12 for use: 3 are each one's own, 6 go to those that need them.
    let Some((_bench, [busy, other])) = node(14, 60_000).await else { return };
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(begin(&busy).await);
    }
    assert!(try_begin(&busy, SHORT).await.is_err(), "its pool has no more");
    for _ in 0..4 {
        held.push(begin(&other).await);
    }
    let refused = try_begin(&other, SHORT).await.err().unwrap().to_string();
    assert!(refused.contains("store.node_connections") && refused.contains("14 connections"), "{refused}");
    assert_eq!(other.pools().0.in_use, 4, "who waits for a connection has none");
}

#[tokio::test]
async fn an_idle_connection_is_given_up_for_another_capability_that_waits() {
    let Some((_bench, [first, second])) = node(10, 60_000).await else { return };
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(begin(&first).await);
    }
    // Idle by now: the second takes them, beyond its own two.
    held.clear();
    for _ in 0..6 {
        held.push(begin(&second).await);
    }
    // And one that comes back while somebody waits.
    let _own = (begin(&first).await, begin(&first).await);
    let (waiting, ()) = tokio::join!(try_begin(&first, PATIENCE), async {
        tokio::time::sleep(SHORT).await;
        assert_eq!(first.pools().0.in_use, 2);
        drop(held.pop());
    });
    drop(waiting.expect("it has the place of one that came back"));
}

#[tokio::test]
async fn idle_connections_are_given_back_to_the_server_but_for_one() {
    let Some((_bench, [database, other])) = node(14, 200).await else { return };
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(begin(&database).await);
    }
    assert_eq!(sessions(&other, &database).await, 6);
    held.clear();
    let left = async {
        while sessions(&other, &database).await > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("they are closed");
    drop(begin(&database).await);
    tokio::time::sleep(4 * SHORT).await;
    assert_eq!(sessions(&other, &database).await, 1, "the last one stays");
}

#[test]
fn a_budget_without_two_connections_for_each_capability_is_refused() {
    let mut settings = essaim_config::Settings::default();
    for name in ["a", "b"] {
        settings.capabilities.entry(name.into()).or_default().database = "postgres://u@h/d".into();
    }
    settings.store.node_connections = 3;
    let hosts = || ["a", "b", "on-sqlite"].into_iter();
    let refused = ConnectionBudget::of(&settings, hosts()).err().unwrap().to_string();
    assert!(refused.contains("store.node_connections is 3") && refused.contains("4 or more"), "{refused}");
    settings.store.node_connections = 4;
    assert!(ConnectionBudget::of(&settings, hosts()).is_ok());
    assert_eq!(ConnectionBudget::most_of(&settings, hosts()), 4);
    settings.store.node_connections = 100;
    assert_eq!(ConnectionBudget::most_of(&settings, hosts()), 34, "16 each, and one spare");
}

/// The sessions of a capability, as its server counts them.
async fn sessions(watcher: &Database, database: &Database) -> usize {
    let count = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name LIKE 'essaim/%/{}'",
        database.capability()
    );
    texts(watcher.reads(), &count).await[0].parse().unwrap()
}
