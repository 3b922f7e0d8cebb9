//! A machine of one's own: nobody logs in; keyboard, filters, narrow windows, the dark.

use super::driver::{Browser, CONTROL, ENTER, ESCAPE, TAB};
use super::{is_settled, views};
use crate::support::*;

#[test]
fn every_view_works_by_keyboard_narrow_and_in_the_dark() {
    let mut cluster = Cluster::single().start();
    let Some(browser) = Browser::start("every_view", &cluster.node("main").console()) else { return };
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    browser.open("/");
    let mut addresses = views(&browser);
    addresses.push(format!("/traces/{order}"));
    addresses.push(format!("/traces/{order}?tab=sequence"));
    addresses.push("/traces?q=key%3Dnobody".into());
    addresses.push("/traces/nobody-knows-it".into());
    browser.system_is("light");
    for address in &addresses {
        is_settled(&browser, address);
        browser.is_accessible(&format!("{address}, light"));
    }
    browser.system_is("dark");
    browser.wide(390);
    for address in &addresses {
        is_settled(&browser, address);
        browser.is_accessible(&format!("{address}, dark and narrow"));
        let wide = browser.value("look.tooWide()");
        assert_eq!(wide, serde_json::json!([]), "{address} at 390 pixels");
    }
    let body = browser.value("rules.contrast(document.querySelector('main h1'))");
    assert!(body.as_f64().is_some_and(|ratio| ratio >= 7.0), "{body}");
    let ground = browser.value("rules.ground(document.body)");
    assert!(ground.as_f64().is_some_and(|light| light < 0.05), "the dark is dark: {ground}");
    browser.wide(1280);
    rules_find_what_is_broken(&browser);
    keyboard(&browser);
    filters(&browser);
    subscriptions(&browser);
    assert_eq!(browser.errors(&[]), [""; 0]);
    cluster.stop();
}

fn keyboard(browser: &Browser) {
    // Timers would push what is looked for out of sight.
    browser.open("/traces?since=1h&q=kind%21%3Dtimer");
    browser.wait("look.find('.list-space a', 'POST /orders')");
    // Where the focus is can be seen, at each stop.
    for _ in 0..12 {
        browser.press(TAB);
        let shown = browser.value("rules.focusIsShown()");
        assert_eq!(shown, true, "{}", browser.value("document.activeElement.outerHTML"));
    }
    browser.value("document.activeElement.blur()");
    let row =
        || browser.value("document.querySelector('[role=row][aria-current=true]')?.getAttribute('aria-rowindex')");
    browser.press("jjk");
    assert_eq!(row(), "2");
    browser.press("j");
    assert_eq!(row(), "3");
    browser.press(ENTER);
    browser.wait("location.pathname.startsWith('/traces/') && look.find('.span-row', '')");
    browser.press("u");
    browser.wait("location.pathname === '/traces' && look.find('.list-space a', 'POST /orders')");
    browser.press("?");
    browser.wait("look.find('dialog', 'Keys')");
    browser.is_accessible("the keys");
    browser.press(ESCAPE);
    browser.wait("!document.querySelector('dialog')");
    browser.press("gl");
    browser.wait("location.pathname === '/logs' && look.find('h1', 'Logs')");
    browser.press("/");
    browser.wait("document.activeElement.matches('[data-search]')");
    // It is typed, not obeyed.
    browser.press("gl");
    browser.wait("document.activeElement.value === 'gl'");
    browser.press(ESCAPE);
    browser.press(&format!("{CONTROL}k"));
    browser.wait("document.activeElement.role === 'combobox'");
    browser.press("light or dark");
    let before = browser.value("document.documentElement.dataset.theme ?? ''");
    browser.press(ENTER);
    browser.wait(&format!("(document.documentElement.dataset.theme ?? '') !== {before}"));
}

fn filters(browser: &Browser) {
    // Timers would push what is looked for out of sight.
    browser.open("/traces?since=1h&q=kind%21%3Dtimer");
    browser.wait("look.find('.list-space a', 'POST /products')");
    browser.press("/");
    browser.press(&format!("name~POST{ENTER}"));
    browser.wait("location.search.includes('q=name')");
    browser.wait("look.find('.list-space a', 'POST /orders')");
    let others =
        "[...document.querySelectorAll('.list-space .cell-4')].filter((one) => !one.innerText.includes('POST'))";
    browser.wait(&format!("{others}.length === 0"));
    let link = browser.address();
    browser.press(&format!("outcome=panic{ENTER}"));
    browser.sees("No message fulfils all conditions");
    browser.back();
    browser.wait("look.find('.list-space a', 'POST /orders')");
    assert_eq!(browser.address(), link);
    browser.press(&format!("took>=never{ENTER}"));
    browser.wait("look.find('.filter .form-error', '')?.innerText.length > 0");
    browser.is_accessible("a condition that is wrong");
    browser.open(&link);
    browser.wait("look.find('.chip', 'POST') && look.find('.list-space a', 'POST /orders')");
}

/// What a person does is asked first, told afterwards, and audited.
fn subscriptions(browser: &Browser) {
    let end = "End the subscription of orders to catalog.stock_reserved.v1";
    browser.open("/subscriptions");
    browser.click(&format!("[aria-label='{end}']"), "End");
    browser.click("dialog button", "Cancel");
    browser.wait("!document.querySelector('dialog')");
    browser.click(&format!("[aria-label='{end}']"), "End");
    browser.click("dialog button", "End it");
    browser.sees("orders gets catalog.stock_reserved.v1 no longer");
    browser.wait("document.activeElement.matches('.outcome-place')");
    browser.wait(&format!("!document.querySelector(`[aria-label='{end}']`)"));
    browser.open("/audit");
    browser.sees("ends the subscription of orders to catalog.stock_reserved.v1");
}

/// The rules are no decoration: each finds what breaks it.
fn rules_find_what_is_broken(browser: &Browser) {
    let planted = [
        ("document.documentElement.removeAttribute('lang')", "the page has no language"),
        ("add('<div id=main></div>')", "is there twice"),
        ("add('<h4>Deep</h4>')", "a heading skips a level"),
        ("add('<h1>Again</h1>')", "there are 2 headings of the first level"),
        ("add('<button></button>')", "it has no name"),
        ("add('<input placeholder=name>')", "it has no name"),
        ("add('<button aria-label=Close>Remove</button>')", "it is called otherwise than it reads"),
        ("add('<div role=buton>x</div>')", "no such role"),
        ("add('<div role=tab>x</div>')", "a tab stands outside of tablist"),
        ("add('<button aria-controls=nothing>x</button>')", "aria-controls points at nothing"),
        ("add('<ul><div>x</div></ul>')", "a list has something else"),
        ("add('<a href=/ tabindex=3>x</a>')", "it jumps the queue of the focus"),
        ("add('<div aria-hidden=true><button>x</button></div>')", "it takes the focus, and is hidden"),
        ("add('<button>x<a href=/>y</a></button>')", "one acts within another"),
        ("add('<div class=planted-scroll>x</div>')", "nobody can scroll it by the keyboard"),
        ("add('<p class=planted-pale>pale</p>')", "its text does not stand out"),
    ];
    for (plant, found) in planted {
        is_settled(browser, "/traces?q=key%3Dnobody");
        browser.value(&format!("((add) => {{ {plant} }})({ADD})"));
        let broken = browser.value("rules.broken()");
        let broken: Vec<_> = broken.as_array().expect("a list").iter().filter_map(|line| line.as_str()).collect();
        assert!(broken.iter().any(|line| line.contains(found)), "{plant}: {broken:?}");
    }
}

/// Styles are set one by one, since the page allows no inline ones.
const ADD: &str = "(html) => {
    document.querySelector('main').insertAdjacentHTML('beforeend', html);
    const added = document.querySelector('main').lastElementChild;
    if (added.matches('.planted-pale')) { added.style.color = '#777'; added.style.backgroundColor = '#888'; }
    if (added.matches('.planted-scroll')) { added.style.overflow = 'auto'; added.style.height = '4px'; }
}";
