//! Forbidden text in code, and lengths of files and functions.

use super::source::{Files, closing, line_of, names_in};
use super::{Breach, finds, keep};

/// Files that may be longer than [`MOST_LINES`], and why.
const LONG_FILES: &[(&str, &str)] = &[];

const MOST_LINES: usize = 420;
const MOST_LINES_OF_A_FUNCTION: usize = 80;

fn nothing_is_unsafe(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.rust() {
        let lines = file.code().filter(|(_, line)| names_in(line, "unsafe").next().is_some());
        breaches.extend(lines.map(|(number, _)| file.breach(number, "`unsafe`")));
    }
    for manifest in files.manifests() {
        let forbids = match manifest.path.as_str() {
            "Cargo.toml" => manifest.text.contains("unsafe_code = \"forbid\""),
            _ => manifest.text.contains("[lints]\nworkspace = true"),
        };
        if !forbids {
            breaches.push(manifest.breach(1, "does not forbid unsafe code through the workspace's lints"));
        }
    }
    breaches
}

#[test]
fn there_is_no_unsafe_code() {
    keep(nothing_is_unsafe, "memory errors must be impossible in what runs other people's requests");
}

#[test]
fn unsafe_code_and_a_crate_without_lints_are_found() {
    let samples = [
        ("a/src/lib.rs", "// unsafe\nlet s = \"unsafe\";\nunsafe { f() }"),
        ("a/Cargo.toml", "[lints]\nworkspace = true"),
        ("b/Cargo.toml", "[package]"),
    ];
    finds(nothing_is_unsafe, &samples, &["a/src/lib.rs:3", "b/Cargo.toml:1"]);
}

fn nothing_is_unwrapped(files: &Files) -> Vec<Breach> {
    forbidden(
        files,
        |_| true,
        &[".unwrap()", ".unwrap_err()"],
        "outside tests; say why it cannot be, or return an error",
    )
}

#[test]
fn nothing_is_unwrapped_without_a_reason() {
    keep(
        nothing_is_unwrapped,
        "what comes from outside may be anything; `expect` says why something cannot be otherwise",
    );
}

#[test]
fn an_unwrap_outside_tests_is_found() {
    let samples = [("a.rs", "a.unwrap_or(1);\nb.unwrap();\n#[cfg(test)]\nmod tests {\n    fn f() { c.unwrap(); }\n}")];
    finds(nothing_is_unwrapped, &samples, &["a.rs:2"]);
}

/// A log line's text is its field `message`; another one of that name would hide it in JSON.
fn log_lines_have_one_message(files: &Files) -> Vec<Breach> {
    let lines = files.rust().filter(|f| !f.is_test()).flat_map(|f| f.shipped().map(move |(n, line)| (f, n, line)));
    let events = lines.filter(|(_, _, line)| line.contains("tracing::") && line.contains("!("));
    let doubled = events.filter(|(_, _, line)| {
        let fields = line.split("!(").nth(1).unwrap_or_default();
        fields.split(',').any(|field| matches!(field.split('=').next().map(str::trim), Some("message" | "%message")))
    });
    doubled.map(|(file, line, _)| file.breach(line, "a field called `message`; call it `name`")).collect()
}

#[test]
fn what_a_log_line_says_is_its_only_message() {
    keep(log_lines_have_one_message, "in JSON a second `message` hides what the line says");
}

#[test]
fn a_second_message_in_a_log_line_is_found() {
    let text = "tracing::error!(message, %id, \"dead\");\ntracing::warn!(name, messages, \"b\");\ntracing::info!(message = x, \"c\");";
    finds(log_lines_have_one_message, &[("a.rs", text)], &["a.rs:1", "a.rs:3"]);
}

/// Clocks and generators that a simulation cannot pause or seed.
const AMBIENT: &[&str] = &[
    "SystemTime::now",
    "std::time::Instant",
    "Utc::now",
    "Local::now",
    "OffsetDateTime::now_utc",
    "Timestamp::now",
    "Zoned::now",
    "rand::rng",
    "thread_rng",
    "rand::random",
    "OsRng",
    "SysRng",
    "getrandom",
    "Uuid::new_v4",
    "Uuid::now_v7",
];

fn time_and_chance_come_from_env(files: &Files) -> Vec<Breach> {
    // Benchmarks measure by the machine's own clock.
    let elsewhere = |path: &str| path != "supervisor/base/src/env.rs" && !path.starts_with("bench/");
    forbidden(
        files,
        elsewhere,
        AMBIENT,
        "outside supervisor/base/src/env.rs; use `cx.env()`, `start.env()` or `client.env()`",
    )
}

#[test]
fn time_and_randomness_come_from_the_environment() {
    keep(
        time_and_chance_come_from_env,
        "with one source of time, ids and chance a whole topology can be simulated again from a seed",
    );
}

#[test]
fn ambient_time_and_randomness_are_found() {
    let text = "use tokio::time::Instant;\nlet a = std::time::SystemTime::now();\nuse std::time::{Duration, Instant};\nlet b = Uuid::now_v7();";
    let samples = [("supervisor/base/src/env.rs", text), ("supervisor/core/src/node/bus.rs", text)];
    let expected =
        ["supervisor/core/src/node/bus.rs:2", "supervisor/core/src/node/bus.rs:3", "supervisor/core/src/node/bus.rs:4"];
    finds(time_and_chance_come_from_env, &samples, &expected);
}

/// What makes a queue without a bound of its own.
const UNBOUNDED: &[&str] =
    &["unbounded_channel(", "unbounded_channel::<", "mpsc::unbounded(", "std::sync::mpsc::channel("];

/// Such a queue is fine where a comment right above says what bounds it: "Bounded by …".
fn queues_have_bounds(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.rust() {
        let lines: Vec<_> = file.text.lines().collect();
        for (number, line) in file.shipped() {
            let explained = lines[number.saturating_sub(4)..number].iter().any(|l| l.contains("Bounded by "));
            let found = UNBOUNDED.iter().find(|text| line.contains(**text) && !explained);
            breaches.extend(found.map(|text| file.breach(number, format!("`{text}` has no bound"))));
        }
    }
    breaches
}

#[test]
fn every_queue_has_a_bound() {
    keep(
        queues_have_bounds,
        "what has no bound takes all memory on the worst day: bounds are named and configured, and where something \
         else bounds a queue, a comment `Bounded by …` above it says what",
    );
}

#[test]
fn a_queue_without_a_bound_is_found() {
    let text = "let (a, b) = mpsc::channel(8);\nlet c = mpsc::unbounded_channel();\n\n\n\
                // Bounded by the permits of `host`.\nlet d = mpsc::unbounded_channel();";
    finds(queues_have_bounds, &[("a.rs", text)], &["a.rs:2"]);
}

/// Breaches for every shipped line that contains one of these texts.
fn forbidden(files: &Files, applies: impl Fn(&str) -> bool, texts: &[&str], why: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.rust().filter(|f| applies(&f.path)) {
        for (number, line) in file.shipped() {
            // `use std::time::{Duration, Instant}` names the same thing in another form.
            let grouped = line.contains("use std::time::{") && names_in(line, "Instant").next().is_some();
            let found = texts.iter().find(|text| line.contains(**text) || grouped && text.ends_with("time::Instant"));
            breaches.extend(found.map(|text| file.breach(number, format!("`{text}` {why}"))));
        }
    }
    breaches
}

fn files_are_small(files: &Files) -> Vec<Breach> {
    let explained = |path: &str| LONG_FILES.iter().any(|(long, _)| *long == path);
    let long = files.rust().filter(|f| !explained(&f.path)).map(|f| (f, f.text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > MOST_LINES);
    long.map(|(file, lines)| file.breach(lines, format!("{lines} lines are more than {MOST_LINES}"))).collect()
}

#[test]
fn files_are_read_in_one_go() {
    keep(files_are_small, "a file holds one idea; a long one holds several, or needs a reason in LONG_FILES");
}

#[test]
fn a_long_file_is_found() {
    let long = "\n".repeat(MOST_LINES + 1);
    finds(files_are_small, &[("a.rs", "\n"), ("b.rs", &long)], &[&format!("b.rs:{}", MOST_LINES + 1)]);
}

fn functions_are_small(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.rust() {
        let code = file.shipped_text();
        for at in names_in(code, "fn") {
            let signature = &code[at..];
            let Some(open) = body_of(signature) else { continue };
            let Some(end) = closing(signature, open) else { continue };
            let lines = signature[..end].matches('\n').count() + 1;
            if lines > MOST_LINES_OF_A_FUNCTION {
                breaches.push(file.breach(line_of(code, at), format!("a function of {lines} lines")));
            }
        }
    }
    breaches
}

/// Where the body of a function begins; nowhere if it has none, or if this is a function's type.
fn body_of(signature: &str) -> Option<usize> {
    let arguments = signature.find('(')?;
    if signature[2..arguments].trim().is_empty() {
        return None;
    }
    let behind = closing(signature, arguments)?;
    let end = behind + signature[behind..].find(['{', ';'])?;
    signature[end..].starts_with('{').then_some(end)
}

#[test]
fn functions_are_read_in_one_go() {
    keep(functions_are_small, "a function does one thing, and fits on a screen");
}

#[test]
fn a_long_function_is_found() {
    let body = "    x();\n".repeat(MOST_LINES_OF_A_FUNCTION);
    let text = format!("type F = fn(u8);\nfn small(f: fn(u8)) {{}}\n\npub async fn large() -> u8 {{\n{body}}}\n");
    finds(functions_are_small, &[("a.rs", &text)], &["a.rs:4"]);
}
