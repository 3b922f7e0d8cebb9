//! The capabilities compiled into this binary. The only file that names implementations.

use essaim::{Roster, StartError};
use essaim_http::RouteSet;

/// All of them, with what they are provided with.
pub fn roster() -> Roster {
    Roster::new()
        .host::<essaim_users::UsersActor>()
        .host::<essaim_auth::AuthActor>()
        .host::<essaim_catalog::CatalogActor>()
        .host::<essaim_orders::OrdersActor>()
        .host::<essaim_cache::CacheActor>()
        .host::<essaim_console::ConsoleActor>()
        .host::<essaim_gateway::GatewayActor>()
        .provide(routes())
}

/// Checks that no two capabilities have the same route, as a start of the gateway would.
pub fn check_routes(routes: &RouteSet) -> Result<(), StartError> {
    essaim_gateway::check_routes(routes)
}

/// The routes of all of them.
pub fn routes() -> RouteSet {
    RouteSet::new([
        essaim_users::http::routes(),
        essaim_auth::http::routes(),
        essaim_catalog::http::routes(),
        essaim_orders::http::routes(),
    ])
}
