//! More buyers than there are pieces.

use std::collections::BTreeSet;

use super::clients::{Placed, crowd, held_by, order_until_answered, stock_of};
use crate::support::{Api, Cluster, ClusterBuilder, PATIENCE, Postgres, Redis, eventually};

const PIECES: u64 = 50;
const BUYERS: usize = 200;
/// Of the pieces sold, how many orders are cancelled while others buy; and how many those are.
const CANCELLING: usize = 20;
const LATE_BUYERS: usize = 40;

#[test]
fn fifty_pieces_are_sold_fifty_times_in_one_process() {
    let cluster = for_a_rush(Cluster::single()).start();
    sell(&cluster);
    cluster.stop();
}

#[test]
fn fifty_pieces_are_sold_fifty_times_by_two_hosts() {
    let (redis, database) = (Redis::start(), Postgres::shared().database());
    let mut cluster = Cluster::of("config/replicated.toml").over(&redis).without("front-2").without("identity-2");
    for capability in ["users", "auth", "catalog", "orders"] {
        cluster = cluster.set(&format!("capabilities.{capability}.database"), database.url());
    }
    let cluster = for_a_rush(cluster).start();
    sell(&cluster);
    cluster.stop();
}

/// Admits fewer orders than there are buyers, so that some are refused and come again; and has time for all others.
fn for_a_rush(cluster: ClusterBuilder) -> ClusterBuilder {
    cluster
        .set("capabilities.orders.mailbox", 40)
        .set("gateway.rate_limit_per_second", 0)
        .set("gateway.request_timeout_ms", 50_000)
        .set("ask.timeout_ms", 40_000)
        // All want the same row, one after the other.
        .set("store.transaction_limit_ms", 40_000)
        .set("store.acquire_timeout_ms", 40_000)
        // A host that gets no processor for a while is slow, not silent: else its asks would be repeated on the other
        // one.
        .set("members.silent_ms", 20_000)
        .set("members.lease_ms", 40_000)
        .set("log.filter", "info,essaim::access=off,essaim_gateway=error")
}

fn sell(cluster: &Cluster) {
    let admin = cluster.admin();
    let product = admin.product("RARE", 100, PIECES);
    let placed = buy(&admin, &product, "first", BUYERS);
    let sold: BTreeSet<String> = placed.iter().filter(|p| p.answer.status < 300).map(|p| p.answer.id()).collect();
    assert_eq!(sold.len() as u64, PIECES);
    assert_eq!(placed.iter().filter(|p| is_sold_out(p)).count(), BUYERS - PIECES as usize);
    assert_eq!((stock_of(&admin, &product), held_by(&admin)), (0, PIECES));

    // Pieces that are given back are sold again, once.
    let cancelled: Vec<&String> = sold.iter().take(CANCELLING).collect();
    let ended = crowd(CANCELLING + LATE_BUYERS, |n| {
        let api = admin.within(PATIENCE);
        match cancelled.get(n) {
            Some(id) => eventually("a cancellation", || cancel(&api, id)),
            None => assert!(is_answered(&order_until_answered(&api, &format!("second-{n}"), &product, 1))),
        }
    });
    assert_eq!(ended.len(), CANCELLING + LATE_BUYERS);
    eventually("stock and orders to balance", || {
        (stock_of(&admin, &product) + held_by(&admin) == PIECES).then_some(())
    });
}

/// That many buyers at once, of a piece each.
fn buy(admin: &Api, product: &str, name: &str, buyers: usize) -> Vec<Placed> {
    let placed = crowd(buyers, |n| order_until_answered(&admin.within(PATIENCE), &format!("{name}-{n}"), product, 1));
    for placed in &placed {
        assert!(is_answered(placed), "{}", placed.answer.text);
        for refusal in &placed.before {
            assert_eq!(refusal.status, 503, "nothing but an overload keeps a buyer waiting: {}", refusal.text);
            assert!(refusal.header("retry-after").is_some());
        }
    }
    let refusals: usize = placed.iter().map(|p| p.before.len()).sum();
    let pending: usize = placed.iter().map(|p| p.pending).sum();
    println!("{buyers} buyers were sent away {refusals} times, and had to look again {pending} times");
    placed
}

/// Sold, or sold out.
fn is_answered(placed: &Placed) -> bool {
    matches!(placed.answer.status, 200 | 201) || is_sold_out(placed)
}

fn is_sold_out(placed: &Placed) -> bool {
    placed.answer.status == 409 && placed.answer["type"] == "urn:essaim:problem:insufficient-stock"
}

fn cancel(api: &Api, order: &str) -> Option<()> {
    let answer = api.try_send("POST", &format!("/orders/{order}/cancel"), None).ok()?;
    (answer.status < 500).then(|| assert_eq!(answer.is(200)["status"], "cancelled"))
}
