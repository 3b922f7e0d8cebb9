//! Lists in pages.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Problem, Query};

const DEFAULT_LIMIT: u32 = 20;
const LARGEST_LIMIT: u32 = 100;
const LIMIT_RANGE: &str = "`limit` is a whole number from 1 to 100";

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The most items of the page.
    #[serde(default, deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before; absent for the first page. It is the id of that page's last item.
    #[serde(default)]
    #[param(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    pub cursor: Option<String>,
}

impl Page {
    /// The most items of the page: 20 if the request does not say.
    ///
    /// # Errors
    /// 400 if it is not from 1 to 100.
    pub fn limit(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=LARGEST_LIMIT => Ok(limit),
            _ => Err(Problem::bad_request(format!("{LIMIT_RANGE}."))),
        }
    }
}

impl FromRequest for Page {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Query::<Self>::of(req).map(Query::into_inner).and_then(|page| match &page.cursor {
            Some(cursor) if !is_id(cursor) => Err(Problem::bad_request("`cursor` is not one of ours.")),
            _ => page.limit().map(|_| page),
        }))
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// Whether this is an id as the platform writes them: a UUID in lower case with hyphens.
fn is_id(text: &str) -> bool {
    let hyphen = |i: usize| matches!(i, 8 | 13 | 18 | 23);
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 36 && text.bytes().enumerate().all(|(i, b)| if hyphen(i) { b == b'-' } else { digit(b) })
}

/// Reads the limit in words of our own, from text and from numbers alike.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| serde::de::Error::custom(LIMIT_RANGE))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const ID: &str = "01900000-0000-7000-8000-00000000000a";

    async fn page(query: &str) -> Result<Page, u16> {
        let req = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        Page::extract(&req).await.map_err(|p| p.status().as_u16())
    }

    #[actix_web::test]
    async fn a_page_has_20_items_unless_the_request_says_otherwise() {
        assert_eq!(page("").await.unwrap().limit().unwrap(), 20);
        let given = page(&format!("limit=100&cursor={ID}")).await.unwrap();
        assert_eq!((given.limit().unwrap(), given.cursor.as_deref()), (100, Some(ID)));
    }

    #[actix_web::test]
    async fn limits_and_parameters_out_of_bounds_are_refused() {
        let upper = format!("cursor={}", ID.to_uppercase());
        for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=99999999999", "limits=3", "cursor=", &upper]
        {
            assert_eq!(page(query).await, Err(400), "{query}");
        }
        assert!(Page { limit: Some(0), cursor: None }.limit().is_err());
    }

    #[test]
    fn the_last_page_has_no_next_cursor() {
        let last = Listing { items: vec![1], next_cursor: None };
        assert_eq!(serde_json::to_string(&last).unwrap(), r#"{"items":[1]}"#);
    }
}
