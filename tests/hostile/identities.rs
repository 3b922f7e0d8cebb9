//! Other people's orders and addresses.

use serde_json::{Value, json};

use super::{Site, refused, refused_with};
use crate::support::Answer;

/// What an answer says, without what differs from request to request.
fn said(answer: Answer) -> (u16, Value) {
    let mut body = refused(answer).body;
    body.as_object_mut().expect("a problem is an object").remove("trace_id");
    (body["status"].as_u64().unwrap_or_default() as u16, body)
}

#[test]
fn the_order_of_somebody_else_looks_like_one_that_there_is_not() {
    let site = Site::shared();
    let product = site.admin.product("FOREIGN", 100, 10);
    let order = site.ana.order(&product, 1).is(201).id();
    let unknown = "00000000-0000-7000-8000-000000000000";
    for (look, foreign) in [
        (said(site.ben.get(&format!("/orders/{unknown}"))), said(site.ben.get(&format!("/orders/{order}")))),
        (
            said(site.ben.post(&format!("/orders/{unknown}/cancel"), json!({}))),
            said(site.ben.post(&format!("/orders/{order}/cancel"), json!({}))),
        ),
        (said(site.ben.get("/orders/nonsense")), said(site.admin.get(&format!("/orders/{order}")))),
    ] {
        assert_eq!(look, foreign);
        assert_eq!(look.0, 404);
    }
    let listed = site.ben.get("/orders?limit=100").is(200);
    assert!(!listed.text.contains(&order), "{}", listed.text);
    assert_eq!(site.ana.get(&format!("/orders/{order}")).is(200)["status"], "confirmed");
    site.is_sound();
}

#[test]
fn the_idempotency_key_of_somebody_else_leads_to_no_order_of_theirs() {
    let site = Site::shared();
    let product = site.admin.product("KEYS", 100, 10);
    let place = |api: &crate::support::Api| {
        let order = json!({ "lines": [{ "product_id": product, "quantity": 1 }] });
        api.with("Idempotency-Key", "the-same").post("/orders", order).is(201).id()
    };
    assert_ne!(place(&site.ana), place(&site.ben));
    site.is_sound();
}

#[test]
fn an_address_is_taken_in_every_case_and_unicode_form() {
    let site = Site::shared();
    let register = |email: &str| {
        site.anybody.post("/users", json!({ "email": email, "password": super::PASSWORD, "name": "Zoë" }))
    };
    assert_eq!(register("Zoë.Straße@Hostile.example").is(201)["email"], "Zoë.Straße@Hostile.example");
    for again in [
        "zoë.straße@hostile.example",
        "ZOË.STRASSE@HOSTILE.EXAMPLE",
        "Zoe\u{308}.Straße@Hostile.example",
        "ＺＯË.straße@hostile.example",
        "zoë.straße@ｈｏｓｔｉｌｅ.example",
        "zoë.straße＠hostile.example",
        "zoë․straße@hostile.example",
    ] {
        let taken = refused(register(again));
        assert!(matches!(taken.status, 409 | 422), "{again}: {}", taken.text);
    }
    for unclear in ["zoë\u{200b}.straße@hostile.example", "zoë.straße@hostile.example ", "zo\u{ad}ë@hostile.example"]
    {
        refused_with(422, register(unclear));
    }
    site.anybody.login("ＺＯＥ\u{308}.STRASSE@hostile.example", super::PASSWORD);
    let ben = site.ben.patch("/users/me", json!({ "email": "ZOË.straße@hostile.example" }));
    assert_eq!(refused_with(409, ben)["type"], "urn:essaim:problem:email-taken");
    site.is_sound();
}

#[test]
fn a_mailbox_has_one_account_however_its_domain_is_written() {
    let site = Site::shared();
    let register = |email: &str, name: &str| {
        site.anybody.post("/users", json!({ "email": email, "password": super::PASSWORD, "name": name }))
    };
    assert_eq!(register("rue@bücher.hostile.example", "Rue").is(201)["email"], "rue@bücher.hostile.example");
    for again in [
        "rue@xn--bcher-kva.hostile.example",
        "RUE@XN--BCHER-KVA.hostile.example",
        "rue@bücher。hostile。example",
        "rue@bücher.hostile.example.",
    ] {
        refused_with(409, register(again, "Rue"));
        assert!(site.anybody.login(again, super::PASSWORD)["access_token"].is_string(), "{again}");
    }
    for unclear in
        ["rue\u{3164}@bücher.hostile.example", "rue@bücher\u{3164}.hostile.example", "rue@a..example", "rue@xn--a"]
    {
        refused_with(422, register(unclear, "Rue"));
    }
    site.is_sound();
}

#[test]
fn a_name_has_something_that_can_be_seen() {
    let site = Site::shared();
    for unseen in ["\u{200B}", "\u{202E}\u{2066}", "\u{3164}", " ", "\u{E0041}\u{FE0F}"] {
        let body = json!({ "email": "unseen@hostile.example", "password": super::PASSWORD, "name": unseen });
        refused_with(422, site.anybody.post("/users", body));
        refused_with(
            422,
            site.ana.try_send("PATCH", "/users/me", Some(json!({ "name": unseen }))).expect("it is answered"),
        );
        let product = json!({ "sku": "UNSEEN", "name": unseen, "price_cents": 1, "currency": "EUR", "stock": 1 });
        refused_with(422, site.admin.post("/products", product));
    }
    let name = "\u{200F}שרה";
    let kept = site.ana.try_send("PATCH", "/users/me", Some(json!({ "name": name }))).expect("it is answered").is(200);
    assert_eq!(kept["name"], name, "what changes a direction is part of names that are seen");
    site.is_sound();
}
