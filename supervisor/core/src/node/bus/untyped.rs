//! Asks of senders that do not have the message's type, such as operators: encoded, they go the way of all asks.

use std::sync::Arc;

use essaim_base::call::Call;
use essaim_contract::{AskError, NotDelivered};
use essaim_durable::UntypedMessage;
use essaim_protocol::frame::RawAnswer;
use essaim_remote::RemoteAsk;
use essaim_trace::{Shown, shown_key};

use super::{Bus, HandlerRef};

impl Bus {
    /// Asks as [`Bus::ask`] does for a caller outside actors.
    pub async fn ask_untyped(&self, ask: UntypedMessage, idempotent: bool, call: Call) -> RawAnswer {
        let UntypedMessage { name, capability, key, personal_key, body } = ask;
        let (name, mut refused): (Arc<str>, _) = (name.into(), None);
        if let Some(HandlerRef { host, entry }) = self.local_handler_of(&name, &capability, key.as_deref()) {
            let answering = host.entries()[*entry].answer(host.clone(), *entry, &body, call.clone());
            let answer = match answering {
                Ok(answering) => answering.await,
                Err(why) => Err(AskError::NotDelivered(why)),
            };
            match answer {
                Err(AskError::NotDelivered(why)) => refused = Some(why),
                answer => return answer,
            }
        }
        match &self.remote {
            Some(remote) => {
                let capability = capability.to_string().into();
                remote.ask(RemoteAsk { capability, name, body, key, personal_key, idempotent, call, refused }).await
            }
            None => {
                let why = refused.unwrap_or_else(|| NotDelivered::NoHost { capability: capability.to_string() });
                let key = key.map(|key| shown_key(&key, personal_key));
                self.write_refused(Shown { key, ..Shown::default() }, &call.trace, (name, &capability), &why);
                Err(AskError::NotDelivered(why))
            }
        }
    }

    /// The handler of an ask in this node, if it should be answered locally.
    fn local_handler_of(&self, name: &Arc<str>, capability: &str, key: Option<&str>) -> Option<&HandlerRef> {
        let handler = self.local.by_name(name)?;
        let load = || handler.host.admitted();
        match &self.remote {
            Some(remote) if !remote.prefers_local(capability, || name.to_string(), || key.map(Into::into), load) => {
                None
            }
            _ => Some(handler),
        }
    }
}
