//! The export of message records.

use essaim::check_export;
use essaim::exit::{self, Fatal};

use super::page::Page;
use super::plan::Planned;

/// Whether records can be exported as configured; the receiver itself is not asked, since a node starts without it.
pub fn check(nodes: &[Planned], page: &mut Page) {
    for node in nodes {
        if let Err(error) = check_export(&node.config.settings.trace.otlp) {
            page.shared_problem(Fatal::new(exit::CONFIG, error.to_string()));
        }
    }
}
