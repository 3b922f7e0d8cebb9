//! What comes, as it comes: followed at the command line and as server-sent events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::*;

/// A command that goes on, asked of a node at its socket.
fn following(node: &ClusterNode, arguments: &[&str]) -> Process {
    let (data, name) = (node.data().display().to_string(), format!("node.name={}", node.name()));
    let mut command = essaim();
    Process::start(arguments[0], command.args(arguments).args(["--data-dir", &data, "--set", &name]))
}

/// An answer of server-sent events.
struct Events(BufReader<TcpStream>);

impl Events {
    /// Those that a node's admin listener sends, or the status that it answers with instead.
    fn of(node: &ClusterNode, token: &str, path: &str, question: &Value) -> Result<Self, u16> {
        let mut stream = TcpStream::connect(("127.0.0.1", node.admin().port())).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is more than nothing");
        let body = question.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: essaim\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the node reads");
        let mut events = Self(BufReader::new(stream));
        let status = events.line();
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        if status == 200 { Ok(events) } else { Err(status) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).expect("the node writes");
        assert!(length > 0, "the answer was cut off");
        line
    }

    /// The next page; `None` if the answer has ended in order, with a chunk of no bytes.
    fn page(&mut self) -> Option<Value> {
        loop {
            match self.line() {
                end if end == "0\r\n" => return None,
                line => {
                    let Some(page) = line.strip_prefix("data: ") else { continue };
                    return Some(serde_json::from_str(page).expect("it is JSON"));
                }
            }
        }
    }
}

#[test]
fn commands_go_on_with_what_is_written_in_all_nodes_until_the_node_that_they_ask_ends() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let api = cluster.api();
    let front = cluster.node("front");
    let logs = following(front, &["logs", "--follow", "level>=info"]);
    let trace = following(front, &["trace", "kind=ask", "node=shop"]);
    logs.wait_for_line("front");
    eventually("an ask of another node", || {
        api.get("/products").is(200);
        trace.has_line("catalog.").then_some(())
    });
    api.post("/auth/login", json!({ "email": "nobody@example.org", "password": "wrong-password" })).is(401);
    logs.wait_for_line("/auth/login");
    cluster.node("shop").pause();
    trace.wait_for_line("node `shop` did not answer");
    cluster.node("shop").resume();
    cluster.node("front").stop();
    for (mut command, name) in [(logs, "logs"), (trace, "trace")] {
        assert_eq!(command.exit_code(), Some(69), "{name}");
        command.wait_for_line("does not answer: it has ended");
    }
    cluster.stop();
}

#[test]
fn who_has_the_token_follows_records_as_server_sent_events_and_begins_where_a_page_ended() {
    let mut cluster = Cluster::single().set("node.operator_token", "sesame").start();
    let api = cluster.api();
    let main = cluster.node("main");
    let question = json!({ "filter": ["kind=request", "name~products"], "from_now": true });
    assert_eq!(Events::of(main, "wrong", "/trace/records", &question).err(), Some(403));
    let mut events = Events::of(main, "sesame", "/trace/records", &question).expect("it is answered");
    let begun = events.page().expect("where the nodes have come to");
    assert_eq!(begun["records"], json!([]));
    api.get("/products").is(200);
    let first = events.page().expect("a page");
    assert_eq!(first["records"][0]["name"], "GET /products");
    drop(events);
    api.get("/products?limit=1").is(200);
    // What came while nobody read is there for who comes back.
    let again = json!({ "filter": ["kind=request", "name~products"], "after": first["next"] });
    let mut events = Events::of(main, "sesame", "/trace/records", &again).expect("it is answered");
    let missed = events.page().expect("a page");
    assert_eq!(missed["records"].as_array().map(Vec::len), Some(1), "{missed}");
    // An end in order ends what is followed.
    main.stop();
    while events.page().is_some() {}
    cluster.stop();
}

#[test]
fn so_many_readers_follow_and_no_more() {
    let mut cluster = Cluster::single().set("node.operator_token", "sesame").start();
    let main = cluster.node("main");
    let mut readers = Vec::new();
    let refused = loop {
        match Events::of(main, "sesame", "/logs/find", &json!({ "last": 1 })) {
            Ok(events) => readers.push(events),
            Err(status) => break status,
        }
    };
    assert_eq!((readers.len(), refused), (32, 503));
    readers.pop();
    eventually("the place of one that is gone", || {
        Events::of(main, "sesame", "/logs/find", &json!({ "last": 1 })).ok()
    });
    cluster.stop();
}

#[test]
fn a_reader_hears_that_all_that_was_known_is_read_though_nothing_is_on_the_last_page() {
    let mut cluster = Cluster::single().set("node.operator_token", "sesame").start();
    cluster.api().get("/products").is(200);
    let node = cluster.node("main");
    let question = json!({ "filter": ["kind=request", "name~products"], "most": 1 });
    let admin = node.admin().bearing("sesame");
    eventually("the record", || {
        let found = admin.post("/trace/records", question.clone()).is(200);
        found["records"].as_array().is_some_and(|records| records.len() == 1).then_some(())
    });
    let mut events = Events::of(node, "sesame", "/trace/records", &question).expect("it is answered");
    let mut pages = std::iter::from_fn(|| events.page());
    let first = pages.next().expect("a page");
    assert_eq!((first["records"].as_array().map(Vec::len), &first["more"]), (Some(1), &json!(true)));
    let last = pages.find(|page| page["more"] == false).expect("the end");
    assert_eq!(last["records"], json!([]));
}
