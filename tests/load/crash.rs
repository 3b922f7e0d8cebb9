//! A process that is killed when catalog has reserved the stock of an order and the order does not say so yet.
//!
//! Placing an order writes it down as pending, reserves its stock, and writes what became of it. The test holds the
//! databases' write locks one after the other, so that the process stands still right between the last two.

use std::path::Path;

use super::clients::{held_by, order_until_answered, orders_of, stock_of};
use super::locks::Session;
use crate::support::{Api, Cluster, ClusterBuilder, PATIENCE, Postgres, Redis, Scratch, eventually};

const STOCK: u64 = 10;
const ORDERED: u64 = 3;
const KEY: &str = "the-one";
/// An hour: the repair does nothing before the crash.
const NEVER_MS: u64 = 3_600_000;

/// What ends the matter after the restart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nobody asks for the order again.
    Repair,
    /// The customer sends it again under its key.
    Repetition,
}

#[test]
fn in_one_process_the_repair_gives_the_stock_back() {
    kill_in_between(Cluster::single(), ["main", "main"], End::Repair);
}

#[test]
fn in_one_process_the_repeated_order_gets_the_stock() {
    kill_in_between(Cluster::single(), ["main", "main"], End::Repetition);
}

#[test]
fn in_several_processes_the_repair_gives_the_stock_back() {
    in_several_processes(End::Repair);
}

#[test]
fn in_several_processes_the_repeated_order_gets_the_stock() {
    in_several_processes(End::Repetition);
}

#[test]
fn of_two_hosts_the_other_one_finishes_the_order() {
    let (redis, postgres) = (Redis::start(), Postgres::shared());
    let database = postgres.database();
    let mut cluster = Cluster::of("config/replicated.toml").over(&redis).without("front-2").without("identity-2");
    for capability in ["users", "auth", "catalog", "orders"] {
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    let mut cluster = with_patience(cluster).set("orders.repair_after_ms", NEVER_MS).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    // Whoever changes an order, as its last step does, waits for the test; writing one down does not.
    let wait = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$; \
                CREATE TRIGGER wait BEFORE UPDATE ON orders.orders FOR EACH ROW EXECUTE FUNCTION wait()";
    postgres.sql(database.name(), wait);
    let locked = Session::on(&database).holding("SELECT pg_advisory_xact_lock(1)");
    let told = std::thread::scope(|scope| {
        let first = scope.spawn(|| first_attempt(&admin, &product));
        let waiting = "SELECT application_name FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock' LIMIT 1";
        // Such as `essaim/shop-1/orders`.
        let session = eventually("the last step", || {
            Some(postgres.sql(database.name(), waiting)).filter(|session| !session.is_empty())
        });
        let reserved = "SELECT state, (SELECT stock FROM catalog.products) FROM catalog.reservations";
        assert_eq!(postgres.sql(database.name(), reserved), format!("held|{}", STOCK - ORDERED));
        cluster.node(session.split('/').nth(1).expect("sessions name their node")).kill();
        assert_eq!(postgres.sql(database.name(), "SELECT status FROM orders.orders"), "pending");
        locked.release();
        first.join().expect("the customer does not panic")
    });
    // Placing is idempotent: the gateway's node asks the other host, and the customer notices nothing.
    assert_eq!(told, Some(201));
    assert_eq!((stock_of(&admin, &product), held_by(&admin)), (STOCK - ORDERED, ORDERED));
    assert_eq!(orders_of(&admin).len(), 1);
}

/// Catalog and orders in nodes of their own.
fn in_several_processes(end: End) {
    let (redis, scratch) = (Redis::start(), Scratch::new("apart"));
    let topology = "[nodes.front]\nhosts = [\"gateway\", \"users\", \"auth\"]\n\
                    [nodes.store]\nhosts = [\"catalog\"]\n[nodes.till]\nhosts = [\"orders\"]\n";
    let topology = scratch.write("apart.toml", topology).display().to_string();
    kill_in_between(Cluster::of(&topology).over(&redis), ["store", "till"], end);
}

fn kill_in_between(cluster: ClusterBuilder, [store, till]: [&str; 2], end: End) {
    let repair_after_ms = if end == End::Repair { 1 } else { NEVER_MS };
    let mut cluster = with_patience(cluster).set("orders.repair_after_ms", repair_after_ms).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let catalog = cluster.node(store).data().join("catalog.sqlite3");
    let orders = cluster.node(till).data().join("orders.sqlite3");

    let locked = Session::on_file(&catalog).locked();
    let told = std::thread::scope(|scope| {
        let first = scope.spawn(|| first_attempt(&admin, &product));
        let locked = stop_before_the_order_is_settled(locked, &catalog, &orders);
        cluster.node(till).kill();
        assert_eq!(state_of_the_order(&orders).as_deref(), Some("pending"), "the process was killed in between");
        locked.release();
        if end == End::Repair {
            cluster.node(till).set("orders.repair_every_ms", 50);
        }
        cluster.node(till).restart();
        first.join().expect("the customer does not panic")
    });
    assert_eq!(told.is_none(), store == till, "a gateway that was not killed answers");
    let kept = match (end, told) {
        (End::Repetition, None | Some(201 | 504)) => {
            let placed = order_until_answered(&admin, KEY, &product, ORDERED);
            assert_eq!(placed.answer.is(200)["status"], "confirmed");
            ORDERED
        }
        // Placing is idempotent, so the gateway's node has asked the new process, and was faster than the repair.
        (End::Repair, Some(201)) => ORDERED,
        // Slower, or not able to ask again.
        (End::Repair, None | Some(409 | 504)) => 0,
        (_, Some(status)) => panic!("the first attempt was answered with {status}"),
    };
    eventually("the stock to balance", || (stock_of(&admin, &product) == STOCK - kept).then_some(()));
    let expected = if kept == 0 { "rejected" } else { "confirmed" };
    let orders = orders_of(&admin);
    assert!(orders.len() == 1 && orders[0]["status"] == expected, "{orders:?}");
    cluster.stop();
}

/// With time for everybody to wait for the test, and without the repair.
fn with_patience(cluster: ClusterBuilder) -> ClusterBuilder {
    let patience_ms = PATIENCE.as_millis();
    cluster
        .set("ask.timeout_ms", patience_ms)
        .set("gateway.request_timeout_ms", patience_ms)
        .set("store.transaction_limit_ms", patience_ms)
        .set("orders.repair_every_ms", NEVER_MS)
}

/// The status of the answer to the order, if there is one.
fn first_attempt(api: &Api, product: &str) -> Option<u16> {
    let order = serde_json::json!({ "lines": [{ "product_id": product, "quantity": ORDERED }] });
    let answer = api.within(PATIENCE).with("Idempotency-Key", KEY).try_send("POST", "/orders", Some(order));
    answer.ok().map(|answer| answer.status)
}

/// Lets the order be written down and its stock be reserved, and not a step further; the lock that keeps it there.
fn stop_before_the_order_is_settled(
    catalog_locked: Session<sea_orm::sqlx::SqliteConnection>,
    catalog: &Path,
    orders: &Path,
) -> Session<sea_orm::sqlx::SqliteConnection> {
    eventually("the order to be written down", || state_of_the_order(orders));
    let orders_locked = Session::on_file(orders).locked();
    catalog_locked.release();
    let mut look = Session::on_file(catalog);
    eventually("the stock to be reserved", || look.text("SELECT state FROM reservations WHERE state = 'held'"));
    let left = look.text("SELECT CAST(stock AS TEXT) FROM products");
    assert_eq!(left, Some((STOCK - ORDERED).to_string()));
    orders_locked
}

fn state_of_the_order(orders: &Path) -> Option<String> {
    Session::on_file(orders).text("SELECT status FROM orders")
}
