//! A poison message, from its letter to the act that the audit keeps: inspected, rehearsed, mended, replayed; another one dropped.

use std::process::Command as Program;

use serde_json::{Value, json};

use super::driver::Browser;
use super::is_settled;
use crate::support::*;

/// No three pieces leave the stock at once: what fails is real, and what mends it stands in the message.
const POISON: &str = "CREATE TRIGGER poison BEFORE UPDATE ON products WHEN OLD.stock - NEW.stock = 3 \
                      BEGIN SELECT RAISE(ABORT, 'three are too many'); END";

#[test]
fn a_poison_message_is_rehearsed_mended_and_replayed_and_another_one_is_dropped() {
    let mut cluster = Cluster::single().set("durable.attempts", 1).start();
    let Some(browser) = Browser::start("mended", &cluster.node("main").console()) else { return };
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 10);
    poison(cluster.node("main"));
    let stock = || admin.get(&format!("/products/{product}")).is(200)["stock"].clone();
    let dies = || {
        admin.order(&product, 3);
        letter(&browser)
    };
    browser.open("/");
    let id = dies();
    inspects_and_rehearses(&browser, &id);
    let mended = mends(&browser);
    assert_eq!(stock(), 10, "a rehearsal takes nothing");
    refuses_what_cannot_be(&browser, &mended);
    replays(&browser, &mended);
    eventually("the stock", || (stock() == 8).then_some(()));
    browser.open("/audit");
    browser.sees(&format!("replays dead letters {id} of catalog with an edited payload (SHA-256 "));
    browser.sees(&format!("rehearses the dead letter {id} of catalog"));
    browser.is_accessible("the audit of a mended letter");
    let dropped = dies();
    assert_ne!(dropped, id);
    is_settled(&browser, &format!("/dead/{dropped}"));
    browser.click("button", "Drop");
    browser.click("dialog button", "Drop for good");
    browser.sees("1 letter is dropped");
    browser.open("/audit");
    browser.sees(&format!("drops dead letters {dropped}"));
    assert_eq!(stock(), 8);
    assert_eq!(browser.errors(&["status of 422"]), [""; 0]);
    cluster.stop();
}

/// Has each message die that takes three pieces of a product.
pub fn poison(main: &ClusterNode) {
    let file = main.data().join("catalog.sqlite3");
    let poisoned = Program::new("sqlite3").arg("-cmd").arg(".timeout 60000").arg(&file).arg(POISON).output();
    assert!(poisoned.expect("there is sqlite3").status.success());
}

/// The id of the one that died.
pub fn letter(browser: &Browser) -> String {
    eventually("the letter", || cluster_letters(browser).as_array()?.first()?["id"].as_str().map(String::from))
}

/// The dead letters, as the page asks for them.
fn cluster_letters(browser: &Browser) -> Value {
    const ASK: &str = "(() => { const ask = new XMLHttpRequest(); ask.open('POST', '/api/durable/dead/list', false); \
                       ask.setRequestHeader('content-type', 'application/json'); ask.setRequestHeader('x-essaim-console', '1'); \
                       ask.send('{}'); return JSON.parse(ask.responseText).letters; })()";
    browser.value(ASK)
}

fn inspects_and_rehearses(browser: &Browser, id: &str) {
    is_settled(browser, &format!("/dead/{id}"));
    browser.wait("look.find('h2', 'catalog.reserve.v1')");
    browser.sees("three are too many");
    browser.sees("\"quantity\": 3");
    browser.click("button", "Rehearse");
    browser.wait("look.find('.rehearsal', 'three are too many')");
    browser.wait("look.find('.rehearsal .statements', 'UPDATE')");
    browser.is_accessible("a rehearsal that fails");
}

/// The payload that is mended.
fn mends(browser: &Browser) -> String {
    browser.click("button", "Edit");
    browser.wait("document.activeElement.matches('textarea')");
    let written = browser.value("document.querySelector('textarea').value");
    let mended = written.as_str().expect("a text").replace("\"quantity\": 3", "\"quantity\": 2");
    browser.fill("textarea", &mended);
    browser.click("button", "Rehearse edited");
    browser.wait("look.find('.rehearsal', 'It would be applied.')");
    browser.wait("look.find('.rehearsal .statements', 'UPDATE')");
    browser.wait("look.find('.rehearsal .sends', 'catalog.stock_reserved.v1')");
    browser.is_accessible("a rehearsal that would be applied");
    browser.wide(390);
    assert_eq!(browser.value("look.tooWide()"), json!([]), "at 390 pixels");
    browser.system_is("dark");
    browser.is_accessible("a rehearsal, dark and narrow");
    browser.wide(1280);
    browser.system_is("light");
    mended
}

fn refuses_what_cannot_be(browser: &Browser, mended: &str) {
    browser.fill("textarea", &mended.replace("\"quantity\": 2", "\"quantity\": \"two\""));
    browser.click("button", "Check");
    browser.sees("`lines[0].quantity`: invalid type");
    browser.is_accessible("a payload that is refused");
    browser.click("button", "Replay edited …");
    browser.sees("`lines[0].quantity`: invalid type");
    assert_eq!(browser.value("document.querySelector('dialog')"), Value::Null, "nothing is asked that cannot be done");
}

fn replays(browser: &Browser, mended: &str) {
    browser.fill("textarea", mended);
    browser.click("button", "Check");
    browser.sees("It can be read, and changes lines[0].quantity.");
    browser.click("button", "Replay edited …");
    browser.wait("look.find('dialog', 'lines[0].quantity')");
    browser.is_accessible("the question before a replay");
    browser.click("dialog .acknowledge", "");
    browser.click("dialog button", "Replay");
    browser.sees("1 letter is to be handled again");
}
