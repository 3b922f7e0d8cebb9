//! The command line: one line and an exit code for each mistake, and an orderly end.

use std::net::TcpListener;
use std::process::Command;

use crate::support::{
    Answer, Api, Cluster, Process, Redis, Scratch, Signal, children_of, essaim, eventually, free_port,
};

/// The codes with which `essaim` ends; scripts rely on them.
mod code {
    pub const DATA_DIR: i32 = 73;
    pub const BRIDGE: i32 = 75;
    pub const ADDRESS_IN_USE: i32 = 76;
    pub const CONFIG: i32 = 78;
    pub const SECOND_SIGNAL: i32 = 130;
}

#[test]
fn a_node_may_have_open_as_much_as_the_system_lets_it_and_says_where_that_is_too_little() {
    let limited = |limits: &str, told: bool| {
        let directory = Scratch::new("limited");
        let mut essaim = essaim();
        essaim.args(["run", "--data-dir"]).arg(directory.path());
        for listen in ["gateway.listen", "node.admin_listen"] {
            essaim.args(["--set", &format!("{listen}=127.0.0.1:0")]);
        }
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
            .arg(essaim.get_program())
            .args(essaim.get_args());
        for (name, value) in essaim.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut node = Process::start("limited", &mut shell);
        node.wait_for_line("ready: every capability of this node runs");
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.pid())).expect("a process has limits");
        let open = limits.lines().find(|line| line.starts_with("Max open files")).expect("this one, too");
        let [soft, hard] = [3, 4].map(|word| open.split_whitespace().nth(word));
        assert_eq!(soft, hard, "{open}");
        assert_eq!(node.has_line("gateway.max_connections is more than this process may have open"), told);
        node.signal(Signal::Term);
        node.exit_code();
    };
    limited("ulimit -Sn 256", false);
    limited("ulimit -n 2000", true);
}

/// Runs `essaim` with these arguments and asserts that it refuses with this code and one line that contains all these
/// words.
#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let directory = Scratch::new("refused");
    let mut command = essaim();
    command.args(arguments);
    if !arguments.contains(&"--data-dir") {
        command.arg("--data-dir").arg(directory.path());
    }
    refused_by(command, code, words);
}

#[track_caller]
fn refused_by(mut command: Command, code: i32, words: &[&str]) {
    let mut process = Process::start("essaim", &mut command);
    let (ended, lines) = (process.exit_code(), process.lines());
    assert_eq!(ended, Some(code), "{lines:#?}");
    // What the node logged before is not the explanation.
    let told: Vec<_> = lines.iter().filter_map(|l| l.strip_prefix("essaim: ")).collect();
    let [told] = told[..] else { panic!("one line says why: {lines:#?}") };
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!lines.iter().any(|l| l.contains("panicked") || l.contains("RUST_BACKTRACE")), "{lines:#?}");
}

#[test]
fn an_unknown_key_on_the_command_line_is_refused_by_name() {
    refused(&["run", "--set", "gateway.lissten=127.0.0.1:0"], code::CONFIG, &["--set", "gateway.lissten"]);
}

#[test]
fn an_unknown_key_in_a_file_is_refused_by_file_and_key() {
    let scratch = Scratch::new("config");
    let file = scratch.write("mine.toml", "[ask]\ntimeout_sec = 5\n").display().to_string();
    refused(&["run", "--config", &file], code::CONFIG, &["mine.toml", "timeout_sec"]);
}

#[test]
fn an_unknown_key_in_the_environment_is_refused_by_name() {
    let scratch = Scratch::new("config");
    let mut command = essaim();
    command.args(["run", "--data-dir"]).arg(scratch.path()).env("ESSAIM__ASK__TIMEOUT_SEC", "5");
    refused_by(command, code::CONFIG, &["ESSAIM__ASK__TIMEOUT_SEC"]);
}

#[test]
fn a_wrong_type_is_refused_with_the_key_and_what_it_may_be() {
    refused(&["run", "--set", "ask.timeout_ms=soon"], code::CONFIG, &["ask.timeout_ms"]);
}

#[test]
fn a_file_that_is_not_there_is_refused_by_name() {
    refused(&["run", "--config", "no/such.toml"], code::CONFIG, &["no/such.toml"]);
}

#[test]
fn a_capability_that_nobody_knows_is_refused_by_name() {
    let scratch = Scratch::new("config");
    let file = scratch.write("odd.toml", "[nodes.only]\nhosts = [\"gatewy\"]\n").display().to_string();
    refused(&["node", "only", "--config", &file], code::CONFIG, &["odd.toml", "gatewy"]);
}

#[test]
fn a_node_that_the_topology_does_not_have_is_refused_with_those_it_has() {
    let arguments = ["node", "back", "--config", "config/split.toml"];
    refused(&arguments, code::CONFIG, &["back", "front", "identity", "shop"]);
}

#[test]
fn a_port_in_use_is_refused_with_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    refused(&["run", "--listen", &address], code::ADDRESS_IN_USE, &[&address]);
}

#[test]
fn a_redis_that_does_not_answer_is_refused_with_its_address() {
    let address = format!("127.0.0.1:{}", free_port());
    let bridge = format!("bridge.url=redis://{address}");
    let listen = format!("127.0.0.1:{}", free_port());
    let arguments = ["node", "front", "--config", "config/split.toml", "--set", &bridge, "--listen", &listen];
    refused(&arguments, code::BRIDGE, &[&address]);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused_by_name() {
    let scratch = Scratch::new("rights");
    // Root may write everywhere, but not below a file.
    let below = scratch.write("file", "").join("data").display().to_string();
    let listen = format!("127.0.0.1:{}", free_port());
    refused(&["run", "--data-dir", &below, "--listen", &listen], code::DATA_DIR, &[&below]);
}

#[test]
fn check_finds_a_sqlite_capability_with_two_hosts() {
    let redis = Redis::start();
    let scratch = Scratch::new("check");
    let topology = format!(
        "[bridge]\nurl = \"{}\"\n[nodes.a]\nhosts = [\"users\"]\n[nodes.b]\nhosts = [\"users\"]\n",
        redis.url()
    );
    let file = scratch.write("twice.toml", &topology).display().to_string();
    let mut process = Process::start("essaim check", essaim().args(["check", &file]));
    assert_eq!(process.exit_code(), Some(code::CONFIG), "{:#?}", process.lines());
    let page = process.lines().join("\n");
    assert!(page.contains("users") && page.contains("SQLite"), "{page}");
}

#[test]
fn a_value_that_cannot_be_is_found_by_check_and_refused_at_start() {
    for (setting, key) in [
        ("auth.access_token_seconds=0", "auth.access_token_seconds"),
        ("auth.argon2.memory_kib=1", "[auth.argon2]"),
        ("gateway.trace_sample=2.0", "gateway.trace_sample"),
        ("gateway.header_limit_count=1000", "gateway.header_limit_count"),
        ("orders.repair_batch=0", "orders.repair_batch"),
    ] {
        refused(&["run", "--set", setting], code::CONFIG, &[key]);
        let scratch = Scratch::new("check");
        let mut command = essaim();
        command.args(["check", "--listen", "127.0.0.1:0", "--set", setting, "--data-dir"]).arg(scratch.path());
        let mut process = Process::start("essaim check", &mut command);
        assert_eq!(process.exit_code(), Some(code::CONFIG), "{:#?}", process.lines());
        assert!(process.lines().iter().any(|line| line.contains(key)), "{:#?}", process.lines());
    }
}

#[test]
fn check_passes_what_can_run() {
    let redis = Redis::start();
    let scratch = Scratch::new("check");
    let bridge = format!("bridge.url={}", redis.url());
    let mut command = essaim();
    command.args(["check", "config/split.toml", "--set", &bridge, "--data-dir"]).arg(scratch.path());
    let mut process = Process::start("essaim check", &mut command);
    assert_eq!(process.exit_code(), Some(0), "{:#?}", process.lines());
}

#[test]
fn starting_says_where_it_listens_what_it_hosts_and_where_its_data_is() {
    let mut cluster = Cluster::single().start();
    let node = cluster.node("main");
    let data = node.data().display().to_string();
    let said = node.process().lines().join("\n");
    let port = node.api().base().to_string();
    for word in [data.as_str(), port.trim_start_matches("http://"), "gateway", "orders"] {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
}

#[test]
fn a_port_that_the_system_chose_is_told() {
    let scratch = Scratch::new("port");
    let mut command = essaim();
    command.args(["run", "--listen", "127.0.0.1:0", "--set", "catalog.demo=false", "--data-dir"]).arg(scratch.path());
    let mut process = Process::start("essaim run", &mut command);
    let line = process.wait_for_line("listens http://");
    let port = line.split([':', ' ']).filter_map(|part| part.parse::<u16>().ok()).next();
    Api::at(port.filter(|port| *port != 0).unwrap_or_else(|| panic!("{line}"))).get("/livez").is(200);
    process.signal(Signal::Term);
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn a_node_that_drains_tells_so_goes_on_serving_and_exits_with_zero() {
    let mut cluster = Cluster::single().set("drain.announce_ms", 1_000).start();
    let node = cluster.node("main");
    let api = node.api();
    node.signal(Signal::Term);
    eventually("the gateway to announce the drain", || (api.get("/readyz").status == 503).then_some(()));
    api.get("/livez").is(200);
    api.get("/products").is(200);
    assert_eq!(node.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let mut cluster = Cluster::single().set("drain.announce_ms", 600_000).set("drain.timeout_ms", 600_000).start();
    let node = cluster.node("main");
    node.signal(Signal::Int);
    let api = node.api();
    eventually("the drain to begin", || (api.get("/readyz").status == 503).then_some(()));
    node.signal(Signal::Int);
    assert_eq!(node.exit_code(), Some(code::SECOND_SIGNAL), "a drain that was cut short is not an orderly end");
}

#[test]
fn status_shows_the_nodes_of_the_cluster() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let url = format!("{}/status", cluster.node("front").api().base());
    eventually("the table to show every node", || {
        let mut process = Process::start("essaim status", essaim().args(["status", "--url", &url]));
        let (code, table) = (process.exit_code(), process.lines().join("\n"));
        assert_eq!(code, Some(0), "{table}");
        ["front", "identity", "shop", "catalog"].iter().all(|word| table.contains(word)).then_some(())
    });
}

/// `essaim up` of three nodes on free ports; what is left of its children ends with the value.
struct Up {
    process: Process,
    gateway: Api,
    redis: Redis,
    scratch: Scratch,
}

impl Up {
    fn start() -> Self {
        let (redis, scratch, port) = (Redis::start(), Scratch::new("up"), free_port());
        let admin = |_| format!("\"node.admin_listen\" = \"127.0.0.1:{}\"", free_port());
        let topology = format!(
            "[bridge]\nurl = \"{}\"\n[supervision]\nbackoff_first_ms = 10\n\
             [nodes.front]\nhosts = [\"gateway\", \"cache\"]\nset = {{ \"gateway.listen\" = \"127.0.0.1:{port}\", {} }}\n\
             [nodes.identity]\nhosts = [\"users\", \"auth\"]\nset = {{ {} }}\n\
             [nodes.shop]\nhosts = [\"catalog\", \"orders\"]\nset = {{ {} }}\n",
            redis.url(),
            admin(0),
            admin(1),
            admin(2),
        );
        let file = scratch.write("topology.toml", &topology);
        let mut command = essaim();
        command.arg("up").arg(file).arg("--data-dir").arg(scratch.join("data"));
        let process = Process::start_ended_by("essaim up", &mut command, Signal::Term);
        let up = Self { process, gateway: Api::at(port), redis, scratch };
        up.wait_until_serving();
        up
    }

    /// Waits until requests reach the node `shop` and the node `identity`.
    fn wait_until_serving(&self) {
        let served = |answer: Answer| (answer.status == 200).then_some(());
        for path in ["/products", "/.well-known/jwks.json"] {
            eventually(path, || served(self.gateway.try_send("GET", path, None).ok()?));
        }
    }

    /// The process of a node.
    fn child(&self, node: &str) -> u32 {
        let is_node = |pid: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').any(|argument| argument == node)
        };
        let look = || children_of(self.process.pid()).into_iter().find(is_node);
        eventually(&format!("the process of `{node}`"), look)
    }
}

#[test]
fn up_starts_a_child_again_that_was_killed_and_ends_all_at_ctrl_c() {
    let mut up = Up::start();
    let killed = up.child("shop");
    crate::support::send(killed, Signal::Kill);
    let anew = eventually("the node to start anew", || Some(up.child("shop")).filter(|pid| *pid != killed));
    up.wait_until_serving();
    let children = children_of(up.process.pid());
    assert!(children.len() == 3 && children.contains(&anew), "{children:?}");
    let said = up.process.lines();
    assert!(
        ["front", "identity", "shop"].iter().all(|n| said.iter().any(|l| l.trim_start().starts_with(n))),
        "{said:#?}"
    );
    up.process.signal(Signal::Int);
    assert_eq!(up.process.exit_code(), Some(0));
    let left: Vec<_> = children.iter().filter(|pid| crate::support::send(**pid, Signal::Continue)).collect();
    assert!(left.is_empty(), "still there: {left:?}");
}

#[test]
fn no_child_outlives_an_up_that_was_killed() {
    let mut up = Up::start();
    let children = children_of(up.process.pid());
    assert_eq!(children.len(), 3);
    up.process.signal(Signal::Kill);
    for child in children {
        eventually("the end of a child", || (!crate::support::send(child, Signal::Continue)).then_some(()));
    }
}

#[test]
fn up_makes_a_secret_for_nodes_that_have_none_which_no_argument_shows() {
    use crate::golden::frames::{ask, frame};
    use redis::Commands;
    use std::os::unix::fs::PermissionsExt;

    let up = Up::start();
    let file = up.scratch.join("data").join("bridge-secret");
    let secret = std::fs::read_to_string(&file).expect("the nodes have a secret");
    let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!((mode & 0o777, secret.len()), (0o600, 64));
    for child in children_of(up.process.pid()) {
        let seen =
            ["cmdline", "environ"].map(|what| std::fs::read(format!("/proc/{child}/{what}")).unwrap_or_default());
        assert!(seen.iter().all(|seen| !String::from_utf8_lossy(seen).contains(&secret)), "a node's arguments show it");
    }
    let inbox = up.redis.wait_for_channel(":inbox:shop:");
    let forged = frame(1, ask(1, "catalog.list.v1", ""));
    let _: u64 = up.redis.connection().publish(&inbox, &forged[..]).expect("redis takes a frame");
    up.process.wait_for_line("a frame was refused");
    let said = up.process.lines();
    assert!(
        said.iter().any(|line| line.contains("no bridge.secret is set") && line.contains("bridge-secret")),
        "{said:#?}"
    );
    assert!(!said.iter().any(|line| line.contains(&secret) || line.contains("bridge.secret is not set")), "{said:#?}");
}

#[test]
fn shells_and_man_know_every_command() {
    let commands = ["run", "node", "check", "dead", "audit", "completions", "man"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = essaim().args(["completions", shell]).output().expect("essaim runs");
        let script = String::from_utf8(said.stdout).expect("text");
        assert_eq!(said.status.code(), Some(0), "{shell}");
        assert!(commands.iter().all(|command| script.contains(command)) && script.contains("rehearse"), "{shell}");
    }
    // What bash makes of it is what it offers.
    let offer = "source <(\"$0\" completions bash); COMP_WORDS=(essaim dead re); COMP_CWORD=2; \
                 _essaim essaim re dead; echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").args(["-c", offer]).arg(essaim().get_program()).output().expect("there is bash");
    let offered = String::from_utf8_lossy(&bash.stdout);
    let offered: std::collections::BTreeSet<_> = offered.split_whitespace().collect();
    assert_eq!(offered, ["rehearse", "replay"].into(), "{bash:?}");
    let directory = Scratch::new("man");
    let pages = directory.path().join("share/man1");
    let man = |directory: &std::path::Path| essaim().arg("man").arg(directory).output().expect("essaim runs");
    assert_eq!(man(&pages).status.code(), Some(0));
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(page("essaim.1").contains("Exit codes") && page("essaim-dead-replay.1").contains("payload"));
    for command in commands {
        assert!(page(&format!("essaim-{command}.1")).starts_with(".ie"), "{command}");
    }
    let refused = man(std::path::Path::new("/dev/null/man"));
    let line = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(code::DATA_DIR), "{line}");
    assert!(line.contains("the manual pages cannot be written to /dev/null/man"), "{line}");
}

#[test]
fn what_is_wrong_is_red_where_colours_are_wanted_and_nowhere_else() {
    let said = |variables: &[(&str, &str)]| {
        let mut command = essaim();
        command.args(["check", "/nowhere/at/all.toml"]).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let output = command.envs(variables.iter().copied()).output().expect("essaim runs");
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(said(&[]).starts_with("essaim: "), "it is no terminal");
    assert!(said(&[("CLICOLOR_FORCE", "1")]).starts_with("\u{1b}[1;31messaim:\u{1b}[0m "));
    assert!(said(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).starts_with("essaim: "));
}
