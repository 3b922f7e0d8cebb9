//! `essaim check` finds what a start would meet, with the same code and what to do about it, and changes nothing.

use std::net::TcpListener;
use std::thread;

use crate::support::{Cluster, Disk, Postgres, Process, Redis, Scratch, essaim, tells};

mod code {
    pub const DATA_DIR: i32 = 73;
    pub const BRIDGE: i32 = 75;
    pub const ADDRESS_IN_USE: i32 = 76;
    pub const CONFIG: i32 = 78;
}

/// Runs `essaim check` of one process with these settings; its code and what it printed.
fn check(settings: &[String]) -> (Option<i32>, String) {
    check_of(&[], settings)
}

fn check_of(arguments: &[&str], settings: &[String]) -> (Option<i32>, String) {
    let scratch = Scratch::new("check");
    let mut command = essaim();
    command.arg("check").args(arguments).args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(scratch.join("data"));
    for setting in settings {
        command.args(["--set", setting]);
    }
    let mut process = Process::start("essaim check", &mut command);
    (process.exit_code(), process.lines().join("\n"))
}

fn bridge(url: &str) -> Vec<String> {
    vec![format!("bridge.url={url}")]
}

#[test]
fn a_server_that_no_node_can_use_is_found() {
    let cluster = Redis::in_cluster_mode();
    tells(check(&bridge(&cluster.url())), code::CONFIG, &["cluster mode is not supported", "a single server"]);
    let primary = Redis::durable();
    let replica = primary.replica();
    tells(check(&bridge(&replica.url())), code::BRIDGE, &["it is a replica", "must name the primary"]);
}

#[test]
fn a_user_without_a_right_that_a_node_needs_is_found_with_what_grants_it_and_nothing_is_changed() {
    let redis = Redis::durable();
    for (user, rights, words) in [
        ("nochannels", "~* resetchannels +@all", ["the channels essaim:*", "&essaim:*"]),
        ("nokeys", "resetkeys ~other:* &* +@all", ["the keys essaim:*", "~essaim:*"]),
        ("noscripts", "~* &* +@all -@scripting", ["the commands evalsha, script|load", "+evalsha +script|load"]),
        ("nostreams", "~* &* +@all -@stream", ["xread", "+xadd"]),
    ] {
        redis.command::<()>(&format!("ACL SETUSER {user} on >hush-hush {rights}"));
        let url = redis.url().replace("redis://", &format!("redis://{user}:hush-hush@"));
        let found = check(&bridge(&url));
        assert!(!found.1.contains("hush-hush"), "{}", found.1);
        tells(
            found,
            code::BRIDGE,
            &[&words[..], &[&format!("the user `{user}` of bridge.url has no right to")]].concat(),
        );
    }
    // What a node does without is no problem.
    redis.command::<()>("ACL SETUSER noinfo on >hush-hush ~essaim:* &essaim:* +@all -info -config");
    let url = redis.url().replace("redis://", "redis://noinfo:hush-hush@");
    tells(check(&bridge(&url)), 0, &["Nothing is wrong.", "could not be checked"]);
    assert_eq!(redis.command::<u64>("DBSIZE"), 0);
    assert!(redis.channels().is_empty());
}

#[test]
fn a_server_that_keeps_too_little_or_takes_too_few_connections_is_found() {
    let forgetful = Redis::start();
    tells(check(&bridge(&forgetful.url())), 0, &["Warnings", "set `appendonly yes`"]);
    let narrow = Redis::with(&["--maxclients", "40"]);
    let settings = bridge(&narrow.url());
    tells(check_of(&["config/split.toml"], &settings), code::BRIDGE, &["takes 40 connections", "raise its maxclients"]);
}

#[test]
fn a_server_that_loads_its_data_is_waited_for() {
    let mut redis = Redis::durable();
    redis.fill();
    redis.restart_loading();
    let mut command = essaim();
    let scratch = Scratch::new("check");
    command.args(["check", "--listen", "127.0.0.1:0", "--set", &format!("bridge.url={}", redis.url()), "--data-dir"]);
    let mut process = Process::start("essaim check", command.arg(scratch.path()));
    process.wait_for_line("loads its data: waiting for it");
    assert!(process.is_running());
    redis.is_loaded();
    assert_eq!(process.exit_code(), Some(0), "{:#?}", process.lines());
}

#[test]
fn a_database_server_that_starts_up_is_waited_for() {
    let mut postgres = Postgres::start();
    let database = postgres.database();
    postgres.stop();
    postgres.go_on_recovering();
    let settings = vec![format!("capabilities.users.database={}", database.url())];
    let checked = thread::spawn(move || check(&settings));
    // It may not have asked yet; that it is asked while it starts is what the log of the server tells.
    postgres.wait_for_line("the database system is not");
    postgres.has_recovered();
    tells(checked.join().expect("it ends"), 0, &["Nothing is wrong."]);
}

#[test]
fn a_database_user_who_may_make_no_schema_is_found_with_what_grants_it() {
    let postgres = Postgres::shared();
    let database = postgres.database();
    let user = format!("limited_{}", database.name());
    postgres.sql(database.name(), &format!("CREATE ROLE {user} LOGIN"));
    let settings = |user: &str| {
        vec![format!("capabilities.users.database={}", database.url().replace("essaim@", &format!("{user}@")))]
    };
    let words = ["may not make the schema `users`", "GRANT CREATE ON DATABASE"];
    tells(check(&settings(&user)), code::DATA_DIR, &words);
    postgres.sql(database.name(), "CREATE SCHEMA users");
    tells(
        check(&settings(&user)),
        code::DATA_DIR,
        &["may make no tables in the schema `users`", "GRANT USAGE, CREATE"],
    );
    postgres.sql(database.name(), &format!("GRANT USAGE, CREATE ON SCHEMA users TO {user}"));
    tells(check(&settings(&user)), 0, &["Nothing is wrong."]);
    assert_eq!(postgres.sql(database.name(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'users'"), "0");
}

#[test]
fn a_url_with_a_bare_character_in_its_password_is_refused_by_each_command_with_the_mend() {
    let scratch = Scratch::new("urls");
    let ended = |arguments: &[&str]| {
        let mut command = essaim();
        command.args(arguments).args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(scratch.join("data"));
        let mut process = Process::start("essaim", &mut command);
        (process.exit_code(), process.lines().join("\n"))
    };
    for password in ["s3@cret", "s3#cret", "s3/cret", "1#cret", "1/cret", "1?cret"] {
        for (key, url) in [
            ("bridge.url", format!("redis://user:{password}@127.0.0.1:1")),
            ("capabilities.users.database", format!("postgres://user:{password}@127.0.0.1:1/shop")),
        ] {
            let set = format!("{key}={url}");
            for arguments in [
                &["check"][..],
                &["run"],
                &["node", "identity", "--config", "config/split.toml"],
                &["up", "config/split.toml"],
            ] {
                let (code, said) = ended(&[arguments, &["--set", &set]].concat());
                let is_told = said.contains(key) && said.contains("percent-encoded") && said.contains("`#` is %23");
                assert!(
                    code == Some(code::CONFIG) && is_told && !said.contains("cret"),
                    "{set} {arguments:?}: {code:?}\n{said}"
                );
            }
        }
    }
    for set in
        ["bridge.url=redis://127.0.0.1:1/shop", "capabilities.users.database=postgres://127.0.0.1:1/d?sslmode=odd"]
    {
        let key = set.split('=').next().unwrap_or_default();
        for command in ["check", "run"] {
            tells(ended(&[command, "--set", set]), code::CONFIG, &[key]);
        }
    }
}

#[test]
fn an_address_that_somebody_else_has_is_found_and_one_of_a_node_that_runs_is_not() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let settings = vec![format!("node.admin_listen={address}")];
    tells(check(&settings), code::ADDRESS_IN_USE, &[&address, "node.admin_listen", "it is in use"]);
    let mut cluster = Cluster::single().start();
    let node = cluster.node("main");
    let gateway = node.api().base().trim_start_matches("http://").to_string();
    let mut command = essaim();
    command.args(["check", "--listen", &gateway, "--data-dir"]).arg(node.data());
    let mut process = Process::start("essaim check", &mut command);
    assert_eq!(process.exit_code(), Some(0), "{:#?}", process.lines());
    assert!(process.has_line("the node runs"), "{:#?}", process.lines());
}

#[test]
fn a_disk_without_room_is_found() {
    let scratch = Scratch::new("full");
    let Some(disk) = Disk::over(scratch.path(), 1) else { return };
    disk.fill();
    let mut command = essaim();
    command.args(["check", "--listen", "127.0.0.1:0", "--data-dir"]).arg(scratch.path());
    let mut process = Process::start("essaim check", &mut command);
    assert_eq!(process.exit_code(), Some(code::DATA_DIR), "{:#?}", process.lines());
    assert!(process.has_line("its disk has room for"), "{:#?}", process.lines());
}
