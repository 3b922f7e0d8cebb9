//! What a node may do on the bridge's server: the users of `deploy/redis/users.acl` let it work, and touch nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use redis::{Connection, RedisError, Value};

use crate::support::{ADMIN_EMAIL, ADMIN_PASSWORD, Answer, Cluster, Redis, Scratch, eventually, repository};

const PASSWORD: &str = "the-password-of-nodes";

/// The file as it is deployed, with a password, and a user for the test.
fn users() -> String {
    let text = std::fs::read_to_string(repository().join("deploy/redis/users.acl")).expect("there are users");
    assert!(text.contains("user default off\n"), "nobody comes in without a password: {text}");
    text.replace("CHANGE-THIS-PASSWORD", PASSWORD).replace("user default off", "user default on nopass ~* &* +@all")
}

fn start(scratch: &Scratch) -> Redis {
    let file = scratch.write("users.acl", &users());
    Redis::with(&["--aclfile", &file.display().to_string()])
}

fn as_node(redis: &Redis) -> Connection {
    let mut connection = redis.connection();
    let _: () = redis::cmd("AUTH").arg("node").arg(PASSWORD).query(&mut connection).expect("it is a user");
    connection
}

/// An order that is confirmed, or will be.
#[track_caller]
fn is_placed(answer: &Answer) {
    assert!(matches!(answer.status, 201 | 202), "{answer:?}");
}

#[test]
fn with_the_users_of_deploy_nodes_work_and_nothing_else_can_be_touched() {
    let scratch = Scratch::new("rights");
    let redis = start(&scratch);
    let url = format!("redis://node:{PASSWORD}@127.0.0.1:{}", redis.port());
    let mut cluster = Cluster::of("config/split.toml").set("bridge.url", url).start();
    let admin = cluster.api().logged_in(ADMIN_EMAIL, ADMIN_PASSWORD);
    let product = admin.product("TEA", 450, 100);
    for _ in 0..20 {
        is_placed(&admin.order(&product, 1));
    }
    eventually("all to be sold", || (admin.get(&format!("/products/{product}"))["stock"] == 80).then_some(()));
    cluster.node("shop").stop();
    cluster.node("shop").restart();
    // The gateway hears of it with its next heartbeat.
    let is_back = || matches!(admin.order(&product, 1).status, 201 | 202).then_some(());
    eventually("the shop to take orders again", is_back);
    let refused: Vec<Value> = redis.command("ACL LOG");
    // By it a client library tells its version, where the server has it.
    let refused: Vec<_> = refused.iter().filter(|entry| !format!("{entry:?}").contains("client|setinfo")).collect();
    assert!(refused.is_empty(), "the server has refused nodes: {refused:#?}");

    let _: () = redis.command("SET other:key 1");
    let mut node = as_node(&redis);
    let script = "return redis.call('GET', 'other:key')";
    let loaded: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut node).expect("scripts are loaded");
    for words in [
        "GET other:key",
        "SET other:key 2",
        "DEL other:key",
        "XADD other:log * a b",
        "PUBLISH other:channel x",
        "SUBSCRIBE other:channel",
        "CONFIG SET save x",
        "KEYS *",
        "SCAN 0",
        "FLUSHALL",
        "EVAL return 0",
        "ACL LIST",
        "SHUTDOWN",
        "MONITOR",
        "REPLICAOF no one",
        &format!("EVALSHA {loaded} 0"),
    ] {
        let mut command = redis::Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        let answer: Result<Value, RedisError> = command.query(&mut node);
        let why = answer.expect_err(words).to_string();
        let is_refused = ["NOPERM", "permission", "can't access"].iter().any(|word| why.contains(word));
        assert!(is_refused, "{words}: {why}");
    }
    cluster.stop();
}

/// The commands in the sources of the bridge, in small letters.
fn commands_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("there are sources") {
        let path = entry.expect("it can be read").path();
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => commands_in(&path, found),
            false => {
                let text = std::fs::read_to_string(&path).expect("it can be read");
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                for before in ["redis::cmd(\"", "redis.call('", "redis.pcall('", ".cmd(\""] {
                    let names = text.split(before).skip(1).filter_map(|rest| rest.split(['"', '\'']).next());
                    found.extend(names.map(str::to_lowercase));
                }
            }
        }
    }
}

#[test]
fn every_command_of_the_bridge_is_among_the_rights_of_a_node() {
    let mut commands = BTreeSet::new();
    commands_in(&repository().join("supervisor/bridges/redis/src"), &mut commands);
    // A sentinel has users of its own.
    commands.remove("sentinel");
    assert!(commands.len() > 20, "{commands:?}");
    let users = users();
    let may = |command: &String| {
        users
            .split_whitespace()
            .any(|right| right == format!("+{command}") || right.starts_with(&format!("+{command}|")))
    };
    let missing: Vec<_> = commands.iter().filter(|command| !may(command)).collect();
    assert!(missing.is_empty(), "deploy/redis/users.acl does not have {missing:?}");
}
