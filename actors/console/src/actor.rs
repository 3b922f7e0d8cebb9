//! The console as an actor: supervision starts it, a drain stops it, and what is to be kept it tells itself.

use std::sync::Arc;
use std::time::Duration;

use essaim::config::ConfigError;
use essaim::store::Schema;
use essaim::{Actor, Apply, Cx, Fault, Handles, Start, StartError, listen};
use essaim_auth_contract::Auth;
use essaim_console_contract::{Console as Capability, EndSession};
use essaim_contract::Capability as _;
use essaim_users_contract::Users;
use serde_json::{Value, json};

use crate::console::Console;
use crate::server::Server;
use crate::store::{self, sessions};
use crate::{ConsoleSettings, session};

const SWEEP: &str = "sweep";
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// The actor that serves the console.
pub struct ConsoleActor(Arc<Console>);

/// The running server.
pub struct ConsoleShared(Server);

impl Actor for ConsoleActor {
    type Capability = Capability;
    type Settings = ConsoleSettings;
    type Shared = ConsoleShared;
    const ASKS: &'static [&'static str] = &[Auth::NAME, Users::NAME];

    fn schema() -> Option<Schema> {
        Some(store::schema())
    }

    fn check(settings: &ConsoleSettings) -> Result<(), ConfigError> {
        settings.check()
    }

    async fn share(settings: ConsoleSettings, start: &mut Start) -> Result<ConsoleShared, StartError> {
        let listener = listen("console.listen", &settings.listen)?;
        let new = session::new_secret(start.env());
        let tx = start.begin().await?;
        let secret = sessions::secret(&tx, new).await?;
        tx.commit().await?;
        let console = Arc::new(Console::new(settings, start, listener.local_addr()?, secret.as_bytes()));
        let (server, serving) = Server::start(console, listener)?;
        start.task("http", serving);
        start.every(SWEEP, SWEEP_EVERY);
        let console = server.console();
        tracing::debug!(address = %console.address, login = !console.is_open, "serving the console");
        Ok(ConsoleShared(server))
    }

    async fn start(shared: &ConsoleShared, _: &mut Start) -> Result<Self, StartError> {
        Ok(Self(shared.0.console().clone()))
    }

    fn handles(h: &mut Handles<Self>) {
        h.command::<EndSession>();
    }

    async fn tick(&mut self, _: &'static str, cx: &mut Cx) -> Result<(), Fault> {
        let now_ms = cx.now_ms();
        self.0.forget_sessions(now_ms);
        let tx = cx.begin().await?;
        sessions::forget(&tx, signed(now_ms)).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn drain(shared: &ConsoleShared) {
        shared.0.drain().await;
    }

    fn status(shared: &ConsoleShared) -> Value {
        let console = shared.0.console();
        json!({ "listen": console.address.to_string(), "login": !console.is_open })
    }
}

impl Apply<EndSession> for ConsoleActor {
    async fn apply(&mut self, m: EndSession, cx: &mut Cx) -> Result<(), Fault<String>> {
        let tx = cx.begin().await?;
        sessions::end(&tx, m.session, signed(m.until_ms)).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Moments as databases keep them.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
