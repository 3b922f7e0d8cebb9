//! `essaim check`: what is wrong with configuration, databases, bridge and ask graph, on one page.
//!
//! # Layout
//!
//! - `plan`: the nodes, each with its configuration. `page`: what is printed.
//! - A file for each thing that is checked: `hosting`, `addresses`, `admin`, `asks`, `bridges`, `secrets`, `databases`, `connections`, `room`, `routes`,
//!   `exports`.

mod addresses;
mod admin;
mod asks;
mod bridges;
mod connections;
mod databases;
mod exports;
mod hosting;
mod page;
mod plan;
mod room;
mod routes;
mod secrets;

#[cfg(test)]
mod tests;

use essaim::exit::Fatal;
use essaim::{Roster, run as run_here};

use self::page::Page;
use super::{CheckArgs, Global};

/// Prints the page.
///
/// # Errors
/// If anything is wrong: the code is the first problem's.
pub fn run(roster: &Roster, global: &Global, check: &CheckArgs) -> Result<(), Fatal> {
    let topology = check.topology.as_deref().or(global.config.as_deref());
    let mut page = Page::default();
    let nodes = plan::plan(roster, global, topology, &mut page)?;
    hosting::check(roster, &nodes, &mut page);
    addresses::check(&nodes, &mut page);
    admin::check(&nodes, &mut page);
    routes::check(&crate::roster::routes(), &nodes, &mut page);
    room::check(roster, &nodes, &mut page);
    asks::check(roster, &nodes, &mut page);
    run_here(async {
        bridges::check(&nodes, &mut page).await;
        secrets::check(&nodes, &mut page);
        databases::check(roster, &nodes, &mut page).await;
        connections::check(roster, &nodes, &mut page).await;
        exports::check(&nodes, &mut page);
    });
    page::finish(page)
}
