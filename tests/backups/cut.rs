//! One moment for all files, while customers are at work.

use std::path::Path;

use crate::chaos::Shoppers;
use crate::load::clients::{orders_of, stock_of};
use crate::support::{Cluster, ClusterNode, Process, Scratch, essaim, eventually};

use super::{STOCK, back_up, books_balance, part_of, restored, shop, text};

#[test]
fn in_a_backup_that_is_made_under_load_every_order_has_its_stock_and_every_ledger_balances() {
    let mut cluster = shop().start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    let shoppers = Shoppers::start(6, "backup", &admin, &product);
    let backups = Scratch::new("backups");
    let mut known = Vec::new();
    for number in 0..4 {
        shoppers.acknowledged_more(40);
        // What is acknowledged before it is begun is in it.
        known.push(shoppers.acknowledged_orders());
        back_up(cluster.node("main"), &backups.join(&format!("{number}")));
    }
    // Customers were answered all the while.
    shoppers.acknowledged_more(40);
    shoppers.stop();
    let all = books_balance(&mut cluster, &product);
    cluster.stop();
    for (number, known) in known.into_iter().enumerate() {
        let mut cluster = restored(&backups.join(&format!("{number}")));
        let admin = cluster.admin();
        let has = books_balance(&mut cluster, &product);
        assert!(has < all, "it has all {all} orders: nobody was at work while it was made");
        let found = orders_of(&admin);
        for id in &known {
            assert!(found.iter().any(|order| order["id"] == id.as_str()), "order {id} is missing in backup {number}");
        }
        admin.order(&product, 1).is(201);
        books_balance(&mut cluster, &product);
        cluster.stop();
    }
}

/// A node whose first copy of pages takes a while.
fn slow_to_copy() -> Cluster {
    let mut cluster = shop().without("main").start();
    cluster.node("main").block_at("backup.copying");
    cluster.node("main").restart();
    cluster
}

/// The command that makes a backup, once the node copies.
fn begun(node: &mut ClusterNode, directory: &Path) -> Process {
    let mut command = essaim();
    command.args(["backup", &text(directory), "--data-dir"]).arg(node.data());
    let making = Process::start("backup", &mut command);
    node.process().wait_for_line("blocking at backup.copying");
    making
}

#[test]
fn while_files_are_copied_customers_are_served_and_a_second_backup_is_made_elsewhere() {
    let mut cluster = slow_to_copy();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    admin.order(&product, 1).is(201);
    books_balance(&mut cluster, &product);
    let scratch = Scratch::new("backups");
    let (first, second) = (scratch.join("first"), scratch.join("second"));
    let mut making = begun(cluster.node("main"), &first);
    admin.order(&product, 2).is(201);
    let (code, said) = super::command(cluster.node("main"), &["backup", &text(&first)]);
    assert!(code == Some(2) && said.contains("is being made"), "{code:?}: {said}");
    back_up(cluster.node("main"), &second);
    assert!(making.is_running() && part_of(&first).is_dir(), "the first one was to take longer");
    assert_eq!(making.exit_code(), Some(0));
    assert_eq!(books_balance(&mut cluster, &product), 2);
    cluster.stop();
    for (directory, orders, taken) in [(first, 1, 1), (second, 2, 3)] {
        let mut cluster = restored(&directory);
        let admin = cluster.admin();
        assert_eq!(books_balance(&mut cluster, &product), orders);
        assert_eq!(stock_of(&admin, &product), STOCK - taken);
        cluster.stop();
    }
}

#[test]
fn a_command_that_is_killed_leaves_its_backup_to_the_node() {
    let (mut cluster, scratch) = (slow_to_copy(), Scratch::new("backups"));
    let directory = scratch.join("backup");
    let mut making = begun(cluster.node("main"), &directory);
    making.kill();
    cluster.node("main").process().wait_for_line("a backup was made");
    cluster.stop();
    restored(&directory).stop();
}

#[test]
fn a_node_that_leaves_ends_the_backup_that_it_makes() {
    let (mut cluster, scratch) = (slow_to_copy(), Scratch::new("backups"));
    let directory = scratch.join("backup");
    let mut making = begun(cluster.node("main"), &directory);
    cluster.node("main").stop();
    assert_ne!(making.exit_code(), Some(0));
    eventually("nothing to be left", || (!directory.exists() && !part_of(&directory).exists()).then_some(()));
}
