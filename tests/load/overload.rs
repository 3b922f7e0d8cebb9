//! Ten times as much as a capability can do, through the gateway.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::clients::{Shift, crowd};
use super::locks::Session;
use crate::support::{Answer, Api, Cluster, ClusterBuilder, Database, PATIENCE, Postgres, eventually};

/// Messages that catalog admits at a time, and how many of them it handles at a time.
const MAILBOX: usize = 8;
const INSTANCES: usize = 4;
/// Ten times as many as are admitted.
const CLIENTS: usize = 10 * MAILBOX;
/// How much memory the process may take while it is overloaded, beyond what it had: enough for eighty connections and
/// their buffers, far too little for a queue of all requests that were refused.
const MOST_KIB: u64 = 64 * 1024;

/// How long the overload lasts: `ESSAIM_OVERLOAD_SECONDS`.
fn duration() -> Duration {
    let seconds = std::env::var("ESSAIM_OVERLOAD_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// The platform in one process, with a small catalog on that database, and with time for everybody.
fn small_catalog(database: &Database) -> ClusterBuilder {
    let patience_ms = PATIENCE.as_millis();
    Cluster::single()
        .set("capabilities.catalog.database", database.url())
        .set("capabilities.catalog.mailbox", MAILBOX)
        .set("capabilities.catalog.instances", INSTANCES)
        .set("gateway.rate_limit_per_second", 0)
        .set("gateway.request_timeout_ms", patience_ms)
        .set("ask.timeout_ms", patience_ms)
        .set("store.transaction_limit_ms", patience_ms)
        .set("log.filter", "info,essaim::access=off,essaim_gateway=error")
}

/// Makes a product of a name that no other client uses.
fn make(api: &Api, name: &str) -> Answer {
    let product = json!({ "sku": name, "name": name, "price_cents": 1, "currency": "EUR", "stock": 1 });
    api.try_send("POST", "/products", Some(product)).expect("every request is answered")
}

/// Whether it was refused as an overload: at once, surely not run, with a time to try again.
fn is_refusal(answer: &Answer) -> bool {
    answer.status == 503
        && answer["type"] == "urn:essaim:problem:overloaded"
        && answer.header("retry-after") == Some("1")
}

#[test]
fn while_every_place_is_taken_the_excess_is_answered() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let cluster = small_catalog(&database).start();
    let admin = cluster.admin();
    let locked = Session::on(&database).holding("LOCK TABLE catalog.products IN SHARE MODE");
    let (refused, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            crowd(CLIENTS, |n| {
                let answer = make(&admin.within(PATIENCE), &format!("held-{n}"));
                let counted = if is_refusal(&answer) { &refused } else { &made };
                counted.fetch_add(1, Ordering::SeqCst);
                answer
            })
        });
        // Nothing can be handled before the lock is released, so a client with an answer did not wait in a queue.
        eventually("the excess to be refused", || (refused.load(Ordering::SeqCst) == CLIENTS - MAILBOX).then_some(()));
        assert_eq!(made.load(Ordering::SeqCst), 0);
        locked.release();
        let answers = clients.join().expect("no client panics");
        assert_eq!(answers.iter().filter(|a| a.status == 201).count(), MAILBOX);
    });
    make(&admin, "next").is(201);
    cluster.stop();
}

#[test]
fn an_overload_takes_little_memory_and_is_over_when_it_ends() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let mut cluster = small_catalog(&database).start();
    let admin = cluster.admin();
    // A slow handler: every insert takes a while, so that catalog can do ten in a second.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON catalog.products FOR EACH ROW EXECUTE FUNCTION slow()";
    postgres.sql(database.name(), slow);
    let pid = cluster.node("main").process().pid();
    let before = memory_kib(pid, "VmRSS");

    let (counts, node) = (Counts::default(), cluster.node("main").admin());
    let catalog = || node.get("/status").is(200)["capabilities"]["catalog"].clone();
    std::thread::scope(|scope| {
        let (begun, shift) = (Instant::now(), Shift(&counts.over));
        let clients = scope.spawn(|| crowd(CLIENTS, |client| insist(&admin.within(PATIENCE), client, &counts)));
        eventually("an overload that lasts", || {
            let admitted = catalog()["admitted"].as_u64();
            assert!(admitted.is_some_and(|admitted| admitted <= MAILBOX as u64), "{admitted:?}");
            (begun.elapsed() >= duration() && counts.tenfold()).then_some(())
        });
        drop(shift);
        clients.join().expect("no client panics");
    });
    // The first request after the overload finds a place.
    make(&admin, "next").is(201);

    assert_eq!(catalog()["admitted"], 0);
    let (peak, after) = (memory_kib(pid, "VmHWM"), memory_kib(pid, "VmRSS"));
    println!("{counts:?}; {before} KiB before, {peak} KiB at the peak, {after} KiB after");
    assert!(peak - before < MOST_KIB, "{before} KiB before, {peak} KiB at the peak");
    cluster.stop();
}

/// Outcomes of the requests so far.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Counts {
    /// Whether there were ten times as many requests as could be handled.
    fn tenfold(&self) -> bool {
        let made = self.made.load(Ordering::SeqCst);
        made >= MAILBOX && self.refused.load(Ordering::SeqCst) > 9 * (made + MAILBOX)
    }
}

/// Makes product after product, without a pause.
fn insist(api: &Api, client: usize, counts: &Counts) {
    let mut turn = 0;
    while !counts.over.load(Ordering::SeqCst) {
        turn += 1;
        let answer = make(api, &format!("p-{client}-{turn}"));
        if is_refusal(&answer) {
            counts.refused.fetch_add(1, Ordering::SeqCst);
        } else {
            answer.is(201);
            counts.made.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A line of `/proc/PID/status`, in KiB.
fn memory_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is running");
    let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).expect("Linux tells it");
    line.trim().trim_end_matches("kB").trim().parse().expect("it is a number")
}
