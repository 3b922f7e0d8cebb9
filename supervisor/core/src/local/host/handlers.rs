//! The host as the port through which durable messages reach its handlers.

use std::sync::Arc;
use std::time::Duration;

use essaim_base::call::Call;
use essaim_contract::NotDelivered;
use essaim_durable::{Applied, DeliveryContext, DurableHandler, Handlers};
use essaim_protocol::log::Subscription;
use futures_util::future::LocalBoxFuture;

use super::Host;
use crate::local::handler::HandlerKind;

impl Handlers for Host {
    fn capability(&self) -> &Arc<str> {
        &self.name
    }

    fn messages(&self) -> Vec<(Arc<str>, Option<Subscription>)> {
        let durable = self.entries().iter().filter_map(|entry| match entry.kind() {
            HandlerKind::Durable(subscription) => Some((entry.name().clone(), subscription)),
            _ => None,
        });
        durable.collect()
    }

    fn handler_of(&self, message: &str) -> Option<DurableHandler> {
        self.entries().iter().enumerate().find_map(|(index, entry)| match entry.kind() {
            HandlerKind::Durable(subscription) if **entry.name() == *message => {
                Some(DurableHandler { entry: index, subscription })
            }
            _ => None,
        })
    }

    fn apply(
        self: Arc<Self>,
        handler: DurableHandler,
        body: &[u8],
        call: Call,
        delivery: Arc<DeliveryContext>,
    ) -> Result<LocalBoxFuture<'static, Applied>, NotDelivered> {
        self.entries()[handler.entry].apply(self.clone(), handler.entry, body, call, delivery)
    }

    fn instances(&self) -> usize {
        Self::instances(self).len()
    }

    fn running(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(self.supervision.running())
    }

    fn is_resting(&self) -> bool {
        self.supervision.is_resting()
    }

    fn is_blocked_for(&self, limit: Duration) -> bool {
        Self::is_blocked_for(self, limit)
    }
}
