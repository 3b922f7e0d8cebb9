//! The OpenAPI document: what the capabilities say about their routes, joined and completed.
//!
//! Each operation is given what the gateway adds to it: the errors that any operation may end with, and the content of
//! every error that has none.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use essaim::{StartError, exit};
use essaim_http::{Problem, RouteSet};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Response};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};

use crate::pages;
use crate::unmatched::Methods;

const BEARER: &str = "bearer";

/// The document in the form in which it is served, and what else is known from it.
pub(crate) struct Document {
    pub json: Bytes,
    pub methods: Methods,
}

impl Document {
    /// The document of these routes and of the gateway's own.
    ///
    /// # Errors
    /// If two capabilities declare the same route or describe the same path, or different schemas under one name.
    pub fn of(routes: &RouteSet) -> Result<Self, StartError> {
        routes.check(pages::PATHS).map_err(wrong_code)?;
        let document = assemble(routes)?;
        let json = document.to_json().map_err(wrong_code)?;
        Ok(Self { json: json.into(), methods: Methods::of(&document) })
    }
}

fn assemble(routes: &RouteSet) -> Result<OpenApi, StartError> {
    let info = InfoBuilder::new()
        .title("Essaim")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("All errors are problem details (RFC 9457) and name the trace in which they happened."))
        .build();
    let mut document = OpenApiBuilder::new().info(info).components(Some(components())).build();
    add(&mut document, "gateway", pages::Doc::openapi())?;
    for capability in routes.iter() {
        add(&mut document, capability.name, (capability.openapi)())?;
    }
    document.paths.paths.values_mut().flat_map(operations).for_each(complete);
    Ok(document)
}

fn components() -> Components {
    let mut components = Components::new();
    components.schemas.insert(Problem::name().into(), Problem::schema());
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.bearer_format = Some("JWT".into());
    scheme.description = Some("The `access_token` of `POST /auth/login`.".into());
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    components
}

/// Adds what one capability says; its operations are named after it, so that names do not collide.
fn add(document: &mut OpenApi, name: &str, part: OpenApi) -> Result<(), StartError> {
    let (paths, schemas) = (part.paths.paths, part.components.unwrap_or_default().schemas);
    for (path, mut item) in paths {
        for operation in operations(&mut item) {
            operation.tags = Some(vec![name.to_string()]);
            operation.operation_id = operation.operation_id.take().map(|id| format!("{name}_{id}"));
        }
        let known = document.paths.paths.entry(path.clone()).or_default();
        if overlaps(known, &item) {
            return Err(wrong_code(format_args!("`{name}` describes an operation of {path} that another has")));
        }
        merge(known, item);
    }
    let components = document.components.get_or_insert_default();
    for (schema_name, schema) in schemas {
        let known = components.schemas.entry(schema_name.clone()).or_insert_with(|| schema.clone());
        if *known != schema {
            return Err(wrong_code(format_args!(
                "`{name}` and another capability describe different schemas called `{schema_name}`"
            )));
        }
    }
    Ok(())
}

/// The code is wrong, not the circumstances: trying again mends nothing.
fn wrong_code(reason: impl ToString) -> StartError {
    StartError::fatal(exit::GIVEN_UP, reason)
}

fn operations(item: &mut PathItem) -> Vec<&mut Operation> {
    let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    all.into_iter().filter_map(Option::as_mut).collect()
}

fn overlaps(a: &PathItem, b: &PathItem) -> bool {
    let slots = |i: &PathItem| [&i.get, &i.put, &i.post, &i.delete, &i.patch].map(Option::is_some);
    slots(a).iter().zip(slots(b)).any(|(a, b)| *a && b)
}

fn merge(into: &mut PathItem, from: PathItem) {
    into.get = into.get.take().or(from.get);
    into.put = into.put.take().or(from.put);
    into.post = into.post.take().or(from.post);
    into.delete = into.delete.take().or(from.delete);
    into.patch = into.patch.take().or(from.patch);
}

/// Adds the errors that the operation may end with, and the content of all errors.
fn complete(operation: &mut Operation) {
    let takes_input = operation.parameters.as_ref().is_some_and(|p| !p.is_empty());
    let body = operation.request_body.is_some();
    let secured = operation.security.as_ref().is_some_and(|s| !s.is_empty());
    let common = [
        ("400", takes_input || body, "The request cannot be understood"),
        ("401", secured, "Authentication is needed"),
        ("413", body, "The body is too large"),
        ("415", body, "The type of the body is not supported"),
        ("422", body, "The content is not acceptable"),
        ("429", true, "Too many requests"),
        ("500", true, "Something went wrong inside; the detail says whether anything was changed"),
        ("503", true, "Not available at the moment; nothing was changed"),
        ("504", true, "It is not known whether the request took effect"),
    ];
    let responses = &mut operation.responses.responses;
    for (status, _, description) in common.into_iter().filter(|(_, applies, _)| *applies) {
        let response = || RefOr::T(Response::new(description));
        responses.entry(status.to_string()).or_insert_with(response);
    }
    give_content(responses);
}

/// Gives errors the content of a problem, and every response a description, which OpenAPI demands.
fn give_content(responses: &mut BTreeMap<String, RefOr<Response>>) {
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            let code = status.parse().ok().and_then(|c| StatusCode::from_u16(c).ok());
            response.description = code.and_then(|c| c.canonical_reason()).unwrap_or("The response").into();
        }
        if status.starts_with(['4', '5']) {
            let schema = Ref::from_schema_name(Problem::name());
            response.content.clear();
            response.content.insert(Problem::MEDIA_TYPE.into(), RefOr::T(Content::new(Some(schema))));
        }
    }
}

#[cfg(test)]
mod tests {
    use essaim_http::Routes;
    use utoipa::openapi::{HttpMethod, ObjectBuilder, PathsBuilder};

    use super::*;

    fn thing(description: &str) -> OpenApi {
        let schema = ObjectBuilder::new().description(Some(description)).build();
        let mut components = Components::new();
        components.schemas.insert("Thing".into(), RefOr::T(schema.into()));
        OpenApiBuilder::new().components(Some(components)).build()
    }

    fn things(path: &str) -> OpenApi {
        let paths = PathsBuilder::new().path(path, PathItem::new(HttpMethod::Get, Operation::new())).build();
        OpenApiBuilder::new().paths(paths).build()
    }

    fn error(a: fn() -> OpenApi, b: fn() -> OpenApi) -> Option<String> {
        let routes = [("a", a), ("b", b)].map(|(name, openapi)| Routes { name, configure: |_| {}, openapi });
        Document::of(&RouteSet::new(routes)).err().map(|e| e.to_string())
    }

    #[test]
    fn capabilities_that_describe_the_same_differently_are_refused() {
        assert_eq!(error(|| thing("one"), || thing("one")), None);
        assert!(error(|| thing("one"), || thing("another")).is_some_and(|e| e.contains("`Thing`")));
        assert_eq!(error(|| things("/a"), || things("/b")), None);
        assert!(error(|| things("/a"), || things("/a")).is_some_and(|e| e.contains("/a")));
        assert!(error(|| things("/livez"), || things("/b")).is_some_and(|e| e.contains("/livez")));
    }
}
