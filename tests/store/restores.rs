//! A database that is older than the log, and a log that is older than the databases: nothing is doubled, and the ledger names
//! what is missing or forgotten.

use std::fs;

use serde_json::json;

use crate::support::{Api, Cluster, Postgres, Redis, Scratch, copy_all, essaim, eventually};

/// The exit code of a ledger that does not balance.
const DATA: i32 = 65;
/// The stock at the beginning, and what each order takes of it.
const STOCK: u64 = 100;
const EACH: u64 = 2;
const PASSWORD: &str = "a password of ana";

/// A shop whose nodes end and begin again.
struct Shop {
    cluster: Cluster,
    product: String,
}

impl Shop {
    /// With one confirmed order.
    fn open(cluster: Cluster) -> Self {
        let product = cluster.admin().product("TEA", 450, STOCK);
        cluster.api().register("ana@example.com", PASSWORD, "Ana");
        let shop = Self { cluster, product };
        shop.sell();
        shop.rests();
        shop
    }

    /// Does this while no node runs.
    fn closed<T>(&mut self, work: impl FnOnce(&mut Cluster) -> T) -> T {
        self.cluster.nodes().for_each(|node| node.stop());
        let done = work(&mut self.cluster);
        self.cluster.nodes().for_each(|node| node.start());
        self.cluster.nodes().for_each(|node| node.wait_until_ready());
        done
    }

    fn ana(&self) -> Api {
        self.cluster.api().logged_in("ana@example.com", PASSWORD)
    }

    /// An order that is confirmed.
    fn sell(&self) {
        let ana = self.ana();
        let path = format!("/orders/{}", ana.order(&self.product, EACH).is(201).id());
        eventually("the order to be confirmed", || (ana.get(&path)["status"] == "confirmed").then_some(()));
    }

    /// The node that alone hosts the catalogue dies with an order's message that it has applied and not acknowledged; meanwhile this is done.
    fn died_before_acknowledging<T>(&mut self, host: &str, work: impl FnOnce(&mut Cluster) -> T) -> T {
        let (ana, before) = (self.ana(), self.books().0);
        let order = json!({ "lines": [{ "product_id": self.product, "quantity": EACH }] });
        let node = self.cluster.node(host);
        node.stop();
        node.crash_at("apply.after-commit");
        node.restart();
        // Whether it is answered is open.
        drop(ana.try_send("POST", "/orders", Some(order)));
        node.process().wait();
        let done = work(&mut self.cluster);
        self.cluster.node(host).restart();
        self.rests();
        assert_eq!(self.books().0, before + 1, "the order was placed before its message could be applied");
        done
    }

    /// How many orders there are, and what is left in stock.
    fn books(&self) -> (usize, u64) {
        let orders = self.ana().get("/orders").is(200)["items"].as_array().map_or(0, Vec::len);
        let stock = self.cluster.api().get(&format!("/products/{}", self.product)).is(200)["stock"].as_u64();
        (orders, stock.expect("a product has a stock"))
    }

    /// How many durable messages were applied.
    fn handled(&self) -> u64 {
        let ledger: serde_json::Value = serde_json::from_str(&self.ledger(&["--json"]).1).expect("it is JSON");
        let lines = ledger["lines"].as_array().expect("lines").iter();
        lines.map(|line| line["handled"].as_u64().unwrap_or_default()).sum()
    }

    /// Waits until nothing is on its way.
    fn rests(&self) {
        eventually("all messages to be settled", || {
            let (_, text) = self.ledger(&["--json"]);
            let ledger: serde_json::Value = serde_json::from_str(&text).ok()?;
            let rests = |line: &serde_json::Value| line["waiting"] == 0 && line["parked"] == 0;
            ledger["lines"].as_array()?.iter().all(rests).then_some(())
        });
    }

    fn ledger(&self, more: &[&str]) -> (Option<i32>, String) {
        self.essaim(&[&["ledger"], more].concat())
    }

    fn essaim(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = essaim();
        command.args(arguments).args(["--url", &self.cluster.first_admin()]);
        let output = command.output().expect("the binary can be started");
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&told).into_owned())
    }

    /// The partitions that lack messages, as the ledger names them.
    #[track_caller]
    fn missing(&self) -> String {
        self.rests();
        let (code, text) = self.ledger(&["--at-rest"]);
        assert!(code == Some(DATA) && text.contains("messages are missing"), "{text}");
        text
    }

    /// The log has forgotten messages of the catalogue and of orders, all of which were applied: that is named, once a partition, and
    /// nothing else is wrong.
    #[track_caller]
    fn has_a_log_that_was_older(&mut self) -> Vec<String> {
        self.rests();
        let (code, text) = self.ledger(&["--at-rest"]);
        assert!(code == Some(DATA) && !text.contains("missing") && !text.contains("never appended"), "{text}");
        let (code, text) = self.ledger(&[]);
        assert_eq!(code, Some(0), "{text}");
        let mut found: Vec<String> =
            text.lines().filter(|line| line.contains("older than the database")).map(Into::into).collect();
        found.sort();
        let of = |capability: &str| {
            found.iter().filter(|line| line.starts_with(&format!("`{capability}`, partition"))).count()
        };
        assert!(of("catalog") > 0 && of("orders") > 0 && of("catalog") + of("orders") == found.len(), "{text}");
        let (_, status) = self.essaim(&["status"]);
        assert!(status.contains("0; the log was older than the database"), "{status}");
        let warns = |process: &crate::support::Process| process.has_line("the log is older than the databases");
        assert!(self.cluster.nodes().any(|node| warns(node.process())), "no node has said so");
        found
    }
}

fn replicated(redis: &Redis, database: &crate::support::Database) -> Cluster {
    Cluster::of("config/replicated.toml").over(redis).on(database).start()
}

#[test]
fn postgres_older_than_redis_doubles_nothing_and_the_ledger_names_what_is_missing() {
    let (redis, server) = (Redis::durable(), Postgres::shared());
    let database = server.database();
    let mut shop = Shop::open(replicated(&redis, &database));
    let copy = shop.closed(|_| server.copy(&database));
    shop.sell();
    shop.sell();
    shop.rests();
    shop.closed(|_| server.restore(&database, &copy));
    assert_eq!(shop.books(), (1, STOCK - EACH), "as it was when the copy was made");
    let missing = shop.missing();
    assert!(missing.contains("catalog") && missing.contains("orders"), "{missing}");
    shop.sell();
    assert_eq!(shop.books(), (2, STOCK - 2 * EACH), "and it goes on from there");
    shop.missing();
    shop.cluster.stop();
}

#[test]
fn one_capability_older_than_the_others_doubles_nothing_and_the_ledger_names_what_is_missing() {
    let (redis, server) = (Redis::durable(), Postgres::shared());
    let (database, catalog) = (server.database(), server.database());
    let cluster = Cluster::of("config/replicated.toml").over(&redis).on(&database);
    let cluster = cluster.set("capabilities.catalog.database", catalog.url());
    let mut shop = Shop::open(cluster.start());
    let copy = shop.closed(|_| server.copy(&catalog));
    shop.sell();
    shop.sell();
    shop.rests();
    shop.closed(|_| server.restore(&catalog, &copy));
    assert_eq!(shop.books(), (3, STOCK - EACH), "two orders are confirmed whose stock is not taken");
    let missing = shop.missing();
    assert!(missing.contains("`catalog`") && !missing.contains("`orders`"), "{missing}");
    shop.sell();
    assert_eq!(shop.books(), (4, STOCK - 2 * EACH));
    shop.cluster.stop();
}

#[test]
fn redis_older_than_postgres_doubles_nothing_and_the_ledger_names_what_it_has_forgotten() {
    let (mut redis, server) = (Redis::durable(), Postgres::shared());
    let database = server.database();
    let mut shop = Shop::open(replicated(&redis, &database));
    shop.cluster.node("shop-2").stop();
    // In the copy a message waits that is applied already.
    let copy = shop.died_before_acknowledging("shop-1", |_| redis.copy());
    shop.cluster.node("shop-2").restart();
    shop.sell();
    shop.sell();
    shop.rests();
    let handled = shop.handled();
    shop.closed(|_| redis.restore(&copy));
    shop.rests();
    assert_eq!(shop.handled(), handled, "what comes again is not applied again");
    assert_eq!(shop.books(), (4, STOCK - 4 * EACH), "the databases know all");
    shop.sell();
    assert_eq!(shop.books(), (5, STOCK - 5 * EACH));
    let found = shop.has_a_log_that_was_older();
    shop.closed(|_| ());
    shop.sell();
    assert_eq!(shop.ledger(&["--at-rest"]).0, Some(DATA), "it stays as a reminder");
    shop.rests();
    let (_, told) = shop.ledger(&[]);
    assert!(found.iter().all(|line| told.contains(line)), "{told}");
    assert_eq!(told.matches("older than the database").count(), found.len(), "it is found once: {told}");
    shop.cluster.stop();
}

#[test]
fn in_one_process_a_database_older_than_the_log_doubles_nothing_and_the_ledger_names_what_is_missing() {
    let mut shop = Shop::open(Cluster::single().start());
    let files = |names: &'static [&'static str], from: &std::path::Path, to: &std::path::Path| {
        for name in names {
            fs::copy(from.join(name), to.join(name)).expect("the file is there");
        }
    };
    let capabilities: &[&str] = &["users.sqlite3", "auth.sqlite3", "catalog.sqlite3", "orders.sqlite3"];
    let copy = Scratch::new("copy");
    shop.closed(|cluster| copy_all(&cluster.node("main").data(), copy.path()));
    shop.sell();
    shop.sell();
    shop.rests();
    shop.closed(|cluster| files(capabilities, copy.path(), &cluster.node("main").data()));
    assert_eq!(shop.books(), (1, STOCK - EACH));
    let missing = shop.missing();
    assert!(missing.contains("`catalog`") && missing.contains("`orders`"), "{missing}");
    shop.sell();
    assert_eq!(shop.books(), (2, STOCK - 2 * EACH));
    shop.cluster.stop();
}

#[test]
fn in_one_process_a_log_older_than_the_databases_doubles_nothing_and_the_ledger_names_what_it_has_forgotten() {
    let mut shop = Shop::open(Cluster::single().start());
    let copy = Scratch::new("copy");
    // In the copy a message waits that is applied already.
    shop.died_before_acknowledging("main", |cluster| copy_all(&cluster.node("main").data(), copy.path()));
    assert_eq!(shop.books(), (2, STOCK - 2 * EACH));
    shop.sell();
    shop.sell();
    shop.rests();
    let handled = shop.handled();
    shop.closed(|cluster| {
        for file in ["log.sqlite3", "log.sqlite3-wal"] {
            let (from, to) = (copy.join(file), cluster.node("main").data().join(file));
            fs::copy(from, to).expect("a process that dies leaves both");
        }
    });
    shop.rests();
    // A reservation that was applied twice would take nothing twice: the ledger tells.
    assert_eq!(shop.handled(), handled, "what comes again is not applied again");
    assert_eq!(shop.books(), (4, STOCK - 4 * EACH));
    shop.sell();
    assert_eq!(shop.books(), (5, STOCK - 5 * EACH), "a new message is none that was applied before");
    shop.has_a_log_that_was_older();
    shop.cluster.stop();
}
