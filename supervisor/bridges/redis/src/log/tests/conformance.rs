//! The log over Redis does what every log has to.

use std::time::Duration;

use essaim_config::Settings;
use essaim_protocol::conformance::Fixture;
use essaim_protocol::log::Log;
use essaim_protocol::log_conformance;

use super::connect;
use super::settings;
use crate::RedisLog;

struct OnServer {
    settings: Settings,
    log: RedisLog,
}

impl Fixture for OnServer {
    const LEASE: Duration = Duration::from_millis(500);

    async fn new() -> Option<Self> {
        let settings = settings(&std::env::var("ESSAIM_TEST_REDIS").ok()?);
        let log = connect(&settings).await;
        Some(Self { settings, log })
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }

    async fn reopened(self) -> Self {
        let Self { settings, log } = self;
        drop(log);
        let log = connect(&settings).await;
        Self { settings, log }
    }
}

log_conformance!(OnServer, ());
