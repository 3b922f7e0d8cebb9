//! Texts from outside that would be markup, or run, if a page took them for more than text.

use serde_json::json;

use super::driver::Browser;
use super::mended::{letter, poison};
use super::{NOT_LOGGED_IN, is_settled, log_in, views};
use crate::support::*;

const TEXTS: [&str; 2] = ["<img src=x onerror=\"window.isHarmed=1\">", "\"><script>window.isHarmed=1</script>"];
const EVERY_ANSWER: &str = include_str!("hostile.js");
const PASSWORD: &str = "correct horse battery";

#[test]
fn what_comes_from_outside_is_shown_as_text() {
    let cluster = Cluster::single().set("trace.payload_bytes", 2_000).set("console.login", "always");
    let mut cluster = cluster.set("durable.attempts", 1).start();
    let Some(browser) = Browser::start("as_text", &cluster.node("main").console()) else { return };
    let (api, admin) = (cluster.api(), cluster.admin());
    let product = admin.product("TEA", 450, 4);
    let order = admin.order(&product, 1).is(201).id();
    admin.order(&product, 4).is(409);
    poison(cluster.node("main"));
    admin.order(&product, 3);
    browser.open("/");
    log_in(&browser, ADMIN_PASSWORD);
    let addresses = views(&browser);
    for (turn, text) in TEXTS.iter().enumerate() {
        let account = api.register(&format!("eve{turn}@example.org"), PASSWORD, text);
        let trace = account.header("traceparent").and_then(|header| header.split('-').nth(1)).expect("a trace");
        // As Eve wrote it, from the request to the page.
        eventually("the record of her account", || {
            is_settled(&browser, &format!("/traces/{trace}"));
            (browser.value("look.find('.span-row button', 'users.create') !== null") == true).then_some(())
        });
        browser.click(".span-row button", "users.create");
        browser.wait("look.find('.payload', '')");
        is_text(&browser, &json!(text).to_string());
        // In a link that somebody was sent.
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for link in
            ["/traces/", "/traces?q=error~", "/traces?q=", "/logs?q=text~", "/traces?span=", "/logs?q=level%3E%3D"]
        {
            is_settled(&browser, &format!("{link}{encoded}"));
            is_harmless(&browser);
        }
        is_settled(&browser, &format!("/traces/{encoded}"));
        is_text(&browser, text);
        // In the log, where it is kept who read which trace.
        is_settled(&browser, "/logs?q=target%3Dessaim::audit");
        browser.click(".list-space a, .list-space button", &format!("reads=trace {text}"));
        browser.wait("look.find('.line-detail', '')");
        is_text(&browser, &format!("trace {text}"));
    }
    let letter = letter(&browser);
    let wrong = [NOT_LOGGED_IN, "status of 400", "status of 404"];
    assert_eq!(browser.errors(&wrong), [""; 0]);
    // In each field of each answer.
    browser.before_each_page(EVERY_ANSWER);
    let traces = ["", "?tab=sequence", "?tab=graph", "?tab=logs"].map(|tab| format!("/traces/{order}{tab}"));
    for address in addresses.iter().chain(&traces) {
        is_settled(&browser, address);
        is_text(&browser, "\"><img src=x onerror=");
    }
    for address in ["/capabilities/catalog".to_string(), format!("/dead/{letter}")] {
        is_settled(&browser, &address);
        is_text(&browser, "\"><img src=x onerror=");
    }
    browser.click("button", "Rehearse");
    browser.wait("look.find('.rehearsal .statements', 'onerror=')");
    is_harmless(&browser);
    assert_eq!(browser.errors(&[]), [""; 0]);
    cluster.stop();
}

/// Somebody reads it, and it has done nothing.
#[track_caller]
fn is_text(browser: &Browser, text: &str) {
    browser.sees(text);
    is_harmless(browser);
}

#[track_caller]
fn is_harmless(browser: &Browser) {
    let found = browser.value("[look.injected(), window.isHarmed ?? null]");
    assert_eq!(found, json!([[], null]), "{}", browser.address());
}
