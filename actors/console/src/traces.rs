//! One trace with all that its page shows.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use essaim::api::{AwayNode, ExplainMessage, ShowTrace};
use essaim::operators::{Access, Act, Refusal, ask};
use essaim::trace::{Steps, TraceTree, mermaid};
use serde::Serialize;

use crate::access::ConsoleAccess;
use crate::console::Console;
use crate::guard::{Operator, refused};
use crate::layout::{Drawing, draw};

/// What is known of an id: of a trace, of a message, or of a key.
#[derive(Serialize)]
struct Found {
    traces: Vec<Shown>,
    /// Why something was slow or stuck, in sentences.
    why: Vec<String>,
    away: Vec<AwayNode>,
}

#[derive(Serialize)]
struct Shown {
    steps: Steps,
    mermaid: String,
    graph: Drawing,
    tree: TraceTree,
}

pub(crate) async fn show(console: Data<Console>, http: HttpRequest, id: Path<String>) -> HttpResponse {
    let id = id.into_inner();
    if let Err(why) = read(&console, &http, &id).await {
        return why;
    }
    let shown = match ask(&console.client, ShowTrace { id: id.clone() }).await {
        Ok(shown) => shown,
        Err(refusal) => return answer_to(refusal),
    };
    let explained = match ask(&console.client, ExplainMessage { id }).await {
        Ok(explained) => explained,
        Err(refusal) => return answer_to(refusal),
    };
    let mut away = shown.away;
    away.extend(
        explained.away.into_iter().filter(|node| away.iter().all(|known| known.node != node.node)).collect::<Vec<_>>(),
    );
    let traces = shown.traces.into_iter().map(|tree| {
        let steps = Steps::of(&tree);
        Shown { mermaid: mermaid(&steps), graph: of_steps(&steps), steps, tree }
    });
    HttpResponse::Ok().json(Found { traces: traces.collect(), why: explained.sentences, away })
}

/// Registers the export, where it is built.
pub(crate) fn configure_export(_config: &mut ServiceConfig) {
    #[cfg(feature = "otlp")]
    _config.route("/traces/{id}/otlp", actix_web::web::get().to(otlp));
}

/// The trace as JSON of OpenTelemetry, for other tools.
#[cfg(feature = "otlp")]
async fn otlp(console: Data<Console>, http: HttpRequest, id: Path<String>) -> HttpResponse {
    if let Err(why) = read(&console, &http, &id).await {
        return why;
    }
    match ask(&console.client, ShowTrace { id: id.clone() }).await {
        Ok(shown) => {
            let spans = essaim::otlp::of_trees(&console.otlp, &shown.traces);
            HttpResponse::Ok().insert_header(("content-disposition", "attachment; filename=trace.json")).json(spans)
        }
        Err(refusal) => answer_to(refusal),
    }
}

/// Audits who reads a trace.
async fn read(console: &Data<Console>, http: &HttpRequest, id: &str) -> Result<(), HttpResponse> {
    let operator = http.extensions().get::<Operator>().cloned().map(|operator| operator.0).unwrap_or_default();
    let act = Act::Reads(format!("trace {id}"));
    let kept = ConsoleAccess(console.clone().into_inner()).audit(&operator, &act).await;
    kept.map_err(|why| refused(StatusCode::SERVICE_UNAVAILABLE, &why))
}

fn answer_to(refusal: Refusal) -> HttpResponse {
    match refusal {
        Refusal::Wrong(why) => refused(StatusCode::BAD_REQUEST, &why),
        Refusal::Away(why) => refused(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// Who sends to whom in a trace, drawn: messages and, of them, what went wrong.
fn of_steps(steps: &Steps) -> Drawing {
    let mut links = std::collections::BTreeMap::<(usize, usize), (u64, u64)>::new();
    for step in &steps.steps {
        // An answer that is none tells of the message that it would have answered.
        let ends = if step.is_answer { (step.to, step.from) } else { (step.from, step.to) };
        let link = links.entry(ends).or_default();
        if step.is_answer { link.1 += u64::from(!step.is_well) } else { link.0 += 1 }
    }
    let edges =
        links.into_iter().map(|((from, to), (messages, failed))| (from, to, messages, failed)).collect::<Vec<_>>();
    draw(&steps.participants, &edges)
}
