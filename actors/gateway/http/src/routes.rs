//! What a capability hands to the gateway.

use actix_web::web::ServiceConfig;
use utoipa::openapi::OpenApi;

/// The HTTP routes of one capability. They use contracts and a client only, so they run in any gateway, wherever the
/// capability itself is hosted.
#[derive(Clone, Copy)]
pub struct Routes {
    /// The capability's name.
    pub name: &'static str,
    /// Registers the routes, under absolute paths.
    pub configure: fn(&mut ServiceConfig),
    /// Describes the routes and their schemas.
    pub openapi: fn() -> OpenApi,
}

/// The routes of all capabilities of a roster; the gateway mounts them.
#[derive(Clone, Default)]
pub struct RouteSet(Vec<Routes>);

impl RouteSet {
    /// A set of these routes.
    pub fn new(routes: impl IntoIterator<Item = Routes>) -> Self {
        Self(routes.into_iter().collect())
    }

    /// The routes, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Routes> {
        self.0.iter()
    }
}

impl FromIterator<Routes> for RouteSet {
    fn from_iter<I: IntoIterator<Item = Routes>>(routes: I) -> Self {
        Self::new(routes)
    }
}
