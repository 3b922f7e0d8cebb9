//! One trace with all that its page shows.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::web::{Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use essaim::api::{AwayNode, ExplainMessage, ShowTrace};
use essaim::operators::{NO_EVENT, Refusal, accepts_events, ask, event, event_stream, log_reader};
use essaim::trace::{Steps, TraceTree, mermaid};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::asker;
use crate::console::Console;
use crate::layout::{Drawing, draw};

/// What is not done yet is looked at so often, for ten minutes.
const EVERY: Duration = Duration::from_secs(2);
const FOLLOWED: u32 = 300;
/// It is done when so many looks in a row find nothing to be done: between two messages, one that was handled and one that it sends,
/// a look may find neither.
const SETTLED: u32 = 3;

/// What is known of an id: of a trace, of a message, or of a key.
#[derive(Serialize)]
struct Found {
    traces: Vec<Shown>,
    /// Why something was slow or stuck, in sentences.
    why: Vec<String>,
    /// Whether something of it is still to be done.
    unfinished: bool,
    away: Vec<AwayNode>,
}

/// What is known now.
#[derive(Serialize)]
struct Followed {
    #[serde(flatten)]
    found: Found,
    /// Whether no more is told.
    ended: bool,
}

#[derive(Serialize)]
struct Shown {
    steps: Steps,
    mermaid: String,
    graph: Drawing,
    tree: TraceTree,
}

/// What is known of an id; for who accepts events, again as it changes, until all of it is done.
pub(crate) async fn show(console: Data<Console>, http: HttpRequest, id: Path<String>) -> HttpResponse {
    let id = id.into_inner();
    read(&http, &id);
    if accepts_events(http.headers()) {
        let place = match console.readers.place() {
            Ok(place) => place,
            Err(refusal) => return refusal.into(),
        };
        return event_stream(unfold(Following::of(console.into_inner(), id, place), Following::next));
    }
    match find(&console, &id).await {
        Ok(found) => HttpResponse::Ok().json(found),
        Err(refusal) => refusal.into(),
    }
}

async fn find(console: &Console, id: &str) -> Result<Found, Refusal> {
    let shown = ask(&console.client, ShowTrace { id: id.into() }).await?;
    let explained = ask(&console.client, ExplainMessage { id: id.into() }).await?;
    let mut away = shown.away;
    away.extend(
        explained.away.into_iter().filter(|node| away.iter().all(|known| known.node != node.node)).collect::<Vec<_>>(),
    );
    let traces = shown.traces.into_iter().map(|tree| {
        let steps = Steps::of(&tree);
        Shown { mermaid: mermaid(&steps), graph: of_steps(&steps), steps, tree }
    });
    Ok(Found { traces: traces.collect(), why: explained.sentences, unfinished: explained.unfinished, away })
}

/// Somebody who looks at what is not done yet.
struct Following {
    console: Arc<Console>,
    id: String,
    /// What was told last.
    told: String,
    /// How often it is looked at, still.
    looks: u32,
    /// Looks in a row that have found nothing to be done.
    done: u32,
    _place: OwnedSemaphorePermit,
}

impl Following {
    fn of(console: Arc<Console>, id: String, place: OwnedSemaphorePermit) -> Self {
        Self { console, id, told: String::new(), looks: FOLLOWED, done: 0, _place: place }
    }

    /// What has changed; a comment if nothing has. It ends with all of it done, or after [`FOLLOWED`] looks.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.looks == 0 || self.console.draining.load(Ordering::Acquire) {
            return None;
        }
        if self.looks < FOLLOWED {
            tokio::time::sleep(EVERY).await;
        }
        self.looks -= 1;
        let answer = match find(&self.console, &self.id).await {
            Ok(found) => {
                self.done = if found.unfinished { 0 } else { self.done + 1 };
                if self.done == SETTLED {
                    self.looks = 0;
                }
                serde_json::to_string(&Followed { found, ended: self.looks == 0 }).unwrap_or_default()
            }
            // It is asked again: what is known stays.
            Err(_) => self.told.clone(),
        };
        let told = if answer == self.told { NO_EVENT } else { event(answer.as_bytes()) };
        self.told = answer;
        Some((Ok(told), self))
    }
}

/// Registers the export, where it is built.
pub(crate) fn configure_export(_config: &mut ServiceConfig) {
    #[cfg(feature = "otlp")]
    _config.route("/traces/{id}/otlp", actix_web::web::get().to(otlp));
}

/// The trace as JSON of OpenTelemetry, for other tools.
#[cfg(feature = "otlp")]
async fn otlp(console: Data<Console>, http: HttpRequest, id: Path<String>) -> HttpResponse {
    read(&http, &id);
    match ask(&console.client, ShowTrace { id: id.clone() }).await {
        Ok(shown) => {
            let spans = essaim::otlp::of_trees(&console.otlp, &shown.traces);
            HttpResponse::Ok().insert_header(("content-disposition", "attachment; filename=trace.json")).json(spans)
        }
        Err(refusal) => refusal.into(),
    }
}

/// Tells the log who reads a trace.
fn read(http: &HttpRequest, id: &str) {
    log_reader(&asker(http).unwrap_or_default(), &format!("trace {id}"));
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
