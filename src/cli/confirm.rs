//! Confirmation at the terminal before something is lost.

use std::io::{IsTerminal, Write, stderr, stdin};

use essaim::exit::{self, Fatal};

/// Whether the command goes on: the user at the terminal confirms, or `--yes` was given.
///
/// # Errors
/// If there is no terminal to ask at.
pub fn confirm(question: &str, yes: bool) -> Result<bool, Fatal> {
    if yes {
        return Ok(true);
    }
    if !stdin().is_terminal() {
        let what = format!("{question} There is no terminal to ask at, so nothing was done: say --yes if it should be");
        return Err(Fatal::new(exit::USAGE, what));
    }
    let _ = write!(stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let agreed = stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    if !agreed {
        super::print::line("nothing was done");
    }
    Ok(agreed)
}
