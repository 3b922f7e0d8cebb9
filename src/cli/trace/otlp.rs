//! A trace as spans of OpenTelemetry.

use essaim::exit::Fatal;
use essaim::trace::TraceTree;
use essaim::{Roster, otlp};

use crate::cli::{Global, print as printed};
use crate::serve::wrong;

/// Prints traces as one request of OTLP in JSON, with the attributes that this configuration gives resources.
///
/// # Errors
/// If the configuration is wrong.
pub fn print(roster: &Roster, global: &Global, traces: &[TraceTree]) -> Result<(), Fatal> {
    let config = global.layers(roster, None, None)?.resolve().map_err(wrong)?;
    printed::json(&otlp::of_trees(&config.settings.trace.otlp, traces));
    Ok(())
}
