//! Backups of a node while it works, and restores of them: whatever is in one belongs together, and what is not whole is never taken
//! for one.

mod cut;
mod deaths;
mod elsewhere;
mod refusals;

use std::path::Path;

use crate::chaos::ledgers_balance;
use crate::load::clients::{held_by, orders_of, stock_of};
use crate::support::{Cluster, ClusterBuilder, ClusterNode, essaim, eventually};

const STOCK: u64 = 100_000;

/// A node that customers ask as often as they like.
fn shop() -> ClusterBuilder {
    Cluster::single().set("gateway.rate_limit_per_second", 0).set("orders.wait_ms", 50)
}

/// What a command comes to that knows a node by its data directory: its exit code, and what it says.
fn command(node: &ClusterNode, arguments: &[&str]) -> (Option<i32>, String) {
    command_until(node, arguments, "")
}

/// The same; it dies at that point.
fn command_until(node: &ClusterNode, arguments: &[&str], point: &str) -> (Option<i32>, String) {
    let mut command = essaim();
    command.args(arguments).arg("--data-dir").arg(node.data()).args(["--set", &format!("node.name={}", node.name())]);
    if !point.is_empty() {
        command.env("ESSAIM_CRASH_AT", point);
    }
    let output = command.output().expect("the binary can be started");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Makes a backup.
#[track_caller]
fn back_up(node: &ClusterNode, directory: &Path) -> String {
    let (code, said) = command(node, &["backup", &text(directory)]);
    assert_eq!(code, Some(0), "{said}");
    let directory: std::path::PathBuf = directory.components().collect();
    assert!(directory.is_dir() && !part_of(&directory).exists(), "{said}");
    said
}

/// Where a backup is made until it is whole.
fn part_of(directory: &Path) -> std::path::PathBuf {
    format!("{}.part", text(directory)).into()
}

/// A node that runs on a backup, in a data directory that was empty.
#[track_caller]
fn restored(directory: &Path) -> Cluster {
    let mut cluster = shop().without("main").start();
    let node = cluster.node("main");
    let (code, said) = command(node, &["restore", &text(directory)]);
    assert_eq!(code, Some(0), "{said}");
    node.restart();
    cluster
}

/// Waits until nothing is under way, and asserts that each confirmed order has its stock, and no other has; how many orders there are.
#[track_caller]
fn books_balance(cluster: &mut Cluster, product: &str) -> usize {
    let admin = &cluster.admin();
    let is_final = |order: &serde_json::Value| order["status"] != "pending";
    let orders = eventually("every order to be final", || Some(orders_of(admin)).filter(|o| o.iter().all(is_final)));
    // Before the stock: what a cancelled order gives back is on its way when it is final.
    ledgers_balance(&cluster.node("main").admin());
    assert_eq!(stock_of(admin, product) + held_by(admin), STOCK);
    orders.len()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
