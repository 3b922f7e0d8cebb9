//! Who changed what, for the page that shows it.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use serde::Deserialize;
use serde_json::json;

use crate::console::Console;
use crate::store::audit;
use essaim::operators::refused;

/// How many are on a page.
const PAGE: u64 = 100;

/// Which page.
#[derive(Debug, Deserialize)]
pub(crate) struct Before {
    /// Those before this one; none: the latest.
    before: Option<String>,
}

/// The latest ones first.
pub(crate) async fn list(console: Data<Console>, page: Query<Before>) -> HttpResponse {
    let found = audit::page(&console.reads, page.before.as_deref(), PAGE + 1).await;
    let Ok(mut rows) = found.inspect_err(|error| tracing::warn!(%error, "the audit cannot be read")) else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the database of `console` does not answer");
    };
    let has_more = rows.len() as u64 > PAGE;
    rows.truncate(PAGE as usize);
    let next = rows.last().filter(|_| has_more).map(|row| row.id.clone());
    let line =
        |row: &audit::Model| json!({ "id": row.id, "at_ms": row.at_ms, "operator": row.operator, "act": row.act });
    let lines: Vec<_> = rows.iter().map(line).collect();
    HttpResponse::Ok().json(json!({ "audited": lines, "before": next }))
}
