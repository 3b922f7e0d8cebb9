//! An operator who opens a capability, reads what it takes and sends it something.

use super::driver::Browser;
use super::{NOT_LOGGED_IN, is_settled, log_in};
use crate::support::*;

#[test]
fn an_operator_fills_in_a_form_and_follows_what_it_did() {
    let redis = Redis::start();
    let mut cluster = Cluster::of("config/split.toml").over(&redis).start();
    let Some(browser) = Browser::start("sends", &cluster.node("front").console()) else { return };
    browser.open("/capabilities/users");
    log_in(&browser, ADMIN_PASSWORD);
    an_ask(&browser);
    a_nested_form(&browser);
    narrow_and_dark(&browser);
    assert_eq!(browser.errors(&[NOT_LOGGED_IN, "status of 400"]), [""; 0]);
    cluster.stop();
}

fn an_ask(browser: &Browser) {
    browser.click("summary", "users.find_by_email.v1");
    browser.sees("Reads the user with an e-mail address");
    browser.click("summary", "Its reply");
    browser.sees("created_at_ms");
    browser.is_accessible("a message");
    assert_eq!(browser.address(), "/capabilities/users?message=users.find_by_email.v1");
    browser.fill("input[name=email]", ADMIN_EMAIL);
    browser.click("button[type=submit]", "Send …");
    browser.sees(&format!("is asked now, on behalf of {ADMIN_EMAIL}"));
    browser.is_accessible("the question before it is sent");
    browser.click("dialog button", "Send");
    browser.wait("look.find('.sent', 'ok')");
    browser.wait(&format!("look.find('[aria-label=\"The answer\"]', '{ADMIN_EMAIL}')"));
    browser.is_accessible("an answer");
    browser.click(".sent a", "Its trace");
    browser.wait("location.pathname.startsWith('/traces/')");
    browser.wait("look.find('.span-row', 'users.find_by_email.v1')");
    browser.open("/audit");
    browser.sees("sends the ask users.find_by_email.v1");
}

fn a_nested_form(browser: &Browser) {
    browser.open("/capabilities/orders?message=orders.place.v1");
    browser.fill("input[name=order_id]", "01890a5d-ac96-774b-bcce-b302099a8057");
    browser.fill("input[name=product_id]", "01890a5d-ac96-774b-bcce-b302099a8058");
    browser.fill("input[name=quantity]", "two");
    browser.click("button[type=submit]", "Send …");
    browser.sees("It must be a whole number.");
    browser.wait("document.activeElement.name === 'quantity'");
    browser.is_accessible("a form with a mistake");
    browser.fill("input[name=quantity]", "2");
    browser.click("button", "Add to lines");
    browser.wait("document.querySelectorAll('input[name=quantity]').length === 2");
    browser.click("button", "Remove lines 2");
    browser.wait("document.querySelectorAll('input[name=quantity]').length === 1");
    // What cannot be said by the form is said as JSON, which begins with what the form says.
    browser.click("[role=tab]", "JSON");
    browser.sees("\"quantity\": 2");
    browser.is_accessible("a message as JSON");
    browser.fill("textarea", "{\"order_id\": \"1\", \"lines\": [{\"product_id\": \"1\", \"quantity\": \"2\"}]}");
    browser.click("button[type=submit]", "Send …");
    browser.sees("`lines[0].quantity`: invalid type");
    browser.click("[role=tab]", "Form");
    browser.click("button[type=submit]", "Send …");
    browser.click("dialog button", "Cancel");
    browser.click("button[type=submit]", "Send …");
    browser.click("dialog button", "Send");
    browser.wait("look.find('.sent', 'rejected')");
    browser.wait("look.find('[aria-label=\"The answer\"]', 'unknown_products')");
    browser.click("summary", "catalog.stock_refused.v1");
    browser.wait("look.find('a', 'catalog')");
    browser.sees(", whose page sends it.");
}

fn narrow_and_dark(browser: &Browser) {
    browser.system_is("dark");
    browser.wide(390);
    is_settled(browser, "/capabilities/catalog");
    for name in ["catalog.reserve.v1", "catalog.update.v1", "catalog.stock_refused.v1"] {
        browser.click("summary", name);
    }
    browser.wait("look.find('label', 'order_id')");
    browser.is_accessible("forms, dark and narrow");
    assert_eq!(browser.value("look.tooWide()"), serde_json::json!([]));
    browser.click("summary", "catalog.stock_refused.v1");
}
