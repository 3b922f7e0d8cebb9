//! Who may ask what of a node over HTTP, and who has.

use actix_web::HttpRequest;
use essaim_audit::Asker;
use essaim_contract::Principal;

use crate::api::ApiRequest;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// How the node is.
    Probe,
    /// To read.
    Look,
    /// To read what may be personal.
    LookPersonal,
    /// To change something.
    Change,
}

impl Right {
    /// What a request asks for.
    pub fn of<Q: ApiRequest>() -> Self {
        match () {
            () if Q::CHANGES => Self::Change,
            () if Q::IS_PERSONAL => Self::LookPersonal,
            () => Self::Look,
        }
    }
}

/// How a listener knows its operators.
pub trait Access: Send + Sync + 'static {
    /// Who sends a request, if they have this right.
    ///
    /// # Errors
    /// Why it is refused, and what would be right.
    fn asker(&self, http: &HttpRequest, right: Right) -> Result<Asker, String>;

    /// On whose behalf the messages of this sender are sent; `None`: on nobody's.
    fn principal(&self, http: &HttpRequest) -> Option<Principal> {
        let _ = http;
        None
    }
}

/// Tells the log who reads what may be personal.
pub fn log_reader(asker: &Asker, reads: &str) {
    tracing::info!(target: "essaim::audit", operator = %asker, reads, "an operator reads message records or log lines");
}
