//! What somebody meets who starts the platform for the first time.

use std::process::Command;

use serde_json::Value;

use crate::support::{Api, Process, Scratch, Signal, essaim, repository};

/// What a command prints.
fn printed(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = essaim().args(arguments).output().expect("essaim starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_first_start_has_ten_quiet_lines_and_a_later_one_fewer() {
    let scratch = Scratch::new("first-hour");
    let start = || {
        let mut command = essaim();
        command.args(["run", "--listen", "127.0.0.1:0", "--set", "console.listen=127.0.0.1:0", "--data-dir"]);
        let process = Process::start("essaim run", command.arg(scratch.path()));
        process.wait_for_line("ready: every capability of this node runs");
        process
    };
    let ends_with_lines = |mut process: Process| {
        process.signal(Signal::Term);
        assert_eq!(process.exit_code(), Some(0));
        process.lines()
    };
    let logged = |lines: &[String]| {
        let logged = |line: &&String| [" INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level));
        lines.iter().filter(logged).cloned().collect::<Vec<_>>()
    };
    let first = start();
    first.wait_for_line("the first admin was made");
    let lines = logged(&ends_with_lines(first));
    // The last one says that it drains.
    assert!(lines.len() <= 11, "{lines:#?}");
    let migrated: Vec<_> = lines.iter().filter(|line| line.contains("migrated")).collect();
    assert!(migrated.len() > 3, "{lines:#?}");
    for capability in ["users", "orders"] {
        assert_eq!(migrated.iter().filter(|line| line.contains(capability)).count(), 1, "{migrated:#?}");
    }
    let lines = logged(&ends_with_lines(start()));
    assert!(lines.len() <= 3, "{lines:#?}");
}

#[test]
fn the_page_at_the_root_says_what_this_is_and_where_to_go() {
    let scratch = Scratch::new("root-page");
    let mut command = essaim();
    command.args(["run", "--listen", "127.0.0.1:0", "--set", "gateway.home=http://127.0.0.1:8090/?a=1&b=2"]);
    command.args(["--set", "console.listen=127.0.0.1:0", "--data-dir"]).arg(scratch.path());
    let process = Process::start("essaim run", &mut command);
    let line = process.wait_for_line("listens http://");
    let port = line.split([':', ' ']).find_map(|part| part.parse::<u16>().ok()).expect("a port");
    let api = Api::at(port);
    let text = api.get("/").is(200);
    assert!(text.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{text:?}");
    let page = api.with("Accept", "text/html,application/xhtml+xml,*/*;q=0.8").get("/").is(200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
    for place in ["/docs/", "/openapi.json", "/status", "http://127.0.0.1:8090/"] {
        assert!(text.text.contains(place) && page.text.contains(place), "{place}: {}", text.text);
    }
    assert!(page.text.contains("?a=1&amp;b=2"), "what is configured is text: {}", page.text);
    for place in ["/docs/", "/openapi.json", "/status"] {
        api.get(place).is(200);
    }
}

#[test]
fn the_configuration_in_force_is_shown_with_where_each_value_comes_from() {
    let scratch = Scratch::new("config-show");
    let file = scratch.path().join("shop.toml");
    std::fs::write(
        &file,
        "[ask]\ntimeout_ms = 4000\n[auth.first_admin]\npassword = \"a-secret-one\"\n[nodes.a]\nhosts = [\"users\"]\n\
                           set = { \"ask.retry_percent\" = 5 }\n",
    )
    .expect("it can be written");
    let path = file.to_str().expect("it is text");
    let (code, all, _) = printed(&["config", "show", "--config", path, "--set", "store.durability=machine"]);
    assert_eq!(code, Some(0));
    let line =
        |text: &str, key: &str| text.lines().find(|l| l.split(' ').next() == Some(key)).unwrap_or_default().to_string();
    assert!(line(&all, "ask.timeout_ms").contains("4000") && line(&all, "ask.timeout_ms").contains(path), "{all}");
    assert!(line(&all, "store.durability").contains("--set"), "{all}");
    assert!(line(&all, "catalog.demo").contains("essaim run"), "{all}");
    assert!(line(&all, "members.lease_ms").contains("the built-in defaults"), "{all}");
    assert!(!all.contains("a-secret-one"), "{all}");
    let (_, changed, _) = printed(&["config", "show", "ask", "--config", path, "--node", "a", "--changed", "--json"]);
    let changed: Value = serde_json::from_str(&changed).expect("it is JSON");
    let keys: Vec<_> = changed.as_array().into_iter().flatten().map(|value| value["key"].clone()).collect();
    assert_eq!(keys, ["ask.retry_percent", "ask.timeout_ms"]);
    let (code, _, said) = printed(&["config", "show", "aks"]);
    assert_eq!((code, said.contains("`aks`")), (Some(65), true), "{said}");
    let (code, schema, _) = printed(&["config", "schema"]);
    let schema: Value = serde_json::from_str(&schema).expect("it is JSON");
    assert_eq!(
        (code, &schema["properties"]["ask"]["properties"]["timeout_ms"]["type"]),
        (Some(0), &Value::from("integer"))
    );
}

#[test]
fn a_stripped_binary_runs_with_its_symbols_beside_it() {
    let scratch = Scratch::new("stripped");
    let binary = scratch.path().join("essaim");
    std::fs::copy(env!("CARGO_BIN_EXE_essaim"), &binary).expect("it can be copied");
    let before = binary.metadata().expect("it is there").len();
    let split = Command::new(repository().join("scripts/split-symbols")).arg(&binary).status().expect("it starts");
    assert!(split.success());
    let after = binary.metadata().expect("it is there").len();
    assert!(after < before / 2, "{after} of {before} bytes");
    assert!(scratch.path().join("essaim.debug").is_file());
    let version = Command::new(&binary).arg("--version").output().expect("it starts");
    assert!(version.status.success(), "{version:?}");
}
