//! The console as people see it: its pages in Chromium, in few sessions, since each takes seconds to start.

mod driver;
mod hostile;
mod many;
mod mended;
mod order;
mod own;
mod planted;
mod send;
mod topology;

use crate::support::*;
use driver::Browser;

/// Log lines of the browser that are no errors of the pages: nobody is logged in yet.
const NOT_LOGGED_IN: &str = "status of 401";

/// Logs in by the form that is shown.
#[track_caller]
fn log_in(browser: &Browser, password: &str) {
    browser.fill("input[type=email]", ADMIN_EMAIL);
    browser.fill("input[type=password]", password);
    browser.click("button[type=submit]", "Log in");
}

/// Every view that the navigation leads to, by its address.
pub fn views(browser: &Browser) -> Vec<String> {
    browser.wait("look.find('nav a', '')");
    let links = browser.value("[...document.querySelectorAll('nav.side a')].map((link) => link.getAttribute('href'))");
    let links = links.as_array().expect("a list");
    links.iter().map(|link| link.as_str().expect("an address").to_string()).collect()
}

/// Opens a view and waits until it has read what it shows.
pub fn is_settled(browser: &Browser, address: &str) {
    browser.open(address);
    browser
        .wait("document.querySelector('main h1') && !/reading …|Reading …|Reading the/.test(document.body.innerText)");
}
