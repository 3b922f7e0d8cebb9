//! Six faults, each planted for real. An operator knows nothing but that an order is late, begins at the first page, and has a minute
//! and four interactions to read in which node it is and why.

mod cycle;

use std::time::{Duration, Instant};

use super::driver::{Browser, CONTROL, ENTER};
use super::{NOT_LOGGED_IN, log_in};
use crate::support::*;

pub const TOPOLOGY: &str = "tests/browser/planted/three.toml";
/// For so long an operator may look for the cause.
const LIMIT: Duration = Duration::from_secs(60);
/// What an operator may do meanwhile: clicks, commands of the keyboard, and texts that are pasted.
const MOST_ACTS: u32 = 4;
/// The messages that fill the only partition.
const ROOM: u32 = 2;

/// A shop of three nodes, and an operator who is logged in.
struct Shop {
    cluster: Cluster,
    browser: Browser,
    admin: Api,
    product: String,
}

impl Shop {
    /// `None` where there is no Chromium.
    fn open(name: &str, cluster: ClusterBuilder) -> Option<Self> {
        // An order that is not confirmed at once is late.
        let mut cluster = cluster.set("orders.wait_ms", 50).start();
        let browser = Browser::start(name, &cluster.node("front").console())?;
        browser.open("/");
        log_in(&browser, ADMIN_PASSWORD);
        browser.wait("look.find('h1', 'Topology')");
        let admin = cluster.admin();
        let product = admin.product("TEA", 450, 100);
        Some(Self { cluster, browser, admin, product })
    }

    /// Places an order that will be late; its id.
    fn late_order(&self) -> String {
        let order = self.admin.order(&self.product, 1).is(201);
        assert_eq!(order["status"], "pending", "{}", order.text);
        order.id()
    }

    /// The operator looks for an order, and reads sentences: each has all parts of one of these.
    fn is_explained(&self, order: &str, sentences: &[&[&str]]) {
        let mut operator = LookingOperator { browser: &self.browser, acts: 0, since: Instant::now() };
        self.browser.open("/");
        self.browser.wait("look.find('h1', 'Topology')");
        operator.press(&format!("{CONTROL}k"));
        self.browser.wait("document.activeElement.role === 'combobox'");
        operator.press(order);
        self.browser.sees(&format!("Trace of {order}"));
        operator.press(ENTER);
        for parts in sentences {
            operator.reads(".why li", parts);
        }
        operator.is_in_time();
        self.browser.is_accessible("a late order");
        assert_eq!(self.browser.errors(&[NOT_LOGGED_IN]), [""; 0]);
    }

    /// On the first page stands a sentence with all these parts.
    fn is_told_at_once(&self, parts: &[&str]) {
        self.browser.open("/");
        LookingOperator { browser: &self.browser, acts: 0, since: Instant::now() }.reads(".troubles li", parts);
    }
}

/// Counts what an operator does, and for how long.
struct LookingOperator<'a> {
    browser: &'a Browser,
    acts: u32,
    since: Instant,
}

impl LookingOperator<'_> {
    fn press(&mut self, keys: &str) {
        self.acts += 1;
        self.browser.press(keys);
    }

    /// Waits for a sentence that is seen and has all these parts.
    #[track_caller]
    fn reads(&self, selector: &str, parts: &[&str]) {
        let parts = serde_json::json!(parts);
        let all = format!("(text) => {parts}.every((part) => text.includes(part))");
        self.browser.wait(&format!(
            "[...document.querySelectorAll('{selector}')].some((one) => look.isSeen(one) && ({all})(one.innerText))"
        ));
    }

    #[track_caller]
    fn is_in_time(&self) {
        assert!(self.acts <= MOST_ACTS, "{} acts", self.acts);
        assert!(self.since.elapsed() < LIMIT, "{:?}", self.since.elapsed());
    }
}

#[test]
fn a_slow_database_is_named_with_who_holds_its_locks() {
    let server = Postgres::shared();
    let database = server.database();
    let cluster = Cluster::of(TOPOLOGY).on(&database);
    let redis = Redis::start();
    let Some(shop) = Shop::open("slow_database", cluster.over(&redis)) else { return };
    let locked = "BEGIN; LOCK TABLE catalog.products IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120)";
    let sessions = "FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND datname = current_database()";
    std::thread::scope(|scope| {
        // It ends when its session does, with an error.
        let holder = scope.spawn(|| server.sql(database.name(), locked));
        eventually("the lock", || {
            let held = format!("SELECT pid {sessions} AND wait_event = 'PgSleep'");
            (!server.sql(database.name(), &held).is_empty()).then_some(())
        });
        let order = shop.late_order();
        shop.is_explained(&order, &[&["catalog@stock", "waiting for the database", "wait for locks of", "psql"]]);
        server.sql(database.name(), &format!("SELECT pg_terminate_backend(pid) {sessions}"));
        drop(holder.join());
        // The page goes on by itself, and says when it was done.
        shop.browser.wait("look.find('.span-row', 'catalog.stock_reserved.v1')");
        shop.browser.wait("document.querySelector('.live').dataset.state === 'idle'");
    });
    shop.cluster.stop();
}

#[test]
fn a_dead_node_is_named_with_what_went_with_it() {
    let redis = Redis::start();
    let Some(mut shop) = Shop::open("dead_node", Cluster::of(TOPOLOGY).over(&redis)) else { return };
    shop.cluster.node("stock").kill();
    let order = shop.late_order();
    shop.is_explained(&order, &[&["Node stock, which hosts catalog, is gone", "it was killed"]]);
    shop.is_told_at_once(&["stock", "catalog", "is gone", "it was killed"]);
    shop.cluster.node("stock").restart();
    shop.cluster.stop();
}

#[test]
fn a_poisonous_message_is_named_with_its_letter() {
    let server = Postgres::shared();
    let database = server.database();
    let redis = Redis::start();
    let cluster = Cluster::of(TOPOLOGY).on(&database).over(&redis).set("durable.attempts", 3);
    let Some(shop) = Shop::open("poisonous_message", cluster) else { return };
    server.sql(
        database.name(),
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'reservations are frozen for the audit'; END $$; \
         CREATE TRIGGER frozen BEFORE INSERT ON catalog.reservations FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let order = shop.late_order();
    let frozen = "reservations are frozen for the audit";
    let dead: &[&str] = &["catalog.reserve.v1", "of catalog is a dead letter", frozen];
    shop.is_explained(&order, &[dead, &["of catalog@stock ended as failed at attempt 3", frozen]]);
    let attempts = shop.browser.value("[...document.querySelectorAll('.attempt')].map((one) => one.innerText)");
    assert_eq!(attempts, serde_json::json!(["attempt 2", "attempt 3"]), "in the order in which they were made");
    shop.browser.click(".why a", "essaim dead show");
    shop.browser.wait("location.pathname.startsWith('/dead/')");
    shop.browser.sees(frozen);
    shop.is_told_at_once(&["catalog", "1 dead letter"]);
    shop.cluster.stop();
}

#[test]
fn a_full_partition_is_named_with_who_should_empty_it() {
    let redis = Redis::start();
    let cluster = Cluster::of(TOPOLOGY).over(&redis).set("durable.partitions", 1);
    let Some(mut shop) = Shop::open("full_partition", cluster.set("durable.partition_messages", ROOM)) else { return };
    shop.cluster.node("stock").pause();
    let orders: Vec<_> = (0..ROOM + 3).map(|_| shop.late_order()).collect();
    let waits: &[&str] = &[
        "catalog.reserve.v1 is still in the outbox of orders, behind",
        "partition 0 of catalog, which is full with 2 messages",
    ];
    let silent: &[&str] = &["Node stock, which hosts catalog, is gone", "stands still"];
    shop.is_explained(orders.last().expect("some"), &[waits, silent]);
    shop.is_told_at_once(&["orders@sales", "messages do not leave its outbox", "catalog", "partition"]);
    shop.cluster.node("stock").resume();
}

#[test]
fn a_handler_that_blocks_its_arbiter_is_named() {
    let redis = Redis::start();
    let cluster = Cluster::of(TOPOLOGY).over(&redis).environment("ESSAIM_BLOCK_MS", 20_000);
    let Some(mut shop) = Shop::open("blocked_arbiter", cluster) else { return };
    let stock = shop.cluster.node("stock");
    stock.stop();
    stock.block_at("apply.before-commit");
    stock.restart();
    eventually("the catalogue", || (shop.admin.get("/products").status == 200).then_some(()));
    let order = shop.late_order();
    let blocks: &[&str] = &["In node stock the handler of catalog.reserve.v1 blocks its thread"];
    shop.is_explained(&order, &[blocks]);
    shop.is_told_at_once(&["stock", "the handler of catalog.reserve.v1 blocks its thread"]);
}

#[test]
fn a_node_with_which_asks_go_round_is_named_with_the_cycle() {
    let redis = Redis::start();
    let Some(mut shop) = Shop::open("cycle", Cluster::of(TOPOLOGY).over(&redis)) else { return };
    let way = "catalog -> loyalty -> catalog";
    let _cycle = cycle::planted(&redis, || shop.cluster.node("stock").stop());
    let order = shop.late_order();
    shop.is_explained(&order, &[&["Node stock, which hosts catalog, is gone", "the others refuse it", way]]);
    shop.is_told_at_once(&["stock", "catalog", "is refused", way]);
}
