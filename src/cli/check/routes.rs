//! The routes that the gateway is to mount.

use essaim::exit;
use essaim_http::RouteSet;

use super::page::Page;
use super::plan::Planned;

/// Checks that each route has one capability, as a start of the gateway would.
pub fn check(routes: &RouteSet, nodes: &[Planned], page: &mut Page) {
    let has_gateway = nodes.iter().any(|node| node.hosts.iter().any(|host| host == "gateway"));
    if has_gateway && let Err(conflict) = crate::roster::check_routes(routes) {
        page.problem(exit::GIVEN_UP, format!("the gateway: {conflict}"));
    }
}
