//! JSON bodies: read strictly, written plainly.

use std::future::Future;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, Responder};
use essaim::FromObjects;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use utoipa::ToSchema;

use crate::wording::reword;
use crate::{BodyWatch, Problem};

/// How large a body may be and how long its sender may take; the gateway puts it into the application's data.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The most bytes of one body.
    pub bytes: usize,
    /// The longest time from the first byte asked for to the last byte received.
    pub within: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes: 1 << 20, within: Duration::from_secs(10) }
    }
}

impl BodyLimits {
    /// The limits that hold for a request.
    pub fn of(req: &HttpRequest) -> Self {
        req.app_data::<Self>().copied().unwrap_or_default()
    }

    /// The problem of a body over the limit.
    pub fn too_large(&self) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large")
            .detail(format!("A body has at most {} bytes.", self.bytes))
    }
}

/// A JSON body. As input it must be declared as `application/json`, be complete and have the form of `T`; unknown
/// fields are refused if `T` denies them (`#[serde(deny_unknown_fields)]`). As output it is a response with status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T> Json<T> {
    /// What the body says.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ToSchema> utoipa::PartialSchema for Json<T> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        T::schema()
    }
}

impl<T: Serialize> Responder for Json<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        match serde_json::to_vec(&self.0) {
            Ok(body) => HttpResponse::Ok().content_type("application/json").body(body),
            Err(error) => HttpResponse::from_error(Problem::broken(format!("a reply is no JSON: {error}"))),
        }
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limits = BodyLimits::of(req);
        let accepted = check_head(req, &limits);
        let payload = payload.take();
        let watch = req.conn_data::<Rc<BodyWatch>>().cloned();
        Box::pin(async move {
            accepted?;
            let reading = tokio::time::timeout(limits.within, read_watched(payload, &limits, watch.as_deref()));
            let body = reading.await.map_err(|_| Problem::too_slow("The body did not arrive in time."))??;
            parse(&body).map(Json)
        })
    }
}

/// Refuses what its head already tells: another type, a coding, too many bytes.
fn check_head(req: &HttpRequest, limits: &BodyLimits) -> Result<(), Problem> {
    let unsupported = |detail: &str| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The type of the body is not supported",
        )
        .detail(detail)
    };
    if !req.content_type().eq_ignore_ascii_case("application/json") {
        return Err(unsupported("Send JSON, and say so: `Content-Type: application/json`."));
    }
    let coding = req.headers().get(header::CONTENT_ENCODING);
    if coding.is_some_and(|c| !c.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("Send the body without a `Content-Encoding`."));
    }
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > limits.bytes as u64 => Err(limits.too_large()),
        _ => Ok(()),
    }
}

/// Reads a body, unless its framing tells first that it will be refused.
async fn read_watched(payload: Payload, limits: &BodyLimits, watch: Option<&BodyWatch>) -> Result<Bytes, Problem> {
    let Some(watch) = watch else { return read(payload, limits).await };
    match select(pin!(watch.refused(limits)), pin!(read(payload, limits))).await {
        Either::Left((problem, _)) => Err(problem),
        Either::Right((body, _)) => body,
    }
}

async fn read(mut payload: Payload, limits: &BodyLimits) -> Result<Bytes, Problem> {
    let unreadable = |error: PayloadError| match error {
        PayloadError::Overflow => limits.too_large(),
        _ => Problem::bad_request("The body is not complete."),
    };
    // Most bodies come in one piece, which needs no copy.
    let first = match payload.next().await {
        None => return Ok(Bytes::new()),
        Some(chunk) => chunk.map_err(unreadable)?,
    };
    let mut whole: Option<BytesMut> = None;
    let mut length = first.len();
    while length <= limits.bytes {
        let Some(chunk) = payload.next().await else {
            return Ok(whole.map_or(first, BytesMut::freeze));
        };
        let chunk = chunk.map_err(unreadable)?;
        length += chunk.len();
        whole.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&chunk);
    }
    Err(limits.too_large())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if holds_nul(body) {
        return Err(Problem::unprocessable("Text must not hold the character U+0000."));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let FromObjects(value) = serde_path_to_error::deserialize::<_, FromObjects<T>>(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data if path == "." => {
                Problem::unprocessable(format!("The body: {}.", reword(&error.to_string())))
            }
            Category::Data => Problem::unprocessable(format!("`{path}`: {}.", reword(&error.to_string()))),
            _ => malformed(&error),
        }
    })?;
    json.end().map_err(|e| malformed(&e))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not valid JSON")
        .detail(format!("The body is not valid JSON: {error}."))
}

/// Whether a string in the JSON text holds the character U+0000, which PostgreSQL cannot store. A raw one is no JSON.
fn holds_nul(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        if rest[at + 1..].starts_with(b"u0000") {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Line {
        quantity: u32,
    }

    async fn send(content_type: &str, body: impl Into<Bytes>) -> Result<Order, (u16, String)> {
        let limits = BodyLimits { bytes: 200, ..BodyLimits::default() };
        let request = TestRequest::post().app_data(limits).insert_header((header::CONTENT_TYPE, content_type));
        let (req, mut payload) = request.set_payload(body).to_http_parts();
        let refused = |p: Problem| (p.status().as_u16(), p.to_string());
        Json::from_request(&req, &mut payload).await.map(Json::into_inner).map_err(refused)
    }

    #[actix_web::test]
    async fn a_body_of_the_declared_form_is_read() {
        let expected = Order { lines: vec![Line { quantity: 2 }] };
        assert_eq!(send("application/json; charset=utf-8", r#"{"lines":[{"quantity":2}]}"#).await, Ok(expected));
    }

    #[actix_web::test]
    async fn anything_else_is_refused_with_its_own_status_and_place() {
        let deep = "[".repeat(190);
        let long = format!("{{\"lines\":[{}]}}", " ".repeat(200));
        for (content_type, body, status, word) in [
            ("text/plain", "{}", 415, "application/json"),
            ("", "{}", 415, "application/json"),
            ("application/json", "", 400, "malformed-json"),
            ("application/json", "{", 400, "malformed-json"),
            ("application/json", r#"{"lines":[]} x"#, 400, "malformed-json"),
            ("application/json", r#"{"lines":[{"quantity":1e999}]}"#, 400, "malformed-json"),
            ("application/json", &deep, 422, "expected"),
            ("application/json", &long, 413, "200 bytes"),
            ("application/json", "{}", 422, "missing field `lines`"),
            ("application/json", "3", 422, "expected an object"),
            ("application/json", "[[]]", 422, "expected an object"),
            ("application/json", r#"{"lines":[[2]]}"#, 422, "`lines[0]`: expected an object"),
            ("application/json", r#"{"lines":[],"more":1}"#, 422, "unknown field `more`"),
            ("application/json", r#"{"lines":[{"quantity":-1}]}"#, 422, "`lines[0].quantity`"),
            ("application/json", r#"{"lines":[{"quantity":4294967296}]}"#, 422, "`lines[0].quantity`"),
            ("application/json", r#"{"lines":[{"quantity":1.5}]}"#, 422, "`lines[0].quantity`"),
            ("application/json", r#"{"lines":"a\u0000"}"#, 422, "U+0000"),
        ] {
            let (got, text) = send(content_type, body.to_string()).await.expect_err(body);
            assert_eq!(got, status, "{body}: {text}");
            assert!(text.contains(word), "{body}: {text}");
            assert!(!text.contains("struct") && !text.contains("u32"), "{text}");
        }
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        assert!(holds_nul(br#""a\\\u0000""#));
        assert!(!holds_nul(br#""a\\u0000""#));
        assert!(!holds_nul(br#""\"#));
    }
}
