//! Checks at rest: all is up again and nothing is under way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::shoppers::Known;
use crate::support::{Api, essaim, eventually};

/// Waits until every order is in a final state, and asserts that orders and stock are as the customers were told.
#[track_caller]
pub fn is_as_told(api: &Api, product: &str, stock_before: u64, known: &BTreeMap<String, Known>) {
    let orders = eventually("every order to be final", || {
        let orders = orders_of(api)?;
        orders.iter().all(|order| order["status"] != "pending").then_some(orders)
    });
    let ids: BTreeSet<&str> = known.values().map(|k| k.id.as_str()).collect();
    assert_eq!(ids.len(), known.len(), "two keys were given one order");
    let found: BTreeSet<&str> = orders.iter().filter_map(|order| order["id"].as_str()).collect();
    assert_eq!(found.len(), orders.len(), "an order is listed twice");
    assert_eq!(found, ids, "the orders that there are, and those acknowledged");
    let mut kept = 0;
    for known in known.values() {
        let order = orders.iter().find(|order| order["id"] == known.id.as_str()).expect("it was found above");
        let expected = if known.cancelled { "cancelled" } else { "confirmed" };
        assert_eq!(order["status"], expected, "{order}");
        kept += if known.cancelled { 0 } else { known.quantity };
    }
    // A cancellation is acknowledged before its stock is back.
    let path = format!("/products/{product}");
    let mut stock = None;
    eventually("the stock to balance", || {
        stock = api.try_send("GET", &path, None).ok()?["stock"].as_u64();
        assert!(stock.is_none_or(|stock| stock <= stock_before - kept), "{stock:?} of {stock_before}, {kept} are sold");
        (stock == Some(stock_before - kept)).then_some(())
    });
}

/// Waits until nothing is in flight, and asserts that every ledger balances: nothing was lost, applied twice, or
/// counted by a node that no longer owned the partition.
#[track_caller]
pub fn ledgers_balance(api: &Api) {
    let is_at_rest = |line: &Value| line["waiting"] == 0 && line["parked"] == 0;
    eventually("nothing to be in flight", || all_lines(api, is_at_rest));
    let (code, text) = ledger(api, &["--at-rest"]);
    assert_eq!(code, Some(0), "{text}");
}

/// Waits until logs have counted what was applied: one whose counts were deleted is told them again with the next heartbeat.
#[track_caller]
pub fn logs_have_counted(api: &Api) {
    let number = |line: &Value, name: &str| line[name].as_i64().unwrap_or_default();
    let has_counted = |line: &Value| number(line, "appended") + number(line, "before") >= number(line, "handled");
    eventually("logs to have counted what was applied", || all_lines(api, has_counted));
}

fn ledger(api: &Api, flags: &[&str]) -> (Option<i32>, String) {
    let address = api.base().trim_start_matches("http://");
    let output = essaim().args(["ledger", "--url", address]).args(flags).output().expect("essaim runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Something, if all lines of the ledger are so.
fn all_lines(api: &Api, are_so: impl Fn(&Value) -> bool) -> Option<()> {
    let (_, text) = ledger(api, &["--json"]);
    let told: Value = serde_json::from_str(&text).ok()?;
    let lines = told["lines"].as_array().filter(|lines| !lines.is_empty())?;
    lines.iter().all(are_so).then_some(())
}

/// All orders of the client; none if they cannot be listed now.
fn orders_of(api: &Api) -> Option<Vec<Value>> {
    let (mut orders, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.try_send("GET", &format!("/orders?limit=100{cursor}"), None).ok().filter(|p| p.status == 200)?;
        orders.extend(page["items"].as_array()?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(orders),
        }
    }
}
