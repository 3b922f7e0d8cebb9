//! Characters that mean something to databases, paths and browsers: where they are accepted they come back unchanged,
//! and where they are not they are refused.

use serde_json::{Value, json};

use super::{Site, refused, refused_with, tells_nothing};
use crate::support::{Answer, Api};

/// Texts that would do harm if somebody pasted them into a statement, a path, a page or a format.
const METACHARACTERS: &[&str] = &[
    "'",
    "''; DROP TABLE users; --",
    "\" OR \"\"=\"",
    "1 OR 1=1",
    "%",
    "_",
    "%%27",
    "\\",
    "\\'",
    "a\\0b",
    "$1",
    "?1",
    ":id",
    "@id",
    "/*",
    "*/",
    "--",
    "#",
    ";",
    "../../etc/passwd",
    "..\\..\\",
    "/",
    "//",
    "~",
    "%2e%2e%2f",
    "%00",
    "%252e",
    "{}",
    "{0}",
    "%s%n",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "&lt;",
    "`id`",
    "$(id)",
    "|",
    "&&",
    "=cmd()",
    "\u{202e}abc",
    "\u{feff}x",
    "é",
    "e\u{301}",
    "🦀",
    "𝔘",
    "\u{10ffff}",
    "x'||pg_sleep(9)||'",
    "NULL",
    "null",
    "undefined",
    "true",
    "-1",
];

#[test]
fn names_with_metacharacters_come_back_unchanged() {
    let site = Site::shared();
    site.anybody.register("names@hostile.example", super::PASSWORD, "Names");
    let someone = site.anybody.logged_in("names@hostile.example", super::PASSWORD);
    for text in METACHARACTERS {
        let changed = someone.patch("/users/me", json!({ "name": text })).is(200);
        assert_eq!(changed["name"], *text);
        assert_eq!(someone.get("/users/me").is(200)["name"], *text);
    }
    for text in ["\u{1}", "a\nb", "\u{7f}", "\u{85}", "\u{0}"] {
        refused_with(422, someone.patch("/users/me", json!({ "name": text })));
    }
    site.is_sound();
}

#[test]
fn products_with_metacharacters_come_back_unchanged_and_their_numbers_are_plain() {
    let site = Site::shared();
    let id = site.admin.product("META", 100, 1);
    let path = format!("/products/{id}");
    for text in METACHARACTERS {
        assert_eq!(site.admin.patch(&path, json!({ "name": text })).is(200)["name"], *text);
        assert_eq!(site.anybody.get(&path).is(200)["name"], *text);
        let numbered = site.admin.patch(&path, json!({ "sku": text }));
        match numbered.status {
            200 => assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}"),
            _ => drop(refused_with(422, numbered)),
        }
        refused_with(422, site.admin.patch(&path, json!({ "currency": text })));
    }
    assert_eq!(site.anybody.get(&path).is(200)["price_cents"], 100);
    site.is_sound();
}

#[test]
fn passwords_with_metacharacters_open_the_account_and_nothing_else_does() {
    let site = Site::shared();
    for (n, text) in METACHARACTERS.iter().step_by(6).enumerate() {
        let (email, password) = (format!("meta-{n}@hostile.example"), format!("{text} and eight"));
        site.anybody.register(&email, &password, "Meta");
        site.anybody.login(&email, &password);
        let other = json!({ "email": email, "password": format!("{password}'") });
        refused_with(401, site.anybody.post("/auth/login", other));
    }
    site.is_sound();
}

#[test]
fn addresses_with_metacharacters_are_kept_or_refused_and_match_nobody_else() {
    let site = Site::shared();
    for (n, text) in METACHARACTERS.iter().enumerate() {
        let email = format!("{text}{n}@hostile.example");
        let account = json!({ "email": email, "password": super::PASSWORD, "name": "M" });
        // Registering costs a computation of Argon2, so a few of those that are accepted will do.
        if n % 8 == 0 || email.contains(char::is_whitespace) || email.matches('@').count() > 1 {
            let made = site.anybody.post("/users", account);
            match made.status {
                201 => assert_eq!(made["email"], email),
                _ => drop(refused_with(422, made)),
            }
        }
    }
    let patterns = ["%", "_%", "ana%", "' OR '1'='1", "ana@hostile.example' --", "*"];
    for email in patterns {
        let answer = site.anybody.post("/auth/login", json!({ "email": email, "password": super::PASSWORD }));
        assert!(matches!(refused(answer).status, 401 | 429));
    }
    site.is_sound();
}

/// The text as it must be written in a path or a query string.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn path_segments_with_metacharacters_name_nothing() {
    let site = Site::shared();
    let look = |api: &Api, method: &str, path: &str| -> Answer {
        let body = (method != "GET").then(|| json!({}));
        refused(api.try_send(method, path, body).expect("it is answered"))
    };
    for text in METACHARACTERS {
        let id = encoded(text);
        for (api, method, path) in [
            (&site.anybody, "GET", format!("/products/{id}")),
            (&site.admin, "PATCH", format!("/products/{id}")),
            (&site.ana, "GET", format!("/orders/{id}")),
            (&site.ana, "POST", format!("/orders/{id}/cancel")),
        ] {
            let answer = look(api, method, &path);
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.text);
        }
        assert_eq!(look(&site.admin, "PUT", &format!("/products/{id}/stock")).status, 422, "it needs a stock");
    }
    site.is_sound();
}

#[test]
fn query_parameters_with_metacharacters_are_refused_or_find_what_they_should() {
    let site = Site::shared();
    for text in METACHARACTERS {
        let value = encoded(text);
        for (api, path) in [(&site.anybody, "/products"), (&site.ana, "/orders"), (&site.admin, "/users")] {
            for parameter in ["limit", "cursor", "sort", &value] {
                let answer = api.get(&format!("{path}?{parameter}={value}"));
                refused_with(400, answer);
            }
        }
    }
    for query in
        ["?limit=1&limit=2", "?cursor=%ff", "?%ff=1", "?limit=1;cursor=x", "?limit[]=1", "?limit=1&&&", "?=", "?&"]
    {
        let answer = site.anybody.get(&format!("/products{query}"));
        match answer.status {
            200 => drop(tells_nothing(answer)),
            _ => drop(refused_with(400, answer)),
        }
    }
    site.is_sound();
}

#[test]
fn what_a_request_names_itself_comes_back_only_if_it_is_harmless() {
    let site = Site::shared();
    for text in METACHARACTERS.iter().filter(|t| t.is_ascii()) {
        let given = site.anybody.with("X-Request-Id", text).get("/products").is(200);
        let kept = given.header("x-request-id").expect("every answer has one");
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=".contains(c);
        assert_eq!(kept == *text, text.chars().all(harmless), "{text} became {kept}");
        let traced = site.anybody.with("traceparent", text).get("/products").is(200);
        assert!(traced.header("traceparent").is_some_and(|t| !t.contains(*text) || text.len() < 3));
    }
    let keys: Vec<Value> = METACHARACTERS
        .iter()
        .filter(|t| t.bytes().all(|b| b.is_ascii_graphic()))
        .map(|key| {
            let product = json!("00000000-0000-7000-8000-000000000000");
            let order = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
            let placed = site.ben.with("Idempotency-Key", key).post("/orders", order);
            refused_with(409, placed).body["type"].clone()
        })
        .collect();
    assert!(keys.iter().all(|kind| kind == "urn:essaim:problem:unknown-products"), "{keys:?}");
    site.is_sound();
}
