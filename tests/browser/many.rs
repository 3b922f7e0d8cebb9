//! The list of traces with ten thousand of them, all from real requests.

use serde_json::json;

use super::driver::{Browser, ENTER};
use crate::support::*;

const TRACES: usize = 10_000;
const CLIENTS: usize = 4;

/// Notes when the first row is seen, from the moment in which the page was asked for.
const FIRST_ROW: &str = "
    const first = new MutationObserver(() => {
        if (!document.querySelector('.list-space a')) return;
        first.disconnect();
        requestAnimationFrame(() => (window.firstRowMs = performance.now()));
    });
    first.observe(document, { childList: true, subtree: true });
";

#[test]
fn ten_thousand_traces_open_with_the_newest_on_top_and_are_filtered() {
    let limits = [("trace.ring_seconds", 1), ("trace.store_records_per_second", 1_000_000)];
    let cluster = Cluster::single().set("trace.ring_bytes", 64 << 20).set("gateway.rate_limit_per_second", 0);
    let mut cluster = limits.into_iter().fold(cluster, |cluster, (key, value)| cluster.set(key, value)).start();
    let Some(browser) = Browser::start("ten_thousand_traces", &cluster.node("main").console()) else { return };
    let api = cluster.api();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let api = api.clone();
            scope.spawn(move || {
                for number in 0..TRACES / CLIENTS {
                    let trace = format!("{:032x}", (client * TRACES + number + 1) as u128 | 0xabc << 100);
                    api.with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")).get("/products").is(200);
                }
            });
        }
    });
    let newest = "deadbeef".repeat(4);
    api.with("traceparent", &format!("00-{newest}-00f067aa0ba902b7-01")).get("/products/no-such-product").is(404);
    let console = cluster.node("main").console();
    eventually("all of them to be known", || {
        let page = json!({ "filter": [format!("trace={newest}")], "most": 9 });
        let known = console.post("/api/trace/records", page).is(200);
        known["records"].as_array().is_some_and(|records| !records.is_empty()).then_some(())
    });
    browser.before_each_page(FIRST_ROW);
    browser.open("/traces?q=kind%3Drequest&since=all");
    browser.wait("look.find('.tally', 'messages') && !look.find('.tally', 'reading')");
    let tally = browser.value("Number(document.querySelector('.tally').innerText.replace(/[^0-9]/g, ''))");
    assert!(tally.as_u64() >= Some(TRACES as u64), "{tally} of {TRACES} requests");
    browser.wait("look.find('.list-space [role=row], .list-space a', '')");
    let top = "[...document.querySelectorAll('.list-space [role=row]')].sort((a, b) => \
               a.getAttribute('aria-rowindex') - b.getAttribute('aria-rowindex'))[0].innerText";
    browser.wait(&format!("({top}).includes('/products/{{id}}') || ({top}).includes('no-such-product')"));
    // Times depend on the machine: they are told and not judged.
    let first = browser.value("Math.round(window.firstRowMs)");
    eprintln!("{tally} traces: the first row is seen {first} ms after the page was asked for");
    browser.press("/");
    browser.press(&format!("outcome=rejected{ENTER}"));
    browser.wait("look.find('.tally', '1 message') && !look.find('.tally', 'reading')");
    browser.press(ENTER);
    assert_eq!(browser.errors(&[]), [""; 0]);
    cluster.stop();
}
