//! `essaim why` and `essaim parked`, as somebody at the command line meets them.

use serde_json::Value;

use super::trace::{said_at, text_at};
use crate::support::*;

#[test]
fn an_order_says_where_its_time_went_and_what_is_not_known_is_said_to_be() {
    let mut cluster = Cluster::single().start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let main = cluster.node("main");
    let why = text_at(main, &["why", &order]);
    assert!(why.contains("All of it took"), "{why}");
    let json = said_at(main, &["why", &order, "--json"]).stdout;
    let explanation: Value = serde_json::from_slice(&json).expect("it is JSON");
    assert!(explanation["sentences"].as_array().is_some_and(|sentences| !sentences.is_empty()), "{explanation}");
    for (arguments, code, part) in [
        (&["why", "nothing-has-this-id"][..], 65, "nothing is known of `nothing-has-this-id`"),
        (&["parked", "retry", "nothing-has-this-id"], 65, "not parked: nothing-has-this-id"),
        (&["parked", "list"], 0, "no parked messages"),
    ] {
        let output = said_at(main, arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    cluster.stop();
}

#[test]
fn a_read_that_waits_for_a_lock_of_a_server_names_the_session_that_holds_it() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let server = Postgres::shared();
    let database = server.database();
    let limits = [
        ("ask.timeout_ms", 50_000),
        ("gateway.request_timeout_ms", 55_000),
        ("store.transaction_limit_ms", 50_000),
        ("durable.lease_ms", 60_000),
    ];
    let cluster = Cluster::single().on(&database);
    let mut cluster = limits.into_iter().fold(cluster, |cluster, (key, ms)| cluster.set(key, ms)).start();
    let locked = "BEGIN; LOCK TABLE catalog.products IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120)";
    let sessions = "FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND datname = current_database()";
    std::thread::scope(|scope| {
        // It ends when its session does, with an error.
        let holder = scope.spawn(|| server.sql(database.name(), locked));
        let backend = eventually("the lock", || {
            let held = format!("SELECT pid {sessions} AND wait_event = 'PgSleep'");
            Some(server.sql(database.name(), &held)).filter(|pid| !pid.is_empty())
        });
        let api = cluster.api().with("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let reading = scope.spawn(move || api.get("/products"));
        let main = cluster.node("main");
        let why = eventually("the read to say what it waits for", || {
            let said = String::from_utf8_lossy(&said_at(main, &["why", TRACE]).stdout).into_owned();
            (said.contains("wait for locks of") && said.contains("waiting for the database for")).then_some(said)
        });
        assert!(why.contains("`catalog."), "{why}");
        assert!(why.contains(&format!("`psql` (backend {backend}, active, its transaction began")), "{why}");
        server.sql(database.name(), &format!("SELECT pg_terminate_backend(pid) {sessions} AND pid = {backend}"));
        assert_eq!(reading.join().expect("it is answered").status, 200);
        drop(holder.join());
    });
    cluster.stop();
}
