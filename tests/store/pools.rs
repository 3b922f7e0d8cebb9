//! What the pools of several nodes take of a server's connections.

use crate::support::{Postgres, essaim};

#[test]
fn check_adds_up_what_the_nodes_may_take_and_names_the_remedy() {
    // Three are for administrators.
    let server = Postgres::with(&["max_connections=23"]);
    let database = server.database();
    let check = |more: &[&str]| {
        let mut check = essaim();
        check.arg("check");
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
