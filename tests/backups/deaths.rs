//! A process that dies while it makes a backup, or puts one back.

use std::fs;

use crate::support::{Cluster, Scratch, tells};

use super::{STOCK, back_up, books_balance, command, command_until, part_of, restored, shop, text};

#[test]
fn a_node_that_dies_while_it_makes_a_backup_leaves_none_and_makes_the_next_one() {
    let mut cluster = shop().start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    admin.order(&product, 3).is(201);
    let scratch = Scratch::new("backups");
    for (number, point) in
        ["backup.copying@3", "backup.before-manifest", "backup.before-rename"].into_iter().enumerate()
    {
        let directory = scratch.join(&number.to_string());
        let node = cluster.node("main");
        node.stop();
        node.crash_at(point);
        node.restart();
        tells(command(node, &["backup", &text(&directory)]), 69, &["does not answer"]);
        node.process().wait();
        assert!(!directory.exists() && part_of(&directory).is_dir(), "{point}");
        node.restart();
        back_up(node, &directory);
        books_balance(&mut cluster, &product);
        let mut cluster = restored(&directory);
        books_balance(&mut cluster, &product);
        cluster.stop();
    }
    cluster.stop();
}

/// A backup of a node with one order, which then has had another one and has stopped.
fn with_a_backup(scratch: &Scratch) -> (Cluster, String) {
    let mut cluster = shop().start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, STOCK);
    admin.order(&product, 3).is(201);
    books_balance(&mut cluster, &product);
    back_up(cluster.node("main"), &scratch.join("backup"));
    admin.order(&product, 4).is(201);
    // It ends with something in its journals.
    cluster.node("main").kill();
    (cluster, product)
}

#[test]
fn a_restore_that_dies_is_repeated_and_no_node_starts_before() {
    for point in ["restore.staging@2", "restore.before-rename@2", "restore.after-file@3"] {
        let scratch = Scratch::new("backups");
        let (mut cluster, product) = with_a_backup(&scratch);
        let backup = text(&scratch.join("backup"));
        let node = cluster.node("main");
        tells(command(node, &["restore", &backup]), 73, &["there are databases already", "--replace moves them aside"]);
        assert_eq!(command_until(node, &["restore", &backup, "--replace"], point).0, None, "it dies at {point}");
        node.start();
        assert_eq!(node.exit_code(), Some(73), "{point}");
        let why = node.process().wait_for_line("a restore has not ended");
        assert!(why.contains("run `essaim restore DIR` again"), "{why}");
        tells(command(node, &["check"]), 73, &["a restore has not ended"]);
        tells(command(node, &["restore", &backup]), 0, &["is restored", "`main` starts as it was"]);
        assert!(!files_of(node.data()).iter().any(|name| name.ends_with(".restoring")), "{point}");
        node.restart();
        assert_eq!(books_balance(&mut cluster, &product), 1, "{point}");
        // What was there is beside, with its journal, and can be put back.
        let node = cluster.node("main");
        node.stop();
        for name in files_of(node.data()).iter().filter(|name| name.contains(".replaced-1")) {
            fs::rename(node.data().join(name), node.data().join(name.replace(".replaced-1", ""))).expect("it is there");
        }
        node.restart();
        assert_eq!(books_balance(&mut cluster, &product), 2, "{point}");
        cluster.stop();
    }
}

fn files_of(directory: std::path::PathBuf) -> Vec<String> {
    let files = fs::read_dir(directory).expect("a directory");
    files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}
