//! The first page: what is out is marked where it is, words can be read, and many nodes are no reason to wait.

use super::driver::Browser;
use super::{NOT_LOGGED_IN, log_in};
use crate::support::*;

const FIFTY_NODES: &str = include_str!("fifty_nodes.js");

#[test]
fn what_is_out_is_marked_on_its_box_and_on_its_server_and_no_words_cover_others() {
    let (mut redis, mut server) = (Redis::start(), Postgres::start());
    let database = server.database();
    let mut cluster = Cluster::of(super::planted::TOPOLOGY).over(&redis).on(&database).start();
    let Some(browser) = Browser::start("what_is_out", &cluster.node("front").console()) else { return };
    browser.open("/");
    log_in(&browser, ADMIN_PASSWORD);
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 10_000);
    eventually("arrows there and back", || {
        admin.order(&product, 1).is(201);
        (browser.value("document.querySelectorAll('.arrow-words').length").as_u64() >= Some(4)).then_some(())
    });
    browser.wait("look.find('.box', 'orders') && look.covered('.arrow-words rect').length === 0");
    // What clients ask for is counted where they ask.
    eventually("requests in the table", || {
        admin.get("/products").is(200);
        let messages = "look.find('.capability-table tr', 'gateway')?.cells[2].innerText";
        let messages = browser.value(messages);
        messages.as_str().is_some_and(|rate| rate.ends_with("/s") && rate != "0/s").then_some(())
    });
    browser.wait("look.find('.server', 'PostgreSQL')?.innerText.includes('holds auth, catalog, orders, users')");
    server.stop();
    let out = |name: &str| format!("look.find('.box.is-bad', '{name}')?.innerText.includes('no database')");
    browser.wait(&format!("{} && {}", out("catalog"), out("orders")));
    browser.wait("look.find('.capability-table tr', 'catalog')?.innerText.includes('no database')");
    browser.wait("look.find('.server.is-bad', 'PostgreSQL')?.innerText.includes('does not work')");
    browser.wait("look.find('.troubles li', 'stock')?.innerText.includes('the database of catalog does not work')");
    browser.is_accessible("a topology without a database");
    server.go_on();
    browser.wait(&format!("!({}) && look.find('.box', 'catalog')", out("catalog")));
    redis.kill();
    browser.wait("look.find('.server.is-bad', 'Bridge')?.innerText.includes('front:')");
    browser.wait("look.find('[aria-label=\"Node stock\"] h3', 'no answer')");
    browser.is_accessible("a topology without its bridge");
    assert_eq!(browser.errors(&[NOT_LOGGED_IN]), [""; 0]);
}

#[test]
fn fifty_nodes_are_drawn_and_drawn_anew() {
    let mut cluster = Cluster::single().start();
    let Some(browser) = Browser::start("fifty_nodes", &cluster.node("main").console()) else { return };
    browser.before_each_page(FIFTY_NODES);
    browser.open("/");
    browser.wait("fiftyNodes.drawn.length >= 4");
    let seen =
        browser.value("[document.querySelectorAll('.node').length, document.querySelectorAll('.node-part').length]");
    assert_eq!(seen, serde_json::json!([50, 50]));
    browser.wait("look.find('.troubles li', 'node-7')?.innerText.includes('does not answer')");
    assert_eq!(browser.value("look.tooWide()"), serde_json::json!([]));
    // Times depend on the machine: they are told and not judged.
    let times = browser.value("fiftyNodes.drawn.map(Math.round)");
    eprintln!("fifty nodes: {times} ms for each picture, the first one with the page");
    assert_eq!(browser.errors(&[]), [""; 0]);
    cluster.stop();
}
