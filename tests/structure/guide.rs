//! The guide's code is the example's.

use super::source::Files;
use super::{Breach, finds, keep};

const GUIDE: &str = "docs/add-a-capability.md";

/// What the guide's first step makes of the example's text.
fn renamed(text: &str) -> String {
    text.replace("hello", "greetings").replace("Hello", "Greetings")
}

/// The fenced blocks of Rust in a document: the line each begins at, the text before it since the last block, and its own.
fn rust_blocks(text: &str) -> Vec<(usize, String, String)> {
    let (mut blocks, mut before, mut block) = (Vec::new(), String::new(), None);
    for (number, line) in text.lines().enumerate() {
        match &mut block {
            None if line == "```rust" => block = Some((number + 1, String::new())),
            None => before = before + line + "\n",
            Some((begin, code)) if line == "```" => {
                blocks.push((*begin, std::mem::take(&mut before), std::mem::take(code)));
                block = None;
            }
            Some((_, code)) => *code = std::mem::take(code) + line + "\n",
        }
    }
    blocks
}

fn code_that_is_not_the_examples(files: &Files) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for guide in files.all().filter(|f| f.path == GUIDE) {
        for (line, before, code) in rust_blocks(&guide.text) {
            let named = before.split('`').skip(1).step_by(2).filter(|t| t.starts_with("actors/greetings/"));
            let Some(path) = named.last() else {
                breaches.push(guide.breach(line, "the text before it names no file".to_string()));
                continue;
            };
            let original = path.replace("actors/greetings/", "examples/hello/");
            match files.get(&original) {
                None => breaches.push(guide.breach(line, format!("there is no `{original}`"))),
                Some(file) if renamed(&file.text).contains(&code) => {}
                Some(_) => breaches.push(guide.breach(line, format!("`{original}` has no such lines"))),
            }
        }
    }
    breaches
}

#[test]
fn the_code_of_the_guide_is_the_examples() {
    keep(code_that_is_not_the_examples, "a newcomer compares what the guide says with what they have");
}

#[test]
fn code_that_has_changed_in_the_example_is_found() {
    let example = "pub struct Hello;\nfn hello() {}\n";
    let guide = "In `actors/greetings/src/lib.rs`:\n```rust\npub struct Greetings;\n```\nIn `actors/greetings/src/lib.rs`:\n```rust\nfn greetings(more: u8) {}\n```\nNowhere:\n```rust\n```\n";
    let samples = [("examples/hello/src/lib.rs", example), (GUIDE, guide)];
    finds(code_that_is_not_the_examples, &samples, &["docs/add-a-capability.md:6", "docs/add-a-capability.md:10"]);
}
