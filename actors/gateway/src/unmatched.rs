//! What no route takes: there is no such path, or it does not have the method.

use std::collections::BTreeSet;

use actix_web::dev::ResourceDef;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use essaim_http::Problem;
use utoipa::openapi::{OpenApi, PathItem};

use crate::front::Front;

/// Which path has which methods, as the document says.
pub(crate) struct Methods(Vec<(ResourceDef, BTreeSet<&'static str>)>);

impl Methods {
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        Self(paths.map(|(path, item)| (ResourceDef::new(path.as_str()), methods_of(item))).collect())
    }

    /// The methods that a path has; none if there is no such path.
    fn at(&self, path: &str) -> BTreeSet<&'static str> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.is_match(path));
        matching.flat_map(|(_, methods)| methods.iter().copied()).collect()
    }
}

fn methods_of(item: &PathItem) -> BTreeSet<&'static str> {
    let all = [
        ("GET", &item.get),
        ("HEAD", &item.get),
        ("PUT", &item.put),
        ("POST", &item.post),
        ("DELETE", &item.delete),
        ("PATCH", &item.patch),
    ];
    all.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method).collect()
}

/// Why no route takes a request: 405 with `Allow` if the path has other methods, else 404.
pub(crate) fn problem(front: &Front, path: &str, method: &Method) -> Problem {
    let methods: Vec<_> = front.document.methods.at(path).into_iter().collect();
    let allow = methods.join(", ");
    match HeaderValue::try_from(&allow) {
        Ok(value) if !methods.is_empty() => {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here")
                .detail(format!("This path does not answer {method}; it answers {allow}."))
                .header(header::ALLOW, value)
        }
        _ => Problem::not_found("Nothing has this path."),
    }
}
