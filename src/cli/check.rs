//! `essaim check`: what is wrong, on one page.

use essaim_supervisor::Roster;
use essaim_supervisor::exit::Fatal;

use super::{CheckArgs, Global};
use crate::serve::wrong;

/// Checks the configuration of every node.
pub fn run(roster: &Roster, global: &Global, check: &CheckArgs) -> Result<(), Fatal> {
    let topology = check.topology.as_deref();
    let nodes = global.layers(roster, topology, None)?.nodes();
    for node in &nodes {
        global.layers(roster, topology, Some(node))?.resolve().map_err(wrong)?;
    }
    global.layers(roster, topology, None)?.resolve().map(drop).map_err(wrong)
}
