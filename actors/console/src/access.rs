//! What operators ask through the console: who asks is known by the guard, and what they change is kept.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest};
use essaim::operators::{Access, Act};
use essaim_console_contract::Audited;
use essaim_contract::Principal;
use futures_util::future::LocalBoxFuture;

use crate::console::Console;
use crate::guard::Operator;

/// The way of the console's operators.
pub(crate) struct ConsoleAccess(pub Arc<Console>);

impl Access for ConsoleAccess {
    fn operator(&self, http: &HttpRequest, _personal: bool) -> Result<String, String> {
        http.extensions().get::<Operator>().map(|operator| operator.name.clone()).ok_or_else(|| "log in".into())
    }

    fn principal(&self, http: &HttpRequest) -> Option<Principal> {
        http.extensions().get::<Operator>()?.principal.clone()
    }

    fn audit<'a>(&'a self, operator: &'a str, act: &'a Act) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            act.log(operator);
            match act {
                Act::Reads(_) => Ok(()),
                Act::Changes(changes) => self.0.keep(operator, changes).await,
            }
        })
    }
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
