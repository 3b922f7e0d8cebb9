//! What the pools of several nodes take of a server's connections, and give back.

use std::future::pending;

use essaim::Stage;
use essaim::config::Settings;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::words::{Add, Count, Gate, WordsActor};
use super::words_with;
use crate::support::{PATIENCE, Postgres, essaim};

/// As many as the pools of two nodes have at most.
const ALL_CONNECTIONS: usize = 32;

#[tokio::test]
async fn after_a_rush_over_two_nodes_another_capability_starts_at_the_same_server() {
    let server = Postgres::with(&[&format!("max_connections={ALL_CONNECTIONS}")]);
    let (database, gate) = (server.database(), Gate::shut());
    let nodes: [Stage<WordsActor>; 2] =
        [words_with(&database, &gate, idle).await, words_with(&database, &gate, idle).await];
    let each = ALL_CONNECTIONS / nodes.len();
    let rush = async |node: &Stage<WordsActor>, name: &str| {
        let client = node.client();
        node.run(join_all((0..each).map(|n| client.ask(Add(format!("{name}{n}")))))).await
    };
    // All wait in a transaction at the same time, so that each has a connection.
    let all_at_once = async {
        for _ in 0..ALL_CONNECTIONS {
            timeout(PATIENCE, gate.reached()).await.expect("each node has half of the connections");
        }
        (0..ALL_CONNECTIONS).for_each(|_| gate.let_pass());
    };
    let [a, b] = &nodes;
    let (of_a, of_b, ()) = tokio::join!(rush(a, "a"), rush(b, "b"), all_at_once);
    assert!(of_a.iter().chain(&of_b).all(Result::is_ok), "{of_a:?} {of_b:?}");
    // Both live on meanwhile.
    let late = tokio::select! {
        late = timeout(PATIENCE, words_with(&database, &gate, idle)) => late.expect("the third node has a connection"),
        () = a.run(pending()) => unreachable!(),
        () = b.run(pending()) => unreachable!(),
    };
    assert_eq!(late.ask(Count).await, Ok(ALL_CONNECTIONS as i64));
}

#[test]
fn check_adds_up_what_the_nodes_may_take_and_names_the_remedy() {
    // Three are for administrators.
    let server = Postgres::with(&["max_connections=23"]);
    let database = server.database();
    let check = |more: &[&str]| {
        let mut check = essaim();
        check.args(["check", "--listen", "127.0.0.1:0"]);
        for capability in ["users", "auth", "catalog", "orders"] {
            check.args(["--set", &format!("capabilities.{capability}.database={}", database.url())]);
        }
        for setting in more {
            check.args(["--set", setting]);
        }
        let output = check.output().expect("the binary can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, page) = check(&[]);
    assert_eq!(code, Some(78), "{page}");
    let place = format!("127.0.0.1:{}", server.port());
    assert!(page.contains(&format!("{place}: 1 node(s) may take 24 of its 20 connections")), "{page}");
    assert!(page.contains("lower store.node_connections to 20") && page.contains("max_connections by 4"), "{page}");
    let (code, page) = check(&["store.node_connections=20"]);
    assert_eq!(code, Some(0), "{page}");
    let (code, page) = check(&["store.node_connections=7"]);
    assert_eq!(code, Some(78), "{page}");
    assert!(page.contains("store.node_connections is 7") && page.contains("set it to 8 or more"), "{page}");
}

fn idle(settings: &mut Settings) {
    settings.store.idle_connection_ms = 500;
}
