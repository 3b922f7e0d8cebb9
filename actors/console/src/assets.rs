//! The pages: files of this crate, as they are.

use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The page that shows all views.
const PAGE: &str = "index.html";

pub(crate) fn configure(config: &mut ServiceConfig) {
    config.route("/assets/{name}", web::get().to(asset)).default_service(web::get().to(page));
}

async fn asset(http: HttpRequest, name: Path<String>) -> HttpResponse {
    answer(&http, &name)
}

async fn page(http: HttpRequest) -> HttpResponse {
    answer(&http, PAGE)
}

/// A file, unless the browser has it already.
fn answer(http: &HttpRequest, name: &str) -> HttpResponse {
    let Some(file) = Assets::get(name) else { return HttpResponse::NotFound().body("there is no such file") };
    let tag = tag(&file);
    let known = http.headers().get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let mut answer = if known == Some(&tag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((ETAG, tag.clone())).insert_header((CACHE_CONTROL, "no-cache"));
    if known == Some(&tag) {
        return answer.finish();
    }
    answer.content_type(kind(name)).body(file.data)
}

fn tag(file: &EmbeddedFile) -> String {
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12]))
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
