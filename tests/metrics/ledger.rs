//! The ledger of all durable messages, from the served numbers alone.

use super::scrape::{Form, Scrape};
use crate::support::{Cluster, ClusterNode, Redis, eventually};

/// How many orders are placed.
const ORDERS: usize = 5;

/// The trace in which they are placed.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Asserts that the capability's messages are accounted for at rest, partition by partition.
#[track_caller]
fn balances(scrape: &Scrape, capability: &str) {
    for partition in scrape.values_of("essaim_ledger_appended_messages_total", "partition") {
        let labels = [("capability", capability), ("partition", &*partition)];
        let appended = scrape.value("essaim_ledger_appended_messages_total", &labels);
        let finished = scrape.sum("essaim_ledger_messages_total", &labels);
        let in_flight = scrape.value("essaim_ledger_in_flight_messages", &labels);
        assert_eq!(appended, finished + in_flight, "{capability}, partition {partition}");
        assert_eq!(scrape.value("essaim_ledger_difference_messages", &labels), 0.0);
        assert_eq!(scrape.value("essaim_durable_partition_owned", &labels), 1.0);
    }
    assert_eq!(scrape.sum("essaim_dead_letters", &[("capability", capability)]), 0.0);
}

/// The node's numbers once nothing of these capabilities is in flight, and so many messages of each were handled.
fn at_rest(node: &ClusterNode, capabilities: &[(&str, usize)], form: Form) -> Scrape {
    eventually("the numbers of durable messages to be at rest", || {
        let scrape = Scrape::of(&node.admin(), form);
        let rests = |(capability, handled): &(&str, usize)| {
            let of = [("capability", *capability)];
            let is_known = scrape.all("essaim_scrape_missing", &of).all(|sample| sample.value == 0.0);
            is_known
                && scrape.sum("essaim_ledger_messages_total", &[of[0], ("fate", "handled")]) >= *handled as f64
                && scrape.sum("essaim_ledger_in_flight_messages", &of) == 0.0
                && scrape.sum("essaim_outbox_waiting_messages", &of) == 0.0
        };
        capabilities.iter().all(rests).then_some(scrape)
    })
}

/// Places orders, each of which is a flow of commands and events between orders and the catalogue.
fn place_orders(cluster: &Cluster) {
    // A trace whose sender keeps it.
    let admin = cluster.admin().with("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let product = admin.product("TEA", 450, 100);
    for _ in 0..ORDERS {
        admin.order(&product, 1).is(201);
    }
}

#[test]
fn served_numbers_account_for_all_messages_in_one_process() {
    let mut cluster = Cluster::single().start();
    place_orders(&cluster);
    let main = cluster.node("main");
    for form in [Form::Open, Form::Classic] {
        let scrape = at_rest(main, &[("orders", ORDERS), ("catalog", ORDERS)], form);
        let capabilities = scrape.values_of("essaim_ledger_appended_messages_total", "capability");
        assert!(capabilities.contains("orders") && capabilities.contains("catalog"), "{capabilities:?}");
        capabilities.iter().for_each(|capability| balances(&scrape, capability));
        assert_eq!(scrape.value("essaim_ready", &[]), 1.0);
        assert_eq!(scrape.value("essaim_node_info", &[("node", "main")]), 1.0);
        assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e6);
        assert!(scrape.value("process_start_time_seconds", &[]) > 1.6e9);
        assert!(scrape.value("essaim_database_transactions_total", &[("capability", "orders")]) >= ORDERS as f64);
        let placed = [("message", "orders.place.v1"), ("outcome", "ok")];
        assert_eq!(scrape.value("essaim_messages_total", &placed), ORDERS as f64);
        let timed = scrape.all("essaim_message_run_seconds_bucket", &placed[..1]);
        let has_exemplar =
            timed.filter(|bucket| bucket.exemplar.get("trace_id").is_some_and(|id| id == TRACE)).count() > 0;
        assert_eq!(has_exemplar, form == Form::Open, "only OpenMetrics has exemplars");
        let down = scrape.all("essaim_capability_running", &[]).find(|sample| sample.value != 1.0);
        assert_eq!(down, None);
    }
    let public = cluster.api().try_send("GET", "/metrics", None).expect("the gateway answers");
    assert_eq!(public.status, 404, "the public port tells nothing: {}", public.text);
    cluster.stop();
}

#[test]
fn served_numbers_account_for_all_messages_across_redis() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    place_orders(&cluster);
    let others = cluster.nodes().count() - 1;
    let scrape = at_rest(cluster.node("shop"), &[("orders", ORDERS), ("catalog", ORDERS)], Form::Open);
    ["orders", "catalog"].iter().for_each(|capability| balances(&scrape, capability));
    assert_eq!(scrape.value("essaim_wire_up", &[]), 1.0);
    assert_eq!(scrape.sum("essaim_peers", &[("state", "ready")]), others as f64);
    for direction in ["sent", "received"] {
        let frames = scrape.value("essaim_wire_frames_total", &[("direction", direction)]);
        assert!(scrape.value("essaim_wire_bytes_total", &[("direction", direction)]) > frames && frames > 0.0);
    }
    assert!(scrape.value("essaim_node_epoch", &[]) >= 1.0);
    let admin = cluster.node("shop").admin();
    eventually("a ping to come back", || {
        let scrape = Scrape::of(&admin, Form::Classic);
        scrape.all("essaim_wire_round_trip_seconds", &[]).next().filter(|sample| sample.value > 0.0).map(drop)
    });
    cluster.stop();
}
