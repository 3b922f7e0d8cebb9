//! Requests that schemathesis makes from the OpenAPI document; it knows nothing of the code.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::support::{Process, Signal, repository};

/// The script's exit code when the tool cannot be installed here.
const SKIPPED: i32 = 77;

#[test]
fn schemathesis_finds_nothing() {
    let binary = Path::new(env!("CARGO_BIN_EXE_essaim"));
    let target = binary.ancestors().nth(2).expect("binaries are in a profile's directory of the target directory");
    let mut command = Command::new(repository().join("scripts/schemathesis"));
    command.env("ESSAIM", binary).env("CARGO_TARGET_DIR", target);
    // Ended in order, so that it ends the node that it started.
    let mut process = Process::start_ended_by("schemathesis", &mut command, Signal::Term);
    match process.exit_code_after(5) {
        Some(SKIPPED) => {
            let why = process.lines().join(" ");
            // Directly to stderr, which is not captured: the output must show that this was not tested.
            let _ = writeln!(std::io::stderr(), "SKIPPED schemathesis_finds_nothing: {why}");
        }
        code => assert_eq!(code, Some(0), "{}", process.lines().join("\n")),
    }
}
