//! An operator who is told an order's id, in a topology of three nodes.

use super::driver::{Browser, CONTROL, ENTER};
use super::{NOT_LOGGED_IN, log_in};
use crate::support::*;

#[test]
fn an_operator_logs_in_and_follows_an_order_through_the_nodes() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let Some(browser) = Browser::start("follows_an_order", &cluster.node("front").console()) else { return };
    logs_in(&browser);
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    finds(&browser, &order);
    waterfall_and_sequence_show_its_nodes(&browser);
    a_node_goes_and_comes(&browser, &mut cluster);
    assert_eq!(browser.errors(&[NOT_LOGGED_IN]), [""; 0]);
    the_consoles_node_comes_back(&browser, &mut cluster);
    cluster.stop();
}

/// By a deep link, to which the login leads back.
fn logs_in(browser: &Browser) {
    let link = "/traces?q=capability%3Dorders&since=1h";
    browser.open(link);
    log_in(browser, "wrong");
    browser.sees("Email or password is wrong.");
    browser.is_accessible("the login");
    log_in(browser, ADMIN_PASSWORD);
    browser.wait("look.find('h1', 'Traces')");
    browser.sees(ADMIN_EMAIL);
    assert_eq!(browser.address(), link);
}

/// In the palette, where it was pasted.
fn finds(browser: &Browser, order: &str) {
    browser.press(&format!("{CONTROL}k"));
    browser.wait("document.activeElement.role === 'combobox'");
    browser.is_accessible("the palette");
    browser.press(order);
    browser.sees(&format!("Trace of {order}"));
    browser.press(ENTER);
    browser.wait("look.find('h1', 'POST /orders')");
    assert_eq!(browser.address(), format!("/traces/{order}"));
}

fn waterfall_and_sequence_show_its_nodes(browser: &Browser) {
    // What is confirmed later comes when the page is read again.
    eventually("all messages of the order", || {
        browser.click("button", "Read again");
        let row = |place: &str| browser.value(&format!("look.find('.span-row .place', '{place}') !== null")) == true;
        ["gateway@front", "orders@shop", "catalog@shop"].iter().all(|place| row(place)).then_some(())
    });
    browser.click(".span-row button", "POST /orders");
    browser.wait("look.find('.span-detail', 'Handler wrote')");
    browser.is_accessible("the waterfall");
    let waterfall = browser.address();
    browser.click("[role=tab]", "Sequence");
    for name in ["client", "gateway\n@front", "orders\n@shop", "catalog\n@shop"] {
        browser.wait(&format!("look.find('.sequence-head', {})", serde_json::json!(name)));
    }
    let arrows = browser.value("document.querySelectorAll('svg.sequence .step').length");
    let words = browser.value("document.querySelectorAll('.diagram ol li').length");
    assert!(arrows == words && arrows.as_u64().is_some_and(|arrows| arrows >= 6), "{arrows} arrows, {words} sentences");
    browser.is_accessible("the sequence");
    browser.click("[role=tab]", "Overview");
    browser.sees("orders");
    browser.is_accessible("the overview of a trace");
    browser.click("[role=tab]", "Log lines");
    browser.wait("look.find('[role=tab][aria-selected=true]', 'Log lines')");
    browser.is_accessible("the log lines of a trace");
    for _ in 0..3 {
        browser.back();
    }
    assert_eq!(browser.address(), waterfall);
    browser.wait("look.find('[role=tab][aria-selected=true]', 'Waterfall')");
    browser.wait("look.find('.span-detail', 'Handler wrote')");
}

/// It is seen without anybody doing anything.
fn a_node_goes_and_comes(browser: &Browser, cluster: &mut Cluster) {
    browser.open("/topology");
    let stands = |word: &str| browser.wait(&format!("look.find('[aria-label=\"Node shop\"] h3', '{word}')"));
    stands("ready");
    cluster.node("shop").kill();
    stands("gone");
    browser.is_accessible("a topology that a node has left");
    cluster.node("shop").restart();
    stands("ready");
}

/// The page says so, goes on by itself, and asks nobody to log in again.
fn the_consoles_node_comes_back(browser: &Browser, cluster: &mut Cluster) {
    browser.open("/traces?since=1h");
    let state = |state: &str| browser.wait(&format!("document.querySelector('.live').dataset.state === '{state}'"));
    state("live");
    browser.value("window.isSamePage = true");
    cluster.node("front").kill();
    state("reconnecting");
    cluster.node("front").restart();
    state("live");
    // What happens now is seen now.
    let before = browser.value("document.querySelectorAll('.list-space a').length");
    cluster.api().get("/products").is(200);
    browser.wait("look.find('.list-space a', 'GET /products')");
    assert!(before.is_number() && browser.value("window.isSamePage") == true, "the page was loaded anew");
    let away = ["net::ERR_CONNECTION", "net::ERR_INCOMPLETE", "net::ERR_EMPTY_RESPONSE", "status of 503"];
    assert_eq!(browser.errors(&away), [""; 0]);
}
