//! Who calls.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use essaim::Client;
use essaim::trace::{TraceContext, TraceState};
use essaim_contract::{Metadata, Principal};

use crate::Problem;

/// What the gateway knows about a request before it reaches a route. A test of routes without a gateway puts one into
/// the request's extensions itself.
#[derive(Clone)]
pub struct Edge {
    /// The node's client.
    pub client: Client,
    /// The trace of the request.
    pub trace: TraceContext,
    /// The `tracestate` that came with the request.
    pub trace_state: TraceState,
    /// On whose behalf, when a token came with the request; or why it is not accepted, which only a route that needs
    /// to know who calls tells the client.
    pub principal: Result<Option<Arc<Principal>>, Problem>,
    /// The request's id; it travels in the metadata under [`Edge::REQUEST_ID`].
    pub request_id: Arc<str>,
    /// Whose request it is, behind trusted proxies too.
    pub address: IpAddr,
}

impl Edge {
    /// The key of the request's id in the metadata of messages.
    pub const REQUEST_ID: &'static str = "request_id";
}

/// The one who sent the request.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    address: IpAddr,
    refusal: Option<Problem>,
}

impl Caller {
    /// A client that asks on the caller's behalf, within the request's trace.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The one who is logged in.
    ///
    /// # Errors
    /// 401 if nobody is, or if the token is not accepted; 503 if that cannot be known now.
    pub fn user(&self) -> Result<&Principal, Problem> {
        let nobody = || Problem::unauthorized("Log in and send the access token.");
        self.client.principal().ok_or_else(|| self.refusal.clone().unwrap_or_else(nobody))
    }

    /// The one who is logged in and has this role.
    ///
    /// # Errors
    /// 401 if nobody is logged in, 403 if the role is missing.
    pub fn require_role(&self, role: &str) -> Result<&Principal, Problem> {
        let user = self.user()?;
        if user.has_role(role) { Ok(user) } else { Err(Problem::forbidden(format!("This needs the role `{role}`."))) }
    }

    /// The client's address, behind trusted proxies too.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl From<&Edge> for Caller {
    fn from(edge: &Edge) -> Self {
        let metadata = Metadata::from([(Edge::REQUEST_ID.to_string(), edge.request_id.to_string())]);
        let client = edge.client.clone().in_trace_with_state(edge.trace, edge.trace_state.clone());
        let mut client = client.with_metadata(metadata);
        if let Ok(Some(principal)) = &edge.principal {
            client = client.on_behalf_of(Principal::clone(principal));
        }
        Self { client, address: edge.address, refusal: edge.principal.clone().err() }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = req.extensions();
        let edge = extensions.get::<Edge>();
        ready(edge.map(Self::from).ok_or_else(|| Problem::internal("the route is not mounted behind a gateway")))
    }
}

/// The one who sent the request and is logged in. Anybody else is refused before the body is read: who may not come in
/// need not be told what is wrong with it.
#[derive(Clone)]
pub struct User(Caller);

impl User {
    /// Who it is, by id.
    pub fn id(&self) -> &str {
        self.0.client.principal().map_or("", |p| &p.subject)
    }
}

impl Deref for User {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequest for User {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::from_request(req, payload).into_inner();
        ready(caller.and_then(|caller| caller.user().map(drop).map(|()| Self(caller))))
    }
}

/// A role that routes ask for.
pub trait RoleName {
    /// As principals have it.
    const NAME: &'static str;
}

/// The one who sent the request, is logged in and has the role `R`; as [`User`] is.
pub struct UserWith<R>(User, PhantomData<R>);

impl<R> Deref for UserWith<R> {
    type Target = User;

    fn deref(&self) -> &User {
        &self.0
    }
}

impl<R: RoleName> FromRequest for UserWith<R> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let user = User::from_request(req, payload).into_inner();
        ready(user.and_then(|user| user.require_role(R::NAME).map(drop).map(|()| Self(user, PhantomData))))
    }
}
