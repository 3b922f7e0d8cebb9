//! Parameters in the path and in the query string.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::QueryPayloadError;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::Problem;
use crate::wording::reword;

/// The parameters of the path, such as `{id}`. What cannot be one names nothing: 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The parameters of the query string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T> Path<T> {
    /// The parameters.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Query<T> {
    /// The parameters.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Path<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Path<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let parameters = match web::Path::<T>::from_request(req, payload).into_inner() {
            Ok(parameters) if !holds_control(req.path()) => Ok(Self(parameters.into_inner())),
            _ => Err(Problem::not_found("Nothing has this path.")),
        };
        ready(parameters)
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(req))
    }
}

impl<T: DeserializeOwned> Query<T> {
    pub(crate) fn of(req: &HttpRequest) -> Result<Self, Problem> {
        if holds_control(req.query_string()) {
            return Err(Problem::bad_request("The query string must not hold control characters."));
        }
        web::Query::<T>::from_query(req.query_string()).map(|q| Self(q.into_inner())).map_err(|error| match error {
            QueryPayloadError::Deserialize(error) => {
                Problem::bad_request(format!("The query string: {}.", reword(&error.to_string())))
            }
            _ => Problem::bad_request("The query string is not valid."),
        })
    }
}

/// Whether percent-encoded text holds an ASCII control character; no name has one, and PostgreSQL cannot take U+0000.
fn holds_control(encoded: &str) -> bool {
    let mut rest = encoded;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if rest.starts_with(['0', '1']) || rest.get(..2).is_some_and(|h| h.eq_ignore_ascii_case("7f")) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        #[allow(dead_code)] // Only its form matters here.
        at_most: u32,
    }

    #[actix_web::test]
    async fn a_query_string_of_another_form_is_a_problem_400() {
        for (query, word) in [
            ("at_most=x", "query string"),
            ("", "missing field `at_most`"),
            ("at_most=1&b=2", "unknown field `b`"),
            ("at_most=%00", "control"),
        ] {
            let req = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
            let problem = Query::<Filter>::extract(&req).await.expect_err(query);
            assert_eq!(problem.status(), 400);
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }

    #[actix_web::test]
    async fn a_path_that_can_name_nothing_is_not_found() {
        for (value, fits) in [("12", true), ("x", false), ("-1", false)] {
            let req = TestRequest::default().param("id", value).to_http_request();
            assert_eq!(Path::<u32>::extract(&req).await.is_ok(), fits, "{value}");
        }
        let req = TestRequest::with_uri("/a%00b").param("id", "a%00b").to_http_request();
        assert_eq!(Path::<String>::extract(&req).await.expect_err("a control character").status(), 404);
    }
}
