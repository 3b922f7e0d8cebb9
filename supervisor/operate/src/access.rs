//! Who may ask what of a node over HTTP, and who has.

use actix_web::HttpRequest;
use essaim_contract::Principal;
use futures_util::future::LocalBoxFuture;

use crate::api::Act;

/// How a listener knows its operators.
pub trait Access: Send + Sync + 'static {
    /// Who sends a request, which may be told what is personal (`IS_PERSONAL`) if it is `personal`.
    ///
    /// # Errors
    /// Why it is refused, and what would be right.
    fn operator(&self, http: &HttpRequest, personal: bool) -> Result<String, String>;

    /// On whose behalf the messages of this sender are sent; `None`: on nobody's.
    fn principal(&self, http: &HttpRequest) -> Option<Principal> {
        let _ = http;
        None
    }

    /// Keeps who does what, before it is done.
    ///
    /// # Errors
    /// Why it cannot be kept: then it is not done either.
    fn audit<'a>(&'a self, operator: &'a str, act: &'a Act) -> LocalBoxFuture<'a, Result<(), String>>;
}

impl Act {
    /// Tells the log.
    pub fn log(&self, operator: &str) {
        match self {
            Self::Reads(reads) => {
                tracing::info!(target: "essaim::audit", operator, reads, "an operator reads message records or log lines");
            }
            Self::Changes(changes) => {
                tracing::info!(target: "essaim::audit", operator, changes, "an operator changes something");
            }
        }
    }
}
