//! Requests to a capability's routes in tests, without a gateway.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpMessage};
use essaim::trace::{TraceContext, TraceState};
use essaim::{Actor, Stage};
use essaim_contract::Principal;
use serde_json::Value;

use crate::{Edge, Routes};

/// What a route answered with.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, if it is JSON; null otherwise.
    pub body: Value,
}

impl Answer {
    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request, with a JSON body if one is given.
pub fn request(method: Method, path: &str, body: Option<Value>) -> TestRequest {
    let request = TestRequest::default().method(method).uri(path);
    match body {
        Some(body) => request.set_json(body),
        None => request,
    }
}

/// Sends one request to the routes of a staged actor, as the gateway would pass it on: on behalf of `who`, if anybody
/// is logged in, and from this machine.
pub async fn send<A: Actor>(stage: &Stage<A>, routes: Routes, who: Option<Principal>, request: TestRequest) -> Answer {
    stage
        .run(async {
            let client = stage.client();
            let edge = Edge {
                trace: TraceContext::root(client.env()),
                trace_state: TraceState::default(),
                client,
                principal: Ok(who.map(Arc::new)),
                request_id: "r".into(),
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            let app = init_service(App::new().configure(|config| routes.mount(config))).await;
            let request = request.to_request();
            request.extensions_mut().insert(edge);
            let response = call_service(&app, request).await;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, body: serde_json::from_slice(&read_body(response).await).unwrap_or_default() }
        })
        .await
}
