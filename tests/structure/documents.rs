//! Configuration, guides and the commands they name.

use std::collections::BTreeSet;

use super::source::{File, Files};
use super::{Breach, finds, keep};

fn every_key_is_explained(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files.all().filter(|f| f.path == "config/default.toml") {
        let mut explained = false;
        for (number, line) in file.lines() {
            let line = line.trim();
            if line.starts_with('#') {
                explained = line.trim_matches(['#', ' ']).len() > 3;
            } else if line.starts_with('[') || line.is_empty() {
                explained = false;
            } else if let Some((key, _)) = line.split_once('=') {
                if !explained {
                    breaches.push(file.breach(number, format!("`{}` has no comment above it", key.trim())));
                }
                explained = false;
            }
        }
    }
    breaches
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    keep(every_key_is_explained, "config/default.toml is the manual: a comment above each key gives unit and meaning");
}

#[test]
fn a_key_without_a_comment_is_found() {
    let text = "# About this section.\n\n[ask]\n# How long, in milliseconds.\ntimeout_ms = 1\nretries = 2\n[wire]\nbytes = 3\n";
    finds(
        every_key_is_explained,
        &[("config/default.toml", text)],
        &["config/default.toml:6", "config/default.toml:8"],
    );
}

/// Places that exist on one machine only.
const PLACES: &[&str] = &["/root/", "/home/", "/Users/"];

fn no_file_names_a_machine(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    // This file names them to find them.
    for file in files.all().filter(|f| f.path != "tests/structure/documents.rs") {
        for (number, line) in file.lines() {
            let found = PLACES.iter().find(|place| line.contains(**place));
            breaches.extend(found.map(|place| file.breach(number, format!("`{place}`"))));
        }
    }
    breaches
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    keep(no_file_names_a_machine, "what works on one machine only is not documentation, and not configuration");
}

#[test]
fn a_path_of_one_machine_is_found() {
    let samples = [("docs/a.md", "see `docs/b.md`\nrun it in /home/me/essaim")];
    finds(no_file_names_a_machine, &samples, &["docs/a.md:2"]);
}

fn commands_exist(files: &Files) -> Vec<Breach> {
    let makefile = files.get("Makefile").map_or("", |f| &f.text);
    let is_target = |target: &str| makefile.lines().any(|l| l.split(':').next() == Some(target) && l.contains(':'));
    let mut breaches = Vec::new();
    for file in files.named(".md") {
        let mut fenced = false;
        for (number, line) in file.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            for command in commands_in(line, fenced) {
                let mut words = command.split_whitespace();
                if words.next() != Some("make") {
                    continue;
                }
                // What `make` is told beside targets: options and variables.
                let targets = words.take_while(|w| !w.starts_with(['#', '&', '|', ';'])).filter(|w| !w.contains('='));
                let missing = targets.filter(|w| !w.starts_with('-') && !is_target(w));
                breaches.extend(missing.map(|target| file.breach(number, format!("the Makefile has no `{target}`"))));
            }
        }
    }
    breaches
}

/// The shell commands of a line: all of it in a fenced block, what stands between backticks elsewhere.
fn commands_in(line: &str, fenced: bool) -> Vec<&str> {
    match fenced {
        true => line.trim_start().trim_start_matches("$ ").split("&&").collect(),
        false => line.split('`').skip(1).step_by(2).collect(),
    }
}

#[test]
fn the_commands_of_the_guides_exist() {
    keep(commands_exist, "a newcomer types what the guides say");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let guide =
        "Try `make run` or `make fly`.\n```sh\nmake run PORT=1 # and wait\ncd x && make swim\n```\nWe make things.\n";
    let samples = [("Makefile", "run: build\n\tcargo run\n"), ("README.md", guide)];
    finds(commands_exist, &samples, &["README.md:1", "README.md:4"]);
}

/// The documents that name files of the source: the two at the root, and each decision.
fn maps(files: &Files) -> impl Iterator<Item = &File> {
    files
        .named(".md")
        .filter(|f| f.path == "ARCHITECTURE.md" || f.path == "README.md" || f.path.starts_with("docs/decisions/"))
}

/// The words between backticks in a line that look like a file or a directory: `src/main.rs`, `docs/`, `group.rs`.
fn paths_in(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|word| {
        let named = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) && !word.starts_with('/');
        let endings = if word.contains('/') { [".rs", ".toml", ".md", "/"].as_slice() } else { [".rs"].as_slice() };
        named && endings.iter().any(|ending| word.ends_with(ending))
    })
}

fn paths_exist(files: &Files) -> Vec<Breach> {
    // A file that is named without its directory may be in any.
    let exists = |path: &str| match path.contains('/') {
        true => files.holds(path),
        false => files.all().any(|f| f.path.rsplit('/').next() == Some(path)),
    };
    let mut breaches = Vec::new();
    for file in maps(files) {
        for (number, line) in file.lines() {
            let missing = paths_in(line).filter(|path| !exists(path));
            breaches.extend(missing.map(|path| file.breach(number, format!("there is no `{path}`"))));
        }
    }
    breaches
}

#[test]
fn the_paths_of_the_code_map_exist() {
    keep(paths_exist, "a map that leads nowhere is worse than none");
}

#[test]
fn a_path_that_does_not_exist_is_found() {
    let map = "`src/main.rs` and `docs/`, then `src/gone.rs`, `/livez`, `a/b`\n`actors/none/`\n`main.rs`, `gone.rs`";
    let samples = [
        ("ARCHITECTURE.md", map),
        ("docs/decisions/x.md", "Why: `main.rs`.\nWhere: `gone.rs`, `src/gone.rs`."),
        ("docs/x.md", "`src/gone.rs`"),
        ("src/main.rs", ""),
    ];
    let expected = [
        "ARCHITECTURE.md:1",
        "ARCHITECTURE.md:2",
        "ARCHITECTURE.md:3",
        "docs/decisions/x.md:2",
        "docs/decisions/x.md:2",
    ];
    finds(paths_exist, &samples, &expected);
}

/// The index of the decisions has a link to each of them, and to nothing else.
fn decisions_are_listed(files: &Files) -> Vec<Breach> {
    let Some(index) = files.get("docs/decisions/README.md") else { return Vec::new() };
    let mut breaches = Vec::new();
    let mut listed = BTreeSet::new();
    for (number, line) in index.lines() {
        let links = line.split("](").skip(1).filter_map(|after| after.split_once(')')).map(|(link, _)| link);
        for link in links {
            listed.insert(link);
            if files.get(&format!("docs/decisions/{link}")).is_none() {
                breaches.push(index.breach(number, format!("there is no `{link}`")));
            }
        }
    }
    for file in files.all() {
        let Some(name) = file.path.strip_prefix("docs/decisions/").filter(|name| *name != "README.md") else {
            continue;
        };
        if !listed.contains(name) {
            breaches.push(file.breach(1, "docs/decisions/README.md has no link to it"));
        }
    }
    breaches
}

#[test]
fn every_decision_is_in_the_index() {
    keep(decisions_are_listed, "a decision is found by its line in docs/decisions/README.md");
}

#[test]
fn a_decision_that_is_not_listed_is_found() {
    let samples = [
        ("docs/decisions/README.md", "# Decisions\n- [a](a.md): yes\n- [b](b.md): no"),
        ("docs/decisions/a.md", "# A"),
        ("docs/decisions/c.md", "# C"),
    ];
    finds(decisions_are_listed, &samples, &["docs/decisions/README.md:3", "docs/decisions/c.md:1"]);
}

/// The table of faults names tests: between backticks, as functions are called.
fn named_tests_exist(files: &Files) -> Vec<Breach> {
    let is_name =
        |word: &str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c));
    let functions: BTreeSet<&str> = files
        .rust()
        .flat_map(|f| f.text.split("fn ").skip(1))
        .filter_map(|after| after.split(['(', '<']).next())
        .collect();
    let mut breaches = Vec::new();
    for file in files.all().filter(|f| f.path == "docs/faults.md") {
        for (number, line) in file.lines() {
            let names = line.split('`').skip(1).step_by(2).filter(|word| is_name(word));
            let missing = names.filter(|name| !functions.contains(name));
            breaches.extend(missing.map(|name| file.breach(number, format!("there is no test `{name}`"))));
        }
    }
    breaches
}

#[test]
fn the_tests_of_the_table_of_faults_exist() {
    keep(named_tests_exist, "a promise whose test is gone is not kept by anybody");
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let samples = [
        ("docs/faults.md", "| flushed | `is_restored`, `essaim dead` |\n| full | `is_said_once` |"),
        ("tests/a.rs", "#[test]\nfn is_restored() {}\n"),
    ];
    finds(named_tests_exist, &samples, &["docs/faults.md:2"]);
}
