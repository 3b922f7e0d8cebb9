//! The gateway as an actor: supervision starts it, timers refresh its keys, and a drain stops it.

use std::sync::Arc;
use std::time::Duration;

use essaim::config::ConfigError;
use essaim::{Actor, Cx, Fault, Handles, Start, StartError, listen};
use essaim_auth_contract::Auth;
use essaim_contract::Capability;
use essaim_gateway_contract::Gateway;
use essaim_http::RouteSet;
use serde_json::Value;

use crate::front::Front;
use crate::server::Server;
use crate::{GatewaySettings, pages};

const REFRESH_KEYS: &str = "refresh-keys";

/// The actor that serves HTTP. It answers no messages: its work is in the server's own threads.
pub struct GatewayActor {
    front: Arc<Front>,
}

/// The running server.
pub struct Shared(Server);

impl Actor for GatewayActor {
    type Capability = Gateway;
    type Settings = GatewaySettings;
    type Shared = Shared;
    const ASKS: &'static [&'static str] = &[Auth::NAME];

    fn check(settings: &GatewaySettings) -> Result<(), ConfigError> {
        settings.check()
    }

    async fn share(settings: GatewaySettings, start: &mut Start) -> Result<Shared, StartError> {
        let routes = start.provided::<RouteSet>().unwrap_or_default();
        let listener = listen("gateway.listen", &settings.listen)?;
        let refresh = Duration::from_millis(settings.keys_refresh_ms.max(1_000));
        let front = Arc::new(Front::new(settings, routes, start.client())?);
        let drain = &start.settings().drain;
        let (announce, within) = (Duration::from_millis(drain.announce_ms), Duration::from_millis(drain.timeout_ms));
        // The node waits for `drain.timeout_ms` and no longer; what is cut off should be told before.
        let stop_within = within.saturating_sub(announce) * 9 / 10;
        let (server, serving) = Server::start(front, listener, announce, stop_within)?;
        start.task("http", serving);
        start.every(REFRESH_KEYS, refresh);
        tracing::debug!(address = %server.address(), "serving HTTP");
        Ok(Shared(server))
    }

    async fn start(shared: &Shared, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self { front: shared.0.front().clone() })
    }

    fn handles(_: &mut Handles<Self>) {}

    async fn tick(&mut self, _: &'static str, _: &mut Cx) -> Result<(), Fault> {
        self.front.keys.refresh().await;
        Ok(())
    }

    async fn drain(shared: &Shared) {
        shared.0.drain().await;
    }

    fn status(shared: &Shared) -> Value {
        let mut figures = pages::figures(shared.0.front());
        figures["listen"] = shared.0.address().to_string().into();
        figures
    }
}
