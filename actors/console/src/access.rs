//! What operators ask through the console: who asks is known by the guard.

use actix_web::{HttpMessage, HttpRequest};
use essaim::operators::{Access, Asker, Right};
use essaim_contract::Principal;

use crate::guard::Operator;

/// The way of the console's operators.
pub(crate) struct ConsoleAccess;

impl Access for ConsoleAccess {
    fn asker(&self, http: &HttpRequest, _right: Right) -> Result<Asker, String> {
        asker(http).ok_or_else(|| "log in".into())
    }

    fn principal(&self, http: &HttpRequest) -> Option<Principal> {
        http.extensions().get::<Operator>()?.principal.clone()
    }
}

/// Who sends a request that has passed the guard.
pub(crate) fn asker(http: &HttpRequest) -> Option<Asker> {
    let Operator { name, principal } = http.extensions().get::<Operator>()?.clone();
    Some(asker_at(http, name, if principal.is_some() { "login" } else { "address" }))
}

/// Who has this name, at the other end of a request.
pub(crate) fn asker_at(http: &HttpRequest, who: String, via: &str) -> Asker {
    let origin = http.peer_addr().map(|address| format!("console, {}", address.ip())).unwrap_or_default();
    Asker { who, via: via.into(), origin }
}
