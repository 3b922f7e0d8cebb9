//! Methods, types, headers and framing that HTTP does not allow.

use std::collections::BTreeSet;

use super::{Site, refused, refused_with, request};
use crate::support::{Answer, Raw};

/// A request without a body, of these lines.
fn head(line: &str, headers: &str) -> String {
    format!("{line}\r\nHost: shop\r\n{headers}\r\n")
}

/// The one answer to these bytes.
#[track_caller]
fn answer_to(site: &Site, bytes: impl AsRef<[u8]>) -> Answer {
    let mut raw = site.raw();
    raw.send(bytes);
    raw.answer().expect("it is answered")
}

#[test]
fn a_method_that_a_path_does_not_have_is_405_with_those_it_has() {
    let site = Site::shared();
    let document = site.anybody.get("/openapi.json").is(200);
    for (path, operations) in document["paths"].as_object().expect("paths are an object") {
        let mut allowed: BTreeSet<String> =
            operations.as_object().expect("an object").keys().map(|m| m.to_uppercase()).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD".into());
        }
        let path = path.replace("{id}", "00000000-0000-7000-8000-000000000000");
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "get", "X"];
        for method in methods.into_iter().filter(|m| !allowed.contains(*m)) {
            let refused = refused_with(405, answer_to(site, head(&format!("{method} {path} HTTP/1.1"), "")));
            let told = refused.header("allow").expect("405 names what is allowed").split(", ").map(String::from);
            assert_eq!(told.collect::<BTreeSet<_>>(), allowed, "{method} {path}");
        }
    }
    site.is_sound();
}

#[test]
fn a_body_of_another_type_is_415() {
    let site = Site::shared();
    let types = [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/json/x",
        "*/*",
        "nonsense",
        ";",
        "\u{e9}",
        "",
    ];
    for content_type in types {
        let text = format!(
            "POST /auth/logout HTTP/1.1\r\nHost: shop\r\nContent-Type: {content_type}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        refused_with(415, answer_to(site, text));
    }
    refused_with(415, answer_to(site, "POST /users HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}"));
    for coding in ["gzip", "br", "chunked, gzip", "x"] {
        let coded = format!("Content-Encoding: {coding}\r\n");
        refused_with(415, answer_to(site, request("POST /users", &coded, b"{}")));
    }
    site.is_sound();
}

#[test]
fn bytes_that_are_no_utf_8_are_refused_wherever_they_are() {
    let site = Site::shared();
    let token = format!("Authorization: {}\r\n", site.ana.token());
    let line = |path: &[u8]| [b"GET ", path, b" HTTP/1.1\r\nHost: shop\r\n\r\n".as_slice()].concat();
    refused_with(400, answer_to(site, line(b"/products/\xff")));
    refused_with(404, answer_to(site, line(b"/products/%ff%fe")));
    refused_with(404, answer_to(site, line(b"/products/%c3%28")));
    refused_with(404, answer_to(site, line(b"/%00")));
    refused_with(400, answer_to(site, line(b"/products?limit=\xff")));
    refused_with(400, answer_to(site, line(b"/products?limit=%ff")));
    refused_with(400, answer_to(site, line(b"/products?cursor=%00")));
    let odd = [b"GET /users/me HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer \xff\xfe\r\n\r\n".as_slice()].concat();
    refused_with(401, answer_to(site, odd));
    let key = [token.as_bytes(), b"Idempotency-Key: \xff\r\n"].concat();
    let head = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 12\r\n";
    refused_with(400, answer_to(site, [head.as_slice(), &key, b"\r\n{\"lines\":[]}"].concat()));
    let harmless =
        b"GET /products HTTP/1.1\r\nHost: shop\r\nUser-Agent: \xff\xfe\r\nX-Request-Id: \xe9\r\nOrigin: \xff\r\n\r\n";
    assert_eq!(answer_to(site, harmless).status, 200, "who calls itself oddly is served all the same");
    site.is_sound();
}

#[test]
fn headers_beyond_the_limits_are_431_however_far_beyond() {
    let site = Site::shared();
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    for count in [64, 90, 96, 97, 200, 5_000] {
        refused_with(431, answer_to(site, head("GET /products HTTP/1.1", &many(count))));
    }
    for bytes in [17_000, 130_000, 140_000, 2_000_000] {
        let large = format!("X-Large: {}\r\n", "x".repeat(bytes));
        refused_with(431, answer_to(site, head("GET /products HTTP/1.1", &large)));
        for path in ["/", "/products?"] {
            let long = refused(answer_to(site, head(&format!("GET {path}{} HTTP/1.1", "x".repeat(bytes)), "")));
            // Beyond 65,534 bytes it is no path to the parser.
            assert!(long.status == 431 || (long.status == 400 && bytes > 65_534), "{}", long.text);
        }
    }
    // It follows an answered request on the same connection.
    let mut raw = site.raw();
    raw.send(head("GET /livez HTTP/1.1", "") + &head("GET /livez HTTP/1.1", &many(500)));
    assert_eq!(raw.answer().expect("the first is answered").status, 200);
    refused_with(431, raw.answer().expect("the second too"));
    assert_eq!(raw.rest(), "", "and the connection ends");
    site.is_sound();
}

#[test]
fn what_is_no_http_is_refused_or_hung_up_on() {
    let site = Site::shared();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    let requests: [&[u8]; 14] = [
        hello,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /products\r\n\r\n",
        b"GET /products HTTP/9.9\r\nHost: shop\r\n\r\n",
        b"GET  /products HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /products HTTP/1.1\r\n\r\n",
        b"GET /products HTTP/1.1\r\nHost: shop\r\nNo colon\r\n\r\n",
        b"GET /products HTTP/1.1\r\nHost: shop\r\nX\x00Y: 1\r\n\r\n",
        b"GET /products HTTP/1.1\r\nHost: shop\r\nX: a\x00b\r\n\r\n",
        b"GET /products HTTP/1.1\r\nHost: shop\r\nX: a\r\n folded\r\n\r\n",
        b"GET /pro\x00ducts HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"G\xc3\x89T /products HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
    ];
    for bytes in requests {
        let mut raw = site.raw();
        raw.send(bytes);
        raw.finish();
        if let Some(answer) = raw.answer() {
            refused_with(400, answer);
        }
        assert_eq!(raw.rest(), "", "{}", String::from_utf8_lossy(bytes));
    }
    for path in [
        "*",
        "http://elsewhere.example/x",
        "//",
        "/./",
        "/../etc/passwd",
        "/docs/../../etc/passwd",
        "/docs/..%2f..%2fx",
    ] {
        let answer = answer_to(site, head(&format!("GET {path} HTTP/1.1"), ""));
        assert!(matches!(refused(answer).status, 400 | 404), "{path}");
    }
    site.is_sound();
}

#[test]
fn a_request_whose_end_is_unclear_is_refused_and_nothing_behind_it_is_answered() {
    let site = Site::shared();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: shop\r\n\r\n";
    let framings = [
        "Content-Length: 2\r\nContent-Length: 40\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\r\n : chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ];
    for framing in framings {
        let head =
            format!("POST /auth/logout HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n{framing}\r\n");
        let mut raw = site.raw();
        raw.send(format!("{head}0\r\n\r\n{hidden}"));
        raw.finish();
        refused_with(400, raw.answer().unwrap_or_else(|| panic!("{framing:?} was not answered")));
        assert_eq!(raw.rest(), "", "{framing:?}");
    }
    // Chunks that are none end the connection with the request that they belong to.
    for chunks in
        ["x\r\n", "-1\r\n", "2;\n{}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "2\r\n{}junk\r\n0\r\n\r\n", "2\n{}\n0\n\n"]
    {
        let mut raw = site.raw();
        let head = "POST /auth/logout HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.send(format!("{head}{chunks}{hidden}"));
        raw.finish();
        let answers: Vec<Answer> = std::iter::from_fn(|| raw.answer()).collect();
        assert!(answers.len() <= 2, "{chunks:?}: {answers:?}");
        answers.into_iter().for_each(|answer| drop(refused_with(400, answer)));
    }
    site.is_sound();
}

#[test]
fn requests_that_arrive_together_are_answered_in_their_order() {
    let site = Site::shared();
    let get = |path: &str| head(&format!("GET {path} HTTP/1.1"), "");
    let body = request("POST /auth/logout", "", br#"{"refresh_token":"x"}"#);
    let mut raw: Raw = site.raw();
    raw.send([get("/livez").as_bytes(), &body, get("/nothing").as_bytes(), get("/readyz").as_bytes()].concat());
    let told: Vec<u16> = (0..4).filter_map(|_| raw.answer()).map(|answer| answer.status).collect();
    assert_eq!(told, [200, 204, 404, 200]);
    // A body that no route reads is not taken for the next request.
    let mut raw = site.raw();
    raw.send(format!("GET /livez HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{}", get("/x").len(), get("/x")));
    raw.send(get("/readyz"));
    raw.finish();
    let told: Vec<u16> = std::iter::from_fn(|| raw.answer()).map(|answer| answer.status).collect();
    assert!(told == [200] || told == [200, 200], "{told:?}");
    site.is_sound();
}
