//! The page at `/`: what listens here, and where to go from here.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::front::Front;
use crate::pages::{DOCS, DOCUMENT};

/// A page for browsers, and some lines of text for who asks for none, such as `curl`.
pub(crate) async fn page(req: HttpRequest, front: Data<Arc<Front>>) -> HttpResponse {
    let places = places(&front.settings.home);
    match wants_a_page(req.headers()) {
        true => HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html(&places)),
        false => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text(&places)),
    }
}

/// A place to go to, and what is there.
struct Place<'a> {
    at: &'a str,
    what: &'static str,
}

fn places(console: &str) -> Vec<Place<'_>> {
    let mut places = vec![
        Place { at: DOCS, what: "the routes, to read and to try" },
        Place { at: DOCUMENT, what: "the same as an OpenAPI document" },
        Place { at: "/status", what: "the nodes and their capabilities" },
    ];
    if !console.is_empty() {
        places.push(Place { at: console, what: "the console: traces, topology, dead letters" });
    }
    places
}

const WHAT: &str = "This is Essaim: a backend of supervised actors.";
const GUIDES: &str = "Guides stand in the directory docs of its source; `essaim --help` tells its commands.";

fn text(places: &[Place<'_>]) -> String {
    let lines: String = places.iter().map(|place| format!("  {:<14} {}\n", place.at, place.what)).collect();
    format!("{WHAT}\n\n{lines}\n{GUIDES}\n")
}

fn html(places: &[Place<'_>]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let line = |place: &Place<'_>| {
        let at = escaped(place.at);
        format!("<li><a href=\"{at}\">{at}</a>: {}</li>", place.what)
    };
    let lines: String = places.iter().map(line).collect();
    let guides = GUIDES.replace("`essaim --help`", "<code>essaim --help</code>");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Essaim</title><style>body{{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;\
         color-scheme:light dark}}</style><h1>Essaim</h1><p>{WHAT}</p><ul>{lines}</ul><p>{guides}</p></html>"
    )
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}
