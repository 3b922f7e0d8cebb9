//! How commands and nodes end: the codes, what cannot be written, and what is left behind.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::{Cluster, Process, Redis, Scratch, Signal, essaim, eventually, free_port};

/// The codes with which `essaim` ends; scripts rely on them.
mod code {
    pub const SUPERSEDED: i32 = 71;
    pub const OUTPUT: i32 = 74;
    pub const CONFIG: i32 = 78;
}

#[test]
fn up_ends_with_the_code_of_a_node_whose_name_another_process_has() {
    let (redis, scratch) = (Redis::start(), Scratch::new("superseded"));
    let topology = format!(
        "[bridge]\nurl = \"{}\"\n[nodes.only]\nhosts = [\"cache\"]\nset = {{ \"node.admin_listen\" = \"127.0.0.1:{}\" }}\n",
        redis.url(),
        free_port()
    );
    let file = scratch.write("topology.toml", &topology);
    let mut command = essaim();
    command.arg("up").arg(file).arg("--data-dir").arg(scratch.join("data"));
    let mut up = Process::start_ended_by("essaim up", &mut command, Signal::Term);
    up.wait_for_line("ready: every capability");
    let claim: String = redis.command("GET essaim:epoch:only");
    let (epoch, cluster) = claim.split_once(' ').expect("an epoch and a cluster");
    let higher = epoch.parse::<u64>().expect("it is a number") + 1;
    let mut set = redis::cmd("SET");
    let () = set.arg("essaim:epoch:only").arg(format!("{higher} {cluster}")).query(&mut redis.connection()).unwrap();
    up.wait_for_line("ended with code 71; it is not started again");
    assert_eq!(up.exit_code(), Some(code::SUPERSEDED), "{:#?}", up.lines());
    assert!(up.has_line("essaim: node `only` ended with code 71"), "{:#?}", up.lines());
}

/// The commands that print something, with what each prints of a cluster at `url`.
fn printing(url: &str, status: &str) -> Vec<Vec<String>> {
    let commands = [
        "--help",
        "--version",
        "help dead",
        "check",
        "status --url STATUS",
        "status --json --url STATUS",
        "messages --url URL",
        "messages --json --url URL",
        "messages orders.list.v1 --url URL",
        "send catalog.get_stock.v1 {\"id\":\"none\"} --url URL",
        "dead list --url URL",
        "dead list --json --url URL",
        "ledger --url URL",
        "ledger --json --url URL",
        "parked list --url URL",
        "schedules list --url URL",
        "subscriptions list --url URL",
        "top --once --url URL",
        "trace --once --url URL",
        "logs --url URL",
    ];
    let word = |word: &str| word.replace("STATUS", status).replace("URL", url);
    commands.map(|command| command.split(' ').map(word).collect()).into()
}

#[test]
fn a_command_whose_output_cannot_be_written_ends_with_a_code_and_one_whose_reader_has_enough_does_not() {
    let mut cluster = Cluster::single().set("node.operator_token", "of the operators").start();
    let node = cluster.node("main");
    let (admin, status) = (node.admin().base().to_string(), format!("{}/status", node.admin().base()));
    let scratch = Scratch::new("unwritten");
    for arguments in printing(&admin, &status) {
        let mut command = essaim();
        command.args(&arguments);
        if !arguments[0].starts_with("--") && arguments[0] != "help" {
            command.args(["--set", "node.operator_token=of the operators", "--data-dir"]).arg(scratch.path());
        }
        // It is right where there is room: a refusal would prove nothing.
        let asked = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(!asked.stdout.is_empty(), "{arguments:?} prints nothing: {said}");

        let full = File::options().write(true).open("/dev/full").expect("the system has it");
        let unwritten = command.stdout(full).stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&unwritten.stderr).into_owned();
        let expected = if asked.status.success() { Some(code::OUTPUT) } else { asked.status.code() };
        assert_eq!(unwritten.status.code(), expected, "{arguments:?}: {said}");
        if asked.status.success() {
            assert!(said.contains("cannot be written") && said.contains("No space left"), "{arguments:?}: {said}");
        }

        let mut unread = command.stdout(Stdio::piped()).spawn().expect("it runs");
        drop(unread.stdout.take());
        let ended = unread.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), asked.status.code(), "{arguments:?}: {said}");
        assert!(!said.contains("written") && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_list_that_is_followed_ends_in_silence_with_its_reader() {
    let mut cluster = Cluster::single().start();
    let data = cluster.node("main").data();
    let mut command = essaim();
    command.args(["logs", "--follow", "--data-dir"]).arg(data).args(["--set", "node.name=main"]);
    let mut followed = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut out = followed.stdout.take().expect("it was piped");
    out.read_exact(&mut [0; 1]).expect("there are lines");
    drop(out);
    let api = cluster.api();
    eventually("the command to end", || {
        api.get("/nowhere");
        followed.try_wait().expect("it can be waited for")
    });
    let ended = followed.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && said.is_empty(), "{:?}: {said}", ended.status);
}

#[test]
fn the_socket_of_a_node_goes_with_it_and_one_that_was_left_is_replaced() {
    let mut cluster = Cluster::single().start();
    let node = cluster.node("main");
    let socket = node.data().join("main.sock");
    assert!(socket.exists());
    node.kill();
    assert!(socket.exists(), "nobody could remove it");
    node.restart();
    let mut list = essaim();
    list.args(["dead", "list", "--data-dir"]).arg(node.data());
    assert_eq!(Process::start("essaim dead list", &mut list).exit_code(), Some(0));
    node.signal(Signal::Term);
    assert_eq!(node.exit_code(), Some(0));
    assert!(!socket.exists(), "{} was left", socket.display());
}

#[test]
fn several_nodes_without_a_bridge_are_told_so_by_each_command() {
    let scratch = Scratch::new("alone");
    let topology = "[nodes.a]\nhosts = [\"cache\"]\n[nodes.b]\nhosts = [\"catalog\"]\n";
    let file = scratch.write("two.toml", topology).display().to_string();
    for arguments in [vec!["up", &file], vec!["node", "a", "--config", &file], vec!["check", &file]] {
        let mut command: Command = essaim();
        command.args(&arguments).arg("--data-dir").arg(scratch.join("data"));
        let mut process = Process::start("essaim", &mut command);
        assert_eq!(process.exit_code(), Some(code::CONFIG), "{arguments:?}: {:#?}", process.lines());
        assert!(process.has_line("several nodes need a bridge: set bridge.url"), "{:#?}", process.lines());
    }
}
