//! The absence of OpenTelemetry, in a binary that was built without it.

use essaim::Roster;
use essaim::exit::{self, Fatal};
use essaim::trace::TraceTree;

use crate::cli::Global;

/// Refuses.
///
/// # Errors
/// Always.
pub fn print(_: &Roster, _: &Global, _: &[TraceTree]) -> Result<(), Fatal> {
    let why = "--otlp: this binary was built without the export of records; build it with the feature `otlp`";
    Err(Fatal::new(exit::USAGE, why))
}
