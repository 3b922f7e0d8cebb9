//! What a capability hands to the gateway.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, Responder};
use utoipa::openapi::OpenApi;

/// The HTTP routes of one capability. They use contracts and a client only, so they run in any gateway, wherever the
/// capability itself is hosted.
#[derive(Clone, Copy)]
pub struct Routes {
    /// The capability's name.
    pub name: &'static str,
    /// Registers the routes, under absolute paths.
    pub configure: fn(&mut RouteConfig),
    /// Describes the routes and their schemas.
    pub openapi: fn() -> OpenApi,
}

/// What registers one route with a server.
type Mount = Box<dyn FnOnce(&mut ServiceConfig)>;

/// The routes of a capability while it registers them. Each is known by method and path, so that no two capabilities take the same one.
#[derive(Default)]
pub struct RouteConfig {
    declared: Vec<(Method, String)>,
    mounts: Vec<Mount>,
}

impl RouteConfig {
    /// Has a handler answer GET, and HEAD, at a path.
    pub fn get<F: Handler<Args>, Args>(&mut self, path: &str, handler: F) -> &mut Self
    where
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(Method::GET, path, handler)
    }

    /// Has a handler answer POST at a path.
    pub fn post<F: Handler<Args>, Args>(&mut self, path: &str, handler: F) -> &mut Self
    where
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(Method::POST, path, handler)
    }

    /// Has a handler answer PUT at a path.
    pub fn put<F: Handler<Args>, Args>(&mut self, path: &str, handler: F) -> &mut Self
    where
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(Method::PUT, path, handler)
    }

    /// Has a handler answer PATCH at a path.
    pub fn patch<F: Handler<Args>, Args>(&mut self, path: &str, handler: F) -> &mut Self
    where
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(Method::PATCH, path, handler)
    }

    /// Has a handler answer DELETE at a path.
    pub fn delete<F: Handler<Args>, Args>(&mut self, path: &str, handler: F) -> &mut Self
    where
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(Method::DELETE, path, handler)
    }

    /// Has a handler answer a method at a path.
    pub fn route<F: Handler<Args>, Args>(&mut self, method: Method, path: &str, handler: F) -> &mut Self
    where
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.declared.push((method.clone(), path.into()));
        let path = path.to_string();
        self.mounts.push(Box::new(move |config| {
            config.route(&path, web::method(method).to(handler));
        }));
        self
    }

    /// Registers them with a server.
    pub fn mount(self, config: &mut ServiceConfig) {
        self.mounts.into_iter().for_each(|mount| mount(config));
    }
}

impl Routes {
    /// Registers the routes with a server.
    pub fn mount(&self, config: &mut ServiceConfig) {
        self.registered().mount(config);
    }

    fn registered(&self) -> RouteConfig {
        let mut config = RouteConfig::default();
        (self.configure)(&mut config);
        config
    }
}

/// The routes of all capabilities of a roster; the gateway mounts them.
#[derive(Clone, Default)]
pub struct RouteSet(Vec<Routes>);

/// Two capabilities have the same route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{first}` and `{second}` both answer {method} {path}: give one of them another path")]
pub struct RouteConflict {
    /// Who has it.
    pub first: String,
    /// Who declares it too.
    pub second: String,
    /// The method.
    pub method: Method,
    /// The path, as the second one writes it.
    pub path: String,
}

impl RouteSet {
    /// A set of these routes.
    pub fn new(routes: impl IntoIterator<Item = Routes>) -> Self {
        Self(routes.into_iter().collect())
    }

    /// The routes, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Routes> {
        self.0.iter()
    }

    /// Checks that each route has one capability, described or not; `own` are those of the gateway itself, which answer GET. The names of
    /// parameters make no difference: `/users/{id}` is `/users/{name}`.
    ///
    /// # Errors
    /// The first route that two declare.
    pub fn check(&self, own: &[&str]) -> Result<(), RouteConflict> {
        let mut known: BTreeMap<(String, String), &str> = BTreeMap::new();
        for path in own {
            known.insert((Method::GET.to_string(), unnamed(path)), "gateway");
        }
        for routes in self.iter() {
            for (method, path) in routes.registered().declared {
                if let Some(first) = known.insert((method.to_string(), unnamed(&path)), routes.name) {
                    return Err(RouteConflict { first: first.into(), second: routes.name.into(), method, path });
                }
            }
        }
        Ok(())
    }
}

/// A path whose parameters have no names; what they may be (`{id:\\d+}`) stays.
fn unnamed(path: &str) -> String {
    let mut parts = path.split('{');
    let before = parts.next().unwrap_or_default().to_string();
    parts.fold(before, |unnamed, part| {
        let name = part.find([':', '}']).unwrap_or(0);
        format!("{unnamed}{{{}", &part[name..])
    })
}

impl FromIterator<Routes> for RouteSet {
    fn from_iter<I: IntoIterator<Item = Routes>>(routes: I) -> Self {
        Self::new(routes)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::HttpResponse;

    use super::*;

    fn told(first: fn(&mut RouteConfig), second: fn(&mut RouteConfig)) -> String {
        let of = |name, configure| Routes { name, configure, openapi: OpenApi::default };
        let routes = RouteSet::new([of("users", first), of("shop", second)]);
        routes.check(&["/livez"]).err().map(|conflict| conflict.to_string()).unwrap_or_default()
    }

    async fn ok() -> HttpResponse {
        HttpResponse::Ok().finish()
    }

    fn nothing(_: &mut RouteConfig) {}

    fn order(config: &mut RouteConfig) {
        config.get("/users/{id}/orders/{order:[0-9]+}", ok);
    }

    fn order_by_number(config: &mut RouteConfig) {
        config.get("/users/{user}/orders/{number:[0-9]+}", ok);
    }

    fn another_method_and_paths(config: &mut RouteConfig) {
        config.post("/users/{id}/orders/{order:[0-9]+}", ok).get("/users/me/orders/{order:[0-9]+}", ok);
        config.get("/users/{id}/orders/{order}", ok);
    }

    fn probe(config: &mut RouteConfig) {
        config.get("/livez", ok);
    }

    fn twice(config: &mut RouteConfig) {
        config.put("/a", ok).put("/a", ok);
    }

    #[test]
    fn a_route_that_two_capabilities_declare_is_found_whatever_its_parameters_are_called() {
        let both = |names: &str, route: &str| format!("{names} both answer {route}: give one of them another path");
        let route = "GET /users/{user}/orders/{number:[0-9]+}";
        assert_eq!(told(order, order_by_number), both("`users` and `shop`", route));
        assert_eq!(told(order, another_method_and_paths), "");
        assert_eq!(told(probe, nothing), both("`gateway` and `users`", "GET /livez"));
        assert_eq!(told(twice, nothing), both("`users` and `users`", "PUT /a"));
    }
}
