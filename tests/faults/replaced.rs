//! The file of the embedded log, or of a capability's database, that is deleted, replaced or emptied while its node has it open.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::forgotten::{ledger, placed, wait_until_confirmed};
use crate::support::{Api, Cluster, PATIENCE, eventually};

/// The exit code of a node that has lost a file.
const FILE: i32 = 80;

/// The embedded log, a capability's database, and both in one directory.
const FILES: [&str; 2] = ["log.sqlite3", "orders.sqlite3"];

/// A node in which ten orders are confirmed.
struct Shop {
    cluster: Cluster,
    tea: String,
    orders: Vec<String>,
    /// Attempts without an answer, so that an order may exist or not.
    unsure: u64,
}

impl Shop {
    fn open() -> Self {
        let cluster = Cluster::single().set("orders.wait_ms", 0).set("gateway.rate_limit_per_second", 0).start();
        let admin = cluster.admin();
        let tea = admin.product("TEA", 450, 100_000);
        let orders: Vec<_> = (0..10).map(|_| placed(&admin, &tea)).collect();
        wait_until_confirmed(&admin, &orders);
        Self { cluster, tea, orders, unsure: 0 }
    }

    fn data(&mut self) -> PathBuf {
        self.cluster.node("main").data()
    }

    /// Orders are placed until the node has ended; those that were acknowledged are among the others.
    fn sells_until_it_ends(&mut self, admin: &Api) -> String {
        let body = serde_json::json!({ "lines": [{ "product_id": self.tea, "quantity": 1 }] });
        let since = Instant::now();
        while self.cluster.node("main").is_running() {
            assert!(since.elapsed() < PATIENCE, "it goes on with a file that is not the one at its path");
            match admin.try_send("POST", "/orders", Some(body.clone())) {
                Ok(answer) if matches!(answer.status, 200 | 201) => self.orders.push(answer.id()),
                Ok(answer) if answer.status == 503 => {}
                _ => self.unsure += 1,
            }
        }
        let node = self.cluster.node("main");
        assert_eq!(node.exit_code(), Some(FILE), "{}", node.process().lines().join("\n"));
        let line = node.process().lines().into_iter().find(|line| line.starts_with("essaim: "));
        line.expect("it says why it ended")
    }

    /// After a start nothing of what was acknowledged is missing.
    fn has_lost_nothing(mut self) {
        self.cluster.node("main").restart();
        let admin = self.cluster.admin();
        wait_until_confirmed(&admin, &self.orders);
        let most = 100_000 - self.orders.len() as u64;
        let stock = eventually("each order to be sold", || {
            admin.get(&format!("/products/{}", self.tea)).is(200)["stock"].as_u64().filter(|stock| *stock <= most)
        });
        assert!(stock + self.unsure >= most, "each is sold once: {stock} are left of {most}, {} unsure", self.unsure);
        let (code, said) = ledger(self.cluster.node("main"));
        assert_eq!(code, Some(0), "{said}");
        self.cluster.stop();
    }
}

/// The copies of a file that were saved beside it.
fn rescued(file: &Path) -> Vec<PathBuf> {
    let name = format!("{}.rescued-", file.file_name().unwrap_or_default().display());
    let all = fs::read_dir(file.parent().expect("it is in a directory")).expect("it can be read").flatten();
    all.map(|entry| entry.path()).filter(|p| p.display().to_string().contains(&name)).collect()
}

#[test]
fn a_file_that_is_deleted_under_its_node_is_there_again_with_all_that_was_acknowledged() {
    for name in FILES {
        let mut shop = Shop::open();
        let (admin, file) = (shop.cluster.admin(), shop.data().join(name));
        fs::remove_file(&file).expect("it is there");
        let said = shop.sells_until_it_ends(&admin);
        assert!(said.contains(name) && said.contains("was deleted") && said.contains("is there again"), "{said}");
        assert!(rescued(&file).is_empty());
        shop.has_lost_nothing();
    }
}

#[test]
fn a_data_directory_that_is_deleted_under_its_node_is_there_again_with_all_that_was_acknowledged() {
    let mut shop = Shop::open();
    let (admin, data) = (shop.cluster.admin(), shop.data());
    fs::remove_dir_all(&data).expect("it is there");
    let said = shop.sells_until_it_ends(&admin);
    assert!(said.contains("was deleted") && said.contains("is there again"), "{said}");
    shop.has_lost_nothing();
}

#[test]
fn a_journal_that_is_deleted_under_its_node_costs_nothing_that_was_acknowledged() {
    for name in FILES {
        let mut shop = Shop::open();
        let (admin, file) = (shop.cluster.admin(), shop.data().join(name));
        fs::remove_file(file.with_file_name(format!("{name}-wal"))).expect("it is there");
        let said = shop.sells_until_it_ends(&admin);
        assert!(said.contains(name) && said.contains("has lost its -wal") && said.contains("is there again"), "{said}");
        assert!(rescued(&file).is_empty());
        shop.has_lost_nothing();
    }
}

#[test]
fn a_file_that_is_replaced_under_its_node_is_saved_beside_the_other_one() {
    for name in FILES {
        let mut shop = Shop::open();
        let (admin, file) = (shop.cluster.admin(), shop.data().join(name));
        let other = shop.data().join("other");
        fs::write(&other, "another one").expect("it can be written");
        fs::rename(&other, &file).expect("it can be renamed");
        let said = shop.sells_until_it_ends(&admin);
        assert!(said.contains(name) && said.contains("is another file") && said.contains(".rescued-0"), "{said}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "another one", "it is left as it is");
        let [copy] = &rescued(&file)[..] else { panic!("one copy") };
        for left in ["-wal", "-shm"] {
            let _ = fs::remove_file(file.with_file_name(format!("{name}{left}")));
        }
        fs::rename(copy, &file).expect("it can be renamed");
        shop.has_lost_nothing();
    }
}

#[test]
fn a_file_that_is_emptied_under_its_node_ends_it_with_a_line_that_names_it() {
    for name in FILES {
        let mut shop = Shop::open();
        let (admin, file) = (shop.cluster.admin(), shop.data().join(name));
        fs::File::options().write(true).open(&file).and_then(|file| file.set_len(0)).expect("it can be emptied");
        let said = shop.sells_until_it_ends(&admin);
        assert!(said.contains(name) && said.contains("was emptied"), "{said}");
    }
}
