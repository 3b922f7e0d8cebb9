//! A process that is killed between the steps of an order, and one that is away when its step comes.
//!
//! Placing an order writes it down as pending, with the command that reserves its stock; catalog reserves, and says so; the
//! order is confirmed. The test holds the databases' write locks one after the other, so that the process stands still
//! right before the second step, or before the third.

use std::path::Path;

use super::clients::{held_by, order_until_answered, orders_of, stock_of};
use super::locks::Session;
use crate::support::{Api, Cluster, ClusterBuilder, PATIENCE, Postgres, Redis, Scratch, eventually};

const STOCK: u64 = 10;
const ORDERED: u64 = 3;
const KEY: &str = "the-one";

/// How the order is settled after the restart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nobody asks for the order again, and it is confirmed by itself.
    ByItself,
    /// The customer sends it again under its key.
    Repetition,
    /// The time of pending orders is up: the order is given up or confirmed, by the transaction that comes first.
    TimeIsUp,
}

/// The step at which the process stands still when it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Reserving,
    Confirming,
}

#[test]
fn in_one_process_an_order_whose_stock_was_not_reserved_yet_is_confirmed() {
    kill_in_between(Cluster::single(), ["main", "main"], Before::Reserving, End::ByItself);
}

#[test]
fn in_one_process_an_order_whose_stock_was_reserved_is_confirmed() {
    kill_in_between(Cluster::single(), ["main", "main"], Before::Confirming, End::ByItself);
}

#[test]
fn in_one_process_the_repeated_order_gets_the_stock_once() {
    kill_in_between(Cluster::single(), ["main", "main"], Before::Confirming, End::Repetition);
}

#[test]
fn in_one_process_an_order_whose_time_is_up_leaves_no_stock_behind() {
    kill_in_between(Cluster::single(), ["main", "main"], Before::Confirming, End::TimeIsUp);
}

#[test]
fn in_several_processes_an_order_whose_stock_was_not_reserved_yet_is_confirmed() {
    in_several_processes(Before::Reserving, End::ByItself);
}

#[test]
fn in_several_processes_an_order_whose_stock_was_reserved_is_confirmed() {
    in_several_processes(Before::Confirming, End::ByItself);
}

#[test]
fn in_several_processes_the_repeated_order_gets_the_stock_once() {
    in_several_processes(Before::Confirming, End::Repetition);
}

#[test]
fn in_several_processes_an_order_whose_time_is_up_leaves_no_stock_behind() {
    in_several_processes(Before::Confirming, End::TimeIsUp);
}

#[test]
fn an_order_is_taken_while_catalog_is_away_and_confirmed_when_it_is_back() {
    let (redis, scratch) = (Redis::start(), Scratch::new("away"));
    let cluster = apart(&scratch).over(&redis).set("orders.wait_ms", 100);
    let mut cluster = cluster.start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    cluster.node("store").stop();
    let order = admin.with("Idempotency-Key", KEY).order(&product, ORDERED).is(201);
    assert_eq!((&order["status"], order["total_cents"].is_null()), (&"pending".into(), true));
    let cancelled = admin.order(&product, 1).is(201);
    let cancelled = admin.post(&format!("/orders/{}/cancel", cancelled.id()), serde_json::json!({})).is(200);
    assert_eq!(cancelled["status"], "cancelled");
    cluster.node("store").restart();
    let placed = order_until_answered(&admin, KEY, &product, ORDERED);
    assert_eq!((placed.answer.id(), &placed.answer["status"]), (order.id(), &"confirmed".into()));
    eventually("the stock to balance", || (stock_of(&admin, &product) == STOCK - ORDERED).then_some(()));
    cluster.stop();
}

#[test]
fn of_two_hosts_the_other_one_finishes_the_order() {
    let (redis, postgres) = (Redis::start(), Postgres::shared());
    let database = postgres.database();
    let mut cluster = Cluster::of("config/replicated.toml").over(&redis).without("front-2").without("identity-2");
    for capability in ["users", "auth", "catalog", "orders"] {
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    let mut cluster = with_patience(cluster).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    // An update of an order, as in its last step, waits for the test; an insert does not.
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
    // Placing is idempotent: if its host was killed the gateway's node asks the other one, and the customer notices nothing.
    assert_eq!(told, Some(201));
    eventually("the order to be confirmed", || (held_by(&admin) == ORDERED).then_some(()));
    assert_eq!(stock_of(&admin, &product), STOCK - ORDERED);
    assert_eq!(orders_of(&admin).len(), 1);
}

/// Catalog and orders in nodes of their own.
fn apart(scratch: &Scratch) -> ClusterBuilder {
    let topology = "[nodes.front]\nhosts = [\"gateway\", \"users\", \"auth\"]\n\
                    [nodes.store]\nhosts = [\"catalog\"]\n[nodes.till]\nhosts = [\"orders\"]\n";
    Cluster::of(&scratch.write("apart.toml", topology).display().to_string())
}

fn in_several_processes(before: Before, end: End) {
    let (redis, scratch) = (Redis::start(), Scratch::new("apart"));
    kill_in_between(apart(&scratch).over(&redis), ["store", "till"], before, end);
}

fn kill_in_between(cluster: ClusterBuilder, [store, till]: [&str; 2], before: Before, end: End) {
    let mut cluster = with_patience(cluster).start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let catalog = cluster.node(store).data().join("catalog.sqlite3");
    let orders = cluster.node(till).data().join("orders.sqlite3");

    let locked = Session::on_file(&catalog).locked();
    let told = std::thread::scope(|scope| {
        let first = scope.spawn(|| first_attempt(&admin, &product));
        eventually("the order to be written down", || state_of_the_order(&orders));
        let locked = match before {
            Before::Reserving => locked,
            Before::Confirming => stop_before_the_order_is_confirmed(locked, &catalog, &orders),
        };
        cluster.node(till).kill();
        assert_eq!(state_of_the_order(&orders).as_deref(), Some("pending"), "the process was killed in between");
        locked.release();
        if end == End::TimeIsUp {
            cluster.node(till).set("orders.pending_timeout_ms", 1);
            cluster.node(till).set("orders.repair_every_ms", 50);
        }
        cluster.node(till).restart();
        first.join().expect("the customer does not panic")
    });
    // The customer was answered before the end, or by the new process, or not at all.
    assert!(matches!(told, None | Some(201 | 409 | 504)), "the first attempt was answered with {told:?}");
    if end == End::Repetition {
        let placed = order_until_answered(&admin, KEY, &product, ORDERED);
        assert_eq!(placed.answer.is(200)["status"], "confirmed");
    }
    // The node is up before the gateway has heard of it.
    eventually("orders to be served", || (admin.get("/orders").status == 200).then_some(()));
    let status = eventually("the order to be decided", || {
        let orders = orders_of(&admin);
        assert_eq!(orders.len(), 1, "{orders:?}");
        orders[0]["status"].as_str().filter(|status| *status != "pending").map(String::from)
    });
    let kept = match (end, status.as_str()) {
        (_, "confirmed") => ORDERED,
        (End::TimeIsUp, "rejected") => 0,
        (_, status) => panic!("the order is {status}"),
    };
    eventually("the stock to balance", || (stock_of(&admin, &product) == STOCK - kept).then_some(()));
    cluster.stop();
}

/// Time limits that are long enough for a test that holds locks.
fn with_patience(cluster: ClusterBuilder) -> ClusterBuilder {
    let patience_ms = PATIENCE.as_millis();
    cluster
        .set("ask.timeout_ms", patience_ms)
        .set("gateway.request_timeout_ms", patience_ms)
        .set("store.transaction_limit_ms", patience_ms)
}

/// The status of the answer to the order, if there is one.
fn first_attempt(api: &Api, product: &str) -> Option<u16> {
    let order = serde_json::json!({ "lines": [{ "product_id": product, "quantity": ORDERED }] });
    let answer = api.within(PATIENCE).with("Idempotency-Key", KEY).try_send("POST", "/orders", Some(order));
    answer.ok().map(|answer| answer.status)
}

/// Lets the stock of the order that is written down be reserved, and not a step further; the lock that keeps it there.
fn stop_before_the_order_is_confirmed(
    catalog_locked: Session<sea_orm::sqlx::SqliteConnection>,
    catalog: &Path,
    orders: &Path,
) -> Session<sea_orm::sqlx::SqliteConnection> {
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
