//! JSON that is none, too much, or not what was asked for.

use serde_json::{Value, json};

use super::{Site, refused_with, request};
use crate::support::{Answer, eventually};

/// Sends bytes as a JSON body, as a customer would or as nobody.
#[track_caller]
fn post(site: &Site, path: &str, token: Option<&str>, body: impl AsRef<[u8]>) -> Answer {
    let token = token.map(|t| format!("Authorization: {t}\r\n")).unwrap_or_default();
    let mut raw = site.raw();
    raw.send(request(&format!("POST {path}"), &token, body.as_ref()));
    raw.answer().unwrap_or_else(|| panic!("POST {path} was not answered"))
}

/// What the routes that anybody may post to take; each is refused only for what is changed in it.
fn public() -> [(&'static str, Value); 4] {
    [
        ("/users", json!({ "email": "x@hostile.example", "password": "12345678", "name": "X" })),
        ("/auth/login", json!({ "email": "x@hostile.example", "password": "12345678" })),
        ("/auth/refresh", json!({ "refresh_token": "x" })),
        ("/auth/logout", json!({ "refresh_token": "x" })),
    ]
}

#[test]
fn what_is_no_json_is_refused_as_such() {
    let site = Site::shared();
    let deep = "[".repeat(100_000);
    let deep_objects = r#"{"a":"#.repeat(50_000);
    let cases: [&[u8]; 13] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"nul",
        b"{\"email\":}",
        b"{'email':'a'}",
        b"{\"email\":\"a\"",
        b"\xff\xfe{}",
        b"{\"email\":\"\xc3\x28\"}",
        b"{\"email\":\"\\ud800\"}",
        b"{\"email\":\"a\",}",
        b"{\"email\":NaN}",
    ];
    for (path, _) in public() {
        for body in cases.iter().copied().chain([b"{\"email\":\"a\x00b\"}".as_slice()]) {
            let answer = super::refused(post(site, path, None, body));
            assert!(matches!(answer.status, 400 | 422), "{}: {}", String::from_utf8_lossy(body), answer.text);
        }
        for body in [deep.as_bytes(), deep_objects.as_bytes()] {
            let answer = super::refused(post(site, path, None, body));
            assert!(matches!(answer.status, 400 | 422), "{}", answer.text);
        }
    }
    site.is_sound();
}

#[test]
fn unknown_repeated_missing_and_mistyped_fields_are_named() {
    let site = Site::shared();
    for (path, good) in public() {
        let fields: Vec<String> = good.as_object().expect("it is an object").keys().cloned().collect();
        let mut unknown = good.clone();
        unknown["is_admin"] = json!(true);
        assert!(refused_with(422, post(site, path, None, unknown.to_string())).text.contains("is_admin"));
        for field in &fields {
            let told = |answer: Answer| assert!(answer.text.contains(field.as_str()), "{}", answer.text);
            let mut missing = good.clone();
            missing.as_object_mut().expect("it is an object").remove(field);
            told(refused_with(422, post(site, path, None, missing.to_string())));
            let twice = good.to_string().replacen('{', &format!("{{\"{field}\":\"first\","), 1);
            told(refused_with(422, post(site, path, None, twice)));
            for wrong in [json!(null), json!(1), json!(true), json!([]), json!({}), json!(["a"]), json!({ "$ne": "" })]
            {
                let mut mistyped = good.clone();
                mistyped[field] = wrong;
                told(refused_with(422, post(site, path, None, mistyped.to_string())));
            }
            let mut nul = good.clone();
            nul[field] = json!("a\u{0}b");
            refused_with(422, post(site, path, None, nul.to_string()));
        }
        for whole in [json!([]), json!("text"), json!(0), json!(null), json!([good])] {
            refused_with(422, post(site, path, None, whole.to_string()));
        }
    }
    site.is_sound();
}

#[test]
fn a_list_of_the_right_values_is_no_object() {
    let site = Site::shared();
    let product = site.admin.product("LISTED", 100, 5);
    for (api, method, path, body) in [
        (&site.anybody, "POST", "/users", json!(["y@hostile.example", super::PASSWORD, "Y"])),
        (&site.anybody, "POST", "/auth/login", json!(["ana@hostile.example", super::PASSWORD])),
        (&site.anybody, "POST", "/auth/refresh", json!(["x"])),
        (&site.ana, "PATCH", "/users/me", json!([])),
        (&site.ana, "POST", "/orders", json!([[{ "product_id": product, "quantity": 1 }]])),
        (&site.ana, "POST", "/orders", json!({ "lines": [[product, 1]] })),
        (&site.admin, "POST", "/products", json!(["LIST", "Listed", 100, "EUR", 1])),
        (&site.admin, "PATCH", &format!("/products/{product}"), json!([])),
        (&site.admin, "PUT", &format!("/products/{product}/stock"), json!([3])),
    ] {
        let answer = refused_with(422, api.try_send(method, path, Some(body)).expect("it is answered"));
        assert!(answer.text.contains("expected an object"), "{method} {path}: {}", answer.text);
    }
    site.is_sound();
}

#[test]
fn more_than_the_limit_is_refused_whether_it_was_announced_or_not() {
    let site = Site::shared();
    let large = format!("{{\"email\":\"{}\"}}", "x".repeat(2 << 20));
    refused_with(413, post(site, "/users", None, &large));
    let head = "POST /users HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n";
    let mut raw = site.raw();
    raw.send(format!("{head}Content-Length: 18446744073709551615\r\n\r\n"));
    refused_with(413, raw.answer().expect("it is answered at once"));
    let mut raw = site.raw();
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    while raw.send(&chunk) {}
    if let Some(answer) = raw.answer() {
        refused_with(413, answer);
    }
    let mut raw = site.raw();
    raw.send(format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"));
    refused_with(413, raw.answer().expect("it is answered at once"));
    site.is_sound();
}

#[test]
fn what_frames_the_chunks_of_a_body_has_a_bound() {
    let site = Site::shared();
    let head =
        "POST /users HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut raw = site.raw();
    raw.send(format!("{head}2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(1 << 20)));
    refused_with(400, raw.answer().expect("it is answered"));
    let mut raw = site.raw();
    raw.send(format!("{head}2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(1 << 10)));
    refused_with(422, raw.answer().expect("a short extension is passed over, as HTTP says"));
    site.is_sound();
}

#[test]
fn quantities_prices_and_stocks_out_of_bounds_are_refused() {
    let site = Site::shared();
    let product = site.admin.product("BOUNDS", 100, 5);
    let numbers = [
        "-1",
        "0",
        "1000001",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "1e16",
        "1.5",
        "1e400",
        "0.5",
        "\"1\"",
        "null",
        "true",
        "[1]",
        "{}",
        "-0.5",
        "99999999999999999999999999999999999999999",
    ];
    for number in numbers {
        let body = format!("{{\"lines\":[{{\"product_id\":\"{product}\",\"quantity\":{number}}}]}}");
        let answer = super::refused(post(site, "/orders", Some(&site.ana.token()), body));
        assert!(matches!(answer.status, 400 | 422), "{number}: {}", answer.text);
        for field in ["price_cents", "stock"] {
            // Nothing is a fine price, and no stock; a million of either is fine too.
            if matches!(number, "0" | "1000001") {
                continue;
            }
            let mut body = json!({ "sku": "B-2", "name": "B", "price_cents": 1, "currency": "EUR", "stock": 1 });
            body[field] = json!("NUMBER");
            let body = body.to_string().replace("\"NUMBER\"", number);
            let answer = super::refused(post(site, "/products", Some(&site.admin.token()), body));
            assert!(matches!(answer.status, 400 | 422), "{field} {number}: {}", answer.text);
        }
    }
    assert_eq!(site.anybody.get(&format!("/products/{product}")).is(200)["stock"], 5);
    site.is_sound();
}

#[test]
fn ten_thousand_lines_are_refused_and_a_hundred_of_one_product_are_one() {
    let site = Site::shared();
    let product = site.admin.product("LINES", 1, 1_000);
    let lines = |count: usize| json!({ "lines": vec![json!({ "product_id": product, "quantity": 1 }); count] });
    let refused = refused_with(422, site.ana.post("/orders", lines(10_000)));
    assert!(refused.text.contains("100 lines"), "{}", refused.text);
    refused_with(422, site.ana.post("/orders", lines(101)));
    refused_with(422, site.ana.post("/orders", lines(0)));
    let order = site.ana.post("/orders", lines(100)).is(201);
    assert_eq!(order["lines"], json!([{ "product_id": product, "quantity": 100, "unit_price_cents": 1 }]));
    assert_eq!(site.anybody.get(&format!("/products/{product}")).is(200)["stock"], 900);
    site.is_sound();
}

#[test]
fn a_total_beyond_64_bits_is_refused_and_its_stock_given_back() {
    let site = Site::shared();
    let (most_cents, most_pieces, count) = (100_000_000_000_u64, 1_000_000_u64, 100);
    assert!(u128::from(most_cents) * u128::from(most_pieces) * count > u128::from(u64::MAX) / 2, "it is beyond i64");
    let products: Vec<String> =
        (0..count).map(|n| site.admin.product(&format!("GOLD-{n}"), most_cents, most_pieces)).collect();
    let line = |product: &String| json!({ "product_id": product, "quantity": most_pieces });
    let lines: Vec<Value> = products.iter().map(line).collect();
    let refused = refused_with(409, site.ana.post("/orders", json!({ "lines": lines })));
    assert_eq!(refused["type"], "urn:essaim:problem:total-too-large");
    for product in [&products[0], &products[99]] {
        eventually("the stock to be given back", || {
            (site.anybody.get(&format!("/products/{product}")).is(200)["stock"] == most_pieces).then_some(())
        });
    }
    site.is_sound();
}

#[test]
fn who_may_not_do_it_is_told_so_before_what_is_wrong_with_it() {
    let site = Site::shared();
    let routes = [
        ("POST", "/products"),
        ("PATCH", "/products/x"),
        ("PUT", "/products/x/stock"),
        ("POST", "/orders"),
        ("PATCH", "/users/me"),
    ];
    for (method, path) in routes {
        let send = |token: Option<&str>, status| {
            let token = token.map(|t| format!("Authorization: {t}\r\n")).unwrap_or_default();
            let mut raw = site.raw();
            raw.send(request(&format!("{method} {path}"), &token, b"nonsense"));
            refused_with(status, raw.answer().expect("it is answered"));
        };
        send(None, 401);
        send(Some("Bearer nonsense"), 401);
        let for_admins = path.starts_with("/products");
        send(Some(&site.ana.token()), if for_admins { 403 } else { 400 });
        send(Some(&site.admin.token()), 400);
    }
    site.is_sound();
}
