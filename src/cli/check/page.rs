//! The page that `essaim check` prints, and what is wrong.

use std::fmt::Write;

use essaim::exit::Fatal;

use crate::cli::mark::{doubtful, wrong};
use crate::cli::print;

/// The page, and what is wrong.
#[derive(Default)]
pub struct Page {
    pub text: String,
    pub problems: Vec<Fatal>,
    pub warnings: Vec<String>,
    /// Whether there are nodes of which nothing is known, since their configuration is wrong.
    pub is_partial: bool,
}

impl Page {
    pub fn title(&mut self, title: &str) {
        self.line(title);
    }

    pub fn entry(&mut self, entry: &str) {
        self.line(&format!("  {entry}"));
    }

    pub fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    pub fn problem(&mut self, code: u8, what: impl Into<String>) {
        self.problems.push(Fatal::new(code, what));
    }

    /// A problem that several nodes may have: one mistake in what they share is one problem.
    pub fn shared_problem(&mut self, problem: Fatal) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// Prints the page.
///
/// # Errors
/// If anything is wrong: the code is the first problem's.
pub fn finish(mut page: Page) -> Result<(), Fatal> {
    for (title, lines) in [
        (doubtful("Warnings"), page.warnings.clone()),
        (wrong("Problems"), page.problems.iter().map(|p| p.reason.clone()).collect()),
    ] {
        if !lines.is_empty() {
            page.title(&title);
        }
        for line in lines {
            page.entry(&line);
        }
    }
    if page.problems.is_empty() {
        page.line("Nothing is wrong.");
    }
    print::page(&page.text);
    match page.problems.len() {
        0 => Ok(()),
        1 => Err(Fatal::new(page.problems[0].code, "1 problem; see above")),
        count => Err(Fatal::new(page.problems[0].code, format!("{count} problems; see above"))),
    }
}
