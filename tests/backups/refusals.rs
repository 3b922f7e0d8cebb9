//! What is refused, before anything is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Cluster, ClusterNode, Disk, Scratch, essaim, tells};

use super::{STOCK, back_up, books_balance, command, part_of, shop, text};

#[test]
fn a_backup_is_its_users_alone_is_kept_by_the_audit_and_is_written_over_nothing() {
    let mut cluster = shop().start();
    let scratch = Scratch::new("backups");
    let directory = scratch.join("backup");
    let node = cluster.node("main");
    // A slash at its end says nothing.
    let said = back_up(node, &scratch.join("backup/"));
    assert!(!said.contains("not in it"), "{said}");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let names: Vec<_> =
        fs::read_dir(&directory).expect("a directory").map(|file| file.expect("a file").path()).collect();
    assert!(names.iter().all(|path| mode(path) == 0o600), "{names:?}");
    let manifest: Value =
        serde_json::from_slice(&fs::read(directory.join("manifest.json")).expect("it is there")).unwrap();
    let files: Vec<_> = manifest["files"].as_array().expect("files").iter().map(|file| file["file"].clone()).collect();
    assert_eq!(
        files,
        [
            "main.audit.sqlite3",
            "auth.sqlite3",
            "catalog.sqlite3",
            "console.sqlite3",
            "orders.sqlite3",
            "users.sqlite3",
            "log.sqlite3"
        ]
    );
    assert_eq!(names.len(), files.len() + 1, "{names:?}");
    let orders = &manifest["files"][4];
    assert!(orders["schema"].as_u64() > Some(0) && orders["runtime_schema"].as_u64() > Some(0), "{orders}");
    assert!(manifest["log"].as_str().is_some_and(|log| log.starts_with("embedded/")), "{manifest}");
    tells(command(node, &["backup", &text(&directory)]), 2, &["exists already"]);
    let (_, acts) = command(node, &["audit", "--json"]);
    let acts: Vec<Value> = acts.lines().map(|line| serde_json::from_str(line).expect("an act")).collect();
    let ends: Vec<_> = acts.iter().map(|act| act["end"]["kind"].clone()).collect();
    assert_eq!(ends, ["done", "nothing"], "{acts:?}");
    assert_eq!(acts[0]["act"], format!("makes a backup at {}", directory.display()));
    // Who administers capabilities may not have files written.
    let console = node.console();
    console.post("/api/audit/list", json!({})).is(200);
    console.post("/api/backup", json!({ "directory": text(&scratch.join("by-console")) })).is(404);
    // A file that no backup has made is left where it is.
    let other = scratch.join("other");
    fs::create_dir(part_of(&other)).expect("a directory");
    fs::write(part_of(&other).join("thesis.txt"), "mine").expect("a file");
    tells(command(node, &["backup", &text(&other)]), 2, &["`thesis.txt`, which no backup has put there"]);
    assert!(part_of(&other).join("thesis.txt").exists());
    tells(command(node, &["backup", &text(&scratch.join("no/where"))]), 74, &["make it first"]);
    cluster.stop();
}

#[test]
fn a_backup_to_a_full_disk_leaves_nothing_and_its_node_goes_on() {
    let mut cluster = shop().start();
    let scratch = Scratch::new("backups");
    let Some(disk) = Disk::over(scratch.path(), 1) else { return };
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    disk.fill();
    let directory = scratch.join("backup");
    tells(command(cluster.node("main"), &["backup", &text(&directory)]), 74, &["the disk is full: free some space"]);
    assert!(!directory.exists() && !part_of(&directory).exists());
    admin.order(&product, 1).is(201);
    books_balance(&mut cluster, &product);
    cluster.stop();
}

/// A node that has never run.
fn empty() -> Cluster {
    shop().without("main").start()
}

#[test]
fn what_is_no_whole_backup_is_not_restored_and_nothing_is_while_the_node_runs() {
    let mut cluster = shop().start();
    let scratch = Scratch::new("backups");
    let directory = scratch.join("backup");
    back_up(cluster.node("main"), &directory);
    let backup = text(&directory);
    let running = command(cluster.node("main"), &["restore", &backup, "--replace"]);
    tells(running, 72, &["the node runs", "stop it (SIGTERM)"]);
    cluster.stop();
    let mut fresh = empty();
    let node = fresh.node("main");
    let is_untouched = |node: &ClusterNode| {
        let left = fs::read_dir(node.data()).expect("a directory").map(|file| file.expect("a file").file_name());
        left.filter(|name| !name.to_string_lossy().ends_with(".lock")).count() == 0
    };
    let other = essaim().args(["restore", &backup, "--set", "node.name=other", "--data-dir"]).arg(node.data()).output();
    let other = other.expect("the binary can be started");
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    tells((other.status.code(), said), 78, &["a backup of the node `main`", "the configuration of `other`"]);
    // One bit of one file.
    let file = directory.join("orders.sqlite3");
    let whole = fs::read(&file).expect("it is there");
    let mut damaged = whole.clone();
    damaged[5_000] ^= 1;
    fs::write(&file, &damaged).expect("written");
    tells(command(node, &["restore", &backup]), 65, &["orders.sqlite3 is damaged", "not as its manifest says"]);
    assert!(is_untouched(node));
    fs::remove_file(&file).expect("it is there");
    tells(command(node, &["restore", &backup]), 65, &["orders.sqlite3 is damaged"]);
    fs::write(&file, &whole).expect("written");
    // Where its manifest is missing or cut off.
    let manifest = directory.join("manifest.json");
    let text = fs::read(&manifest).expect("it is there");
    fs::write(&manifest, &text[..100]).expect("written");
    tells(command(node, &["restore", &backup]), 65, &["manifest.json cannot be read"]);
    fs::remove_file(&manifest).expect("it is there");
    tells(command(node, &["restore", &backup]), 65, &["it is no backup"]);
    assert!(is_untouched(node));
    fs::write(&manifest, &text).expect("written");
    tells(command(node, &["restore", &backup]), 0, &["is restored"]);
    node.restart();
    fresh.stop();
}
