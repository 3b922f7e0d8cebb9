//! `essaim why` and `essaim parked`, as somebody at the command line meets them.

use serde_json::Value;

use super::trace::{said_at, text_at};
use crate::support::*;

#[test]
fn an_order_says_where_its_time_went_and_what_is_not_known_is_said_to_be() {
    let mut cluster = Cluster::single().start();
    let admin = cluster.admin();
    let product = admin.product("TEA", 450, 5);
    let order = admin.order(&product, 2).is(201).id();
    let main = cluster.node("main");
    let why = text_at(main, &["why", &order]);
    assert!(why.contains("All of it took"), "{why}");
    let json = said_at(main, &["why", &order, "--json"]).stdout;
    let explanation: Value = serde_json::from_slice(&json).expect("it is JSON");
    assert!(explanation["sentences"].as_array().is_some_and(|sentences| !sentences.is_empty()), "{explanation}");
    for (arguments, code, part) in [
        (&["why", "nothing-has-this-id"][..], 65, "nothing is known of `nothing-has-this-id`"),
        (&["parked", "retry", "nothing-has-this-id"], 65, "not parked: nothing-has-this-id"),
        (&["parked", "list"], 0, "no parked messages"),
    ] {
        let output = said_at(main, arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    cluster.stop();
}
