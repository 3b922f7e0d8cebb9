//! The requests of operators over HTTP, for every listener that takes them: each is a POST of its JSON to its path.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, HeaderMap};
use actix_web::web::{self, Bytes, Data, Json, JsonConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use essaim_base::objects::FromObjects;
use essaim_core::api::client::Client;
use essaim_core::node::operators::JoinedBus;
use essaim_core::node::readiness::NOT_JOINED;
use futures_util::Stream;
use serde_json::json;
use tokio::sync::watch;

use crate::NodeStatus;
use crate::access::{Access, Right, log_reader};
use crate::api::{
    ApiRequest, AskLedger, CheckMessage, CheckPayload, DropDead, DropSubscription, EraseSubject, ExplainMessage,
    FindLogs, FindRecords, FindSubject, FireSchedule, Followed, ListAudit, ListDead, ListMessages, ListParked,
    ListSchedules, ListSubscriptions, MOST_PAYLOAD_BYTES, MakeBackup, RehearseDead, ReplayDead, Retire, RetryParked,
    SendMessage, ShowConfig, ShowDead, ShowTrace,
};
use crate::follow::{MOST_READERS, Readers};
use crate::requests::{Operator, OperatorRequest, Refusal, Requester};

/// The longest question, in bytes: the longest payload that may be written, each character of which is escaped.
const LARGEST_QUESTION: usize = 2 * MOST_PAYLOAD_BYTES + (128 << 10);
/// What is accepted by who wants all that comes, and not a page.
const EVENT_STREAM: &str = "text/event-stream";

/// The routes of one listener.
#[derive(Clone)]
pub struct OperatorRoutes(Data<Routes>);

struct Routes {
    bus: JoinedBus,
    access: Arc<dyn Access>,
    readers: Readers,
    ends: watch::Receiver<bool>,
}

/// Ends what readers follow, when it is told to or dropped: a server that stops waits for the end of every answer.
pub struct Ends(watch::Sender<bool>);

impl Ends {
    /// Nothing comes any more.
    pub fn end(&self) {
        self.0.send_replace(true);
    }
}

impl OperatorRoutes {
    /// Routes for a server of a capability's own, which asks as its node does.
    pub fn of(client: &Client, access: Arc<dyn Access>) -> (Self, Ends) {
        Self::new(watch::channel(Some(client.bus().clone())).1, access, Readers::default())
    }

    pub(crate) fn new(bus: JoinedBus, access: Arc<dyn Access>, readers: Readers) -> (Self, Ends) {
        let (sender, ends) = watch::channel(false);
        (Self(Data::new(Routes { bus, access, readers, ends })), Ends(sender))
    }

    /// Registers what only the node's own listeners take, beside what all do: it writes files on the machine, which is nothing for who
    /// administers capabilities alone.
    pub(crate) fn configure_own(self, config: &mut ServiceConfig) {
        self.configure(config);
        route::<MakeBackup>(config);
    }

    /// Registers them.
    pub fn configure(self, config: &mut ServiceConfig) {
        config
            .app_data(self.0)
            .app_data(JsonConfig::default().limit(LARGEST_QUESTION))
            .route("/status", web::get().to(status));
        route_followed::<FindRecords>(config);
        route_followed::<FindLogs>(config);
        route::<ListDead>(config);
        route::<ShowDead>(config);
        route::<ReplayDead>(config);
        route::<DropDead>(config);
        route::<CheckPayload>(config);
        route::<RehearseDead>(config);
        route::<AskLedger>(config);
        route::<ListSubscriptions>(config);
        route::<DropSubscription>(config);
        route::<Retire>(config);
        route::<ListParked>(config);
        route::<RetryParked>(config);
        route::<ExplainMessage>(config);
        route::<ShowTrace>(config);
        route::<ShowConfig>(config);
        route::<ListMessages>(config);
        route::<CheckMessage>(config);
        route::<SendMessage>(config);
        route::<ListSchedules>(config);
        route::<FireSchedule>(config);
        route::<FindSubject>(config);
        route::<EraseSubject>(config);
        route::<ListAudit>(config);
    }
}

impl Routes {
    /// The node, for a request that may be answered. Who reads what is personal is told the log.
    fn admit<Q: ApiRequest>(&self, http: &HttpRequest, request: &Q) -> Result<Operator, (StatusCode, String)> {
        let bus = self.bus.borrow().clone().ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, NOT_JOINED.to_string()))?;
        let asker = self.access.asker(http, Right::of::<Q>()).map_err(|why| (StatusCode::FORBIDDEN, why))?;
        if let Some(reads) = request.reads() {
            log_reader(&asker, &reads);
        }
        let requester = Requester { asker, principal: self.access.principal(http) };
        Ok(Operator::of(&bus).asked_by(requester))
    }
}

fn route<Q: OperatorRequest + 'static>(config: &mut ServiceConfig) {
    config.route(Q::PATH, web::post().to(ask::<Q>));
}

/// Answered with a page, or with all that come, as the reader accepts.
fn route_followed<Q: OperatorRequest + Followed + Clone + 'static>(config: &mut ServiceConfig) {
    let follows = |http: &GuardContext<'_>| accepts_events(http.head().headers());
    config.route(Q::PATH, web::post().guard(fn_guard(follows)).to(follow::<Q>));
    route::<Q>(config);
}

/// Answers an operator. It takes JSON that says that it is JSON and nothing else, so that no page which an operator happens
/// to visit can have their browser ask: a browser asks first whether it may, and is not told that it may.
async fn ask<Q: OperatorRequest>(
    routes: Data<Routes>,
    http: HttpRequest,
    Json(FromObjects(request)): Json<FromObjects<Q>>,
) -> HttpResponse {
    let operator = match routes.admit(&http, &request) {
        Ok(operator) => operator,
        Err((status, why)) => return refused(status, &why),
    };
    match request.answer(&operator).await {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => refusal.into(),
    }
}

/// Answers an operator with what comes, as it comes.
async fn follow<Q: OperatorRequest + Followed + Clone + 'static>(
    routes: Data<Routes>,
    http: HttpRequest,
    Json(FromObjects(request)): Json<FromObjects<Q>>,
) -> HttpResponse {
    if let Err((status, why)) = routes.admit(&http, &request) {
        return refused(status, &why);
    }
    match routes.readers.events(request, routes.bus.clone(), routes.ends.clone()) {
        Some(events) => event_stream(events),
        None => {
            let why = format!("{MOST_READERS} readers follow already at this node: end one, or ask another node");
            refused(StatusCode::SERVICE_UNAVAILABLE, &why)
        }
    }
}

async fn status(routes: Data<Routes>, http: HttpRequest) -> HttpResponse {
    if let Err(why) = routes.access.asker(&http, Right::Probe) {
        return refused(StatusCode::FORBIDDEN, &why);
    }
    let Some(bus) = routes.bus.borrow().clone() else { return refused(StatusCode::SERVICE_UNAVAILABLE, NOT_JOINED) };
    HttpResponse::Ok().json(NodeStatus::of_bus(&bus).await)
}

/// Whether who asks wants to be told what comes, as server-sent events.
pub fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// An answer of server-sent events.
pub fn event_stream(events: impl Stream<Item = Result<Bytes, Infallible>> + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type(EVENT_STREAM).streaming(events)
}

impl From<Refusal> for HttpResponse {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wrong(why) => refused(StatusCode::BAD_REQUEST, &why),
            Refusal::Unreadable(why) => refused(StatusCode::UNPROCESSABLE_ENTITY, &why),
            Refusal::Away(why) => refused(StatusCode::SERVICE_UNAVAILABLE, &why),
            Refusal::Undone(why) => refused(StatusCode::INTERNAL_SERVER_ERROR, &why),
        }
    }
}

/// An answer that says why there is no other.
pub fn refused(status: StatusCode, why: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": why }))
}
