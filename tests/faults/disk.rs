//! A database that can be reached and does not work: its disk is full, or another program has locked its file. One
//! status for its customers, one line of the log when it begins and one when it ends, with the cause; nothing is lost,
//! and no attempt is used up.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::clients::{crowd, orders_of, stock_of};
use crate::load::locks::Session;
use crate::support::{
    Answer, Api, Cluster, ClusterBuilder, ClusterNode, Disk, PATIENCE, Postgres, Scratch, eventually,
};

const STOCK: u64 = 1_000_000;
/// Orders that are refused before the outage ends.
const REFUSED: usize = 100;

/// Places orders until as many were refused as are wanted, and checks each answer; how many were taken.
#[track_caller]
fn order_until_refused(admin: &Api, product: &str, refused: usize) -> usize {
    let body = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
    let (mut answers, mut taken) = (Vec::<Answer>::new(), 0);
    while answers.len() < refused {
        let answer = admin.send("POST", "/orders", Some(body.clone()));
        match answer.status {
            200 | 201 => taken += 1,
            _ => answers.push(answer),
        }
    }
    for answer in answers {
        let answer = answer.problem(503, "unavailable");
        assert!(
            answer.header("retry-after").is_some() && answer.text.contains("Nothing was changed"),
            "{}",
            answer.text
        );
    }
    taken
}

/// The reason that a node gives for an outage of what it depends on.
#[track_caller]
fn is_out(node: &ClusterNode, what: &str, why: &str) {
    let admin = node.admin();
    eventually("an outage with its cause", || {
        let answer = admin.get("/readyz");
        let reasons = answer.body["reasons"].as_array().cloned().unwrap_or_default();
        let told = |reason: &serde_json::Value| {
            reason.as_str().is_some_and(|r| r.starts_with(what) && r.contains(" does not work") && r.contains(why))
        };
        (answer.status == 503 && reasons.iter().any(told)).then_some(())
    });
    admin.get("/livez").is(200);
}

/// Asserts that an outage has ended by itself, and was logged once.
#[track_caller]
fn has_ended(node: &mut ClusterNode, whats: &[&str]) {
    have_ended(node, whats, 1);
}

/// Asserts that so many outages have ended by themselves, and that each was logged once.
#[track_caller]
fn have_ended(node: &mut ClusterNode, whats: &[&str], times: usize) {
    let admin = node.admin();
    eventually("the end of the outage", || {
        let answer = admin.get("/readyz");
        (answer.status == 200 && answer.body["reasons"].is_null()).then_some(())
    });
    for what in whats {
        let mut told = |how: &str| {
            let line = format!("{what} {how}");
            node.process().lines().iter().filter(|l| l.contains(&line)).count()
        };
        // The log is read a moment after it is written.
        eventually("the line of its end", || (told("works again") >= times).then_some(()));
        assert_eq!((told("does not work"), told("works again")), (times, times), "{what}");
    }
}

/// Every order that was taken is confirmed, and there is no other; nothing has died.
#[track_caller]
fn nothing_is_lost(node: &ClusterNode, admin: &Api, product: &str, taken: usize) {
    let settled = || {
        let orders = orders_of(admin);
        orders.iter().all(|order| order["status"] == "confirmed").then_some(orders)
    };
    assert_eq!(eventually("every order that was taken to be confirmed", settled).len(), taken);
    assert_eq!(stock_of(admin, product), STOCK - taken as u64);
    let status = node.admin().get("/status").is(200);
    for capability in ["orders", "catalog"] {
        let durable = &status["capabilities"][capability]["durable"];
        assert_eq!(
            (&durable["dead"], &durable["ledger"]["difference"]),
            (&0.into(), &0.into()),
            "{capability}: {durable}"
        );
    }
}

fn shop() -> ClusterBuilder {
    Cluster::single()
        .set("gateway.rate_limit_per_second", 0)
        .set("durable.attempts", 2)
        .set("durable.backoff_most_ms", 500)
        .set("store.recheck_most_ms", 500)
        .set("orders.wait_ms", 100)
}

#[test]
fn a_full_disk_is_one_cause_and_one_status_and_its_end_needs_nobodys_request() {
    let mut cluster = shop().without("main").start();
    let Some(disk) = Disk::over(&cluster.node("main").data(), 64) else { return };
    cluster.node("main").start();
    cluster.node("main").wait_until_ready();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let mut taken = usize::from(admin.order(&product, 1).is(201).status == 201);
    for time in 1..=3 {
        disk.fill();
        taken += order_until_refused(&admin, &product, REFUSED);
        is_out(cluster.node("main"), "the database of `orders`", "is full: free some space");
        admin.get("/products").is(200);
        disk.free();
        have_ended(cluster.node("main"), &["the database of `orders`"], time);
        admin.order(&product, 1).is(201);
        taken += 1;
    }
    nothing_is_lost(cluster.node("main"), &admin, &product, taken);
    cluster.stop();
}

#[test]
fn a_full_disk_of_the_log_alone_is_one_cause_too() {
    let scratch = Scratch::new("databases");
    let of = |name: &str| format!("sqlite://{}", scratch.join(&format!("{name}.sqlite3")).display());
    let capabilities = ["users", "auth", "catalog", "orders"];
    let shop = capabilities.iter().fold(shop(), |c, name| c.set(&format!("capabilities.{name}.database"), of(name)));
    let mut cluster = shop.without("main").start();
    let Some(disk) = Disk::over(&cluster.node("main").data(), 16) else { return };
    cluster.node("main").start();
    cluster.node("main").wait_until_ready();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    disk.fill();
    // The messages of an order wait in the outbox.
    let taken = (0..50).filter(|_| admin.order(&product, 1).is(201).status == 201).count();
    is_out(cluster.node("main"), "the log", "is full: free some space");
    disk.free();
    has_ended(cluster.node("main"), &["the log"]);
    nothing_is_lost(cluster.node("main"), &admin, &product, taken);
    cluster.stop();
}

#[test]
fn a_file_that_another_program_has_locked_is_one_cause_and_one_status() {
    let mut cluster = shop().start();
    let admin = cluster.admin().within(PATIENCE);
    let product = admin.product("TEA", 450, STOCK);
    admin.order(&product, 1).is(201);
    let lock = Session::on_file(&cluster.node("main").data().join("orders.sqlite3")).locked();
    let taken: usize = crowd(4, |_| order_until_refused(&admin, &product, 1)).into_iter().sum();
    is_out(cluster.node("main"), "the database of `orders`", "is locked by another program: end whatever has it open");
    admin.get("/products").is(200);
    lock.release();
    has_ended(cluster.node("main"), &["the database of `orders`"]);
    nothing_is_lost(cluster.node("main"), &admin, &product, taken + 1);
    cluster.stop();
}

#[test]
fn a_file_with_a_damaged_page_is_an_outage_until_it_is_whole_again() {
    let mut cluster = shop().start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let mut taken = usize::from(admin.order(&product, 1).is(201).status == 201);
    nothing_is_lost(cluster.node("main"), &admin, &product, taken);
    cluster.node("main").stop();
    let file = cluster.node("main").data().join("orders.sqlite3");
    let whole = fs::read(&file).expect("it can be read");
    let page: usize = {
        let root = "SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE name = 'orders_newest'";
        Session::on_file(&file).text(root).expect("there is such an index").parse().expect("a number")
    };
    let mut damaged = whole.clone();
    damaged[(page - 1) * 4096..page * 4096].fill(0xA5);
    fs::write(&file, damaged).expect("it can be written");
    cluster.node("main").start();
    cluster.node("main").wait_until_ready();
    let admin = cluster.admin();
    // That other pages can be written to, as each look at the file finds, does not end it.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        taken += order_until_refused(&admin, &product, 1);
    }
    is_out(cluster.node("main"), "the database of `orders`", "stop the node and restore a backup");
    admin.get("/products").is(200);
    let said = |what: &str, node: &mut ClusterNode| node.process().lines().iter().filter(|l| l.contains(what)).count();
    let (begun, ended) = ("the database of `orders` does not work", "the database of `orders` works again");
    assert_eq!((said(begun, cluster.node("main")), said(ended, cluster.node("main"))), (1, 0));
    assert_eq!(taken, 1);
    cluster.node("main").stop();
    fs::write(&file, whole).expect("it can be written");
    cluster.node("main").start();
    cluster.node("main").wait_until_ready();
    let admin = cluster.admin();
    admin.order(&product, 1).is(201);
    nothing_is_lost(cluster.node("main"), &admin, &product, taken + 1);
    cluster.stop();
}

#[test]
fn a_postgres_whose_disk_is_full_is_one_cause_and_one_status() {
    let (server, scratch) = (Postgres::start(), Scratch::new("tablespace"));
    let Some(disk) = Disk::over(scratch.path(), 64) else { return };
    let database = server.database_at(scratch.path());
    let mut cluster = shop().on(&database).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let mut taken = usize::from(admin.order(&product, 1).is(201).status == 201);
    disk.fill();
    taken += order_until_refused(&admin, &product, REFUSED);
    is_out(cluster.node("main"), "the database of `orders`", "is full: free some space");
    disk.free();
    has_ended(cluster.node("main"), &["the database of `orders`"]);
    admin.order(&product, 1).is(201);
    nothing_is_lost(cluster.node("main"), &admin, &product, taken + 1);
    cluster.stop();
}
