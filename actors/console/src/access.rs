//! What operators ask through the console: who asks is known by the guard, and what they change is kept.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest};
use essaim::operators::{Access, Asker, Right};
use essaim_console_contract::Audited;
use essaim_contract::Principal;
use futures_util::future::LocalBoxFuture;

use crate::console::Console;
use crate::guard::Operator;

/// The way of the console's operators.
pub(crate) struct ConsoleAccess(pub Arc<Console>);

impl Access for ConsoleAccess {
    fn asker(&self, http: &HttpRequest, _right: Right) -> Result<Asker, String> {
        asker(http).ok_or_else(|| "log in".into())
    }

    fn principal(&self, http: &HttpRequest) -> Option<Principal> {
        http.extensions().get::<Operator>()?.principal.clone()
    }

    fn keep<'a>(&'a self, asker: &'a Asker, changes: &'a str) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(self.0.keep(&asker.who, changes))
    }
}

/// Who sends a request that has passed the guard.
pub(crate) fn asker(http: &HttpRequest) -> Option<Asker> {
    let Operator { name, principal } = http.extensions().get::<Operator>()?.clone();
    let via = if principal.is_some() { "login" } else { "address" };
    let origin = http.peer_addr().map(|address| format!("console, {}", address.ip())).unwrap_or_default();
    Some(Asker { who: name, via: via.into(), origin })
}

impl Console {
    /// Keeps that an operator changes something.
    ///
    /// # Errors
    /// Why it cannot be kept: then it is not to be done either.
    pub async fn keep(&self, operator: &str, act: &str) -> Result<(), String> {
        let (id, at_ms) = (self.env.id().to_string(), self.env.wall_ms());
        let audited = Audited { id, at_ms, operator: operator.into(), act: act.into() };
        let kept = self.client.send(audited).await;
        kept.map(drop).map_err(|error| format!("nothing was done, since it cannot be kept who did it: {error}"))
    }
}
