//! What a node keeps on servers is in no backup of its files, which says so.

use crate::support::{Cluster, Postgres, Redis, Scratch, essaim, tells};

use super::{back_up, command, text};

#[test]
fn a_backup_names_what_is_on_redis_and_on_postgres() {
    let (redis, server) = (Redis::start(), Postgres::shared());
    let (database, scratch) = (server.database(), Scratch::new("backups"));
    let cluster =
        ["catalog", "console"].into_iter().fold(Cluster::of("config/split.toml").over(&redis), |cluster, name| {
            cluster.set(&format!("capabilities.{name}.database"), database.url())
        });
    let mut cluster = cluster.start();
    let said = back_up(cluster.node("shop"), &scratch.join("backup"));
    for absent in
        ["not in it: the database of `catalog`, which is on PostgreSQL", "not in it: the log, which is on Redis"]
    {
        assert!(said.contains(absent), "{said}");
    }
    assert!(said.contains("orders.sqlite3") && !said.contains("catalog.sqlite3"), "{said}");
    // Of a topology the node is named, and found again by the backup.
    let topology = |arguments: &[&str], data: std::path::PathBuf| {
        let mut command = essaim();
        command.args(arguments).args(["--config", "config/split.toml", "--data-dir"]).arg(data);
        let output = command.output().expect("the binary can be started");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (named, data) = (text(&scratch.join("named")), cluster.node("shop").data());
    tells(
        topology(&["backup", &named, "--node", "shop"], data.clone()),
        0,
        &["orders.sqlite3", "has `shop` as it was"],
    );
    tells(topology(&["backup", &named, "--node", "shelf"], data.clone()), 78, &["shelf"]);
    cluster.node("shop").stop();
    tells(topology(&["restore", &named], data), 73, &["there are databases already"]);
    let (directory, url) = (text(&scratch.join("backup")), format!("capabilities.orders.database={}", database.url()));
    let shop = cluster.node("shop");
    tells(command(shop, &["restore", &directory, "--set", &url]), 78, &["the database of `orders` is in it"]);
    tells(command(shop, &["restore", &directory, "--replace"]), 0, &["not in it: the log, which is on Redis"]);
    shop.restart();
    tells(command(cluster.node("front"), &["backup", &text(&scratch.join("none"))]), 2, &["nothing to copy"]);
    cluster.stop();
}
