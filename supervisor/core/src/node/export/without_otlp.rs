//! The absence of the export, in a binary that was built without it: a receiver is refused.

use std::convert::Infallible;
use std::sync::Arc;

use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::OtlpConfig;
use essaim_trace::Recorder;

/// No exporter.
pub struct Exporter(Infallible);

/// A receiver is configured, and there is no export.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`trace.otlp.endpoint` is set, and this binary was built without the export of records; build it with the feature `otlp`"
)]
pub struct ExportError;

impl Exporter {
    /// Never called: there is no exporter.
    pub async fn flush(&self) {
        match self.0 {}
    }
}

/// Refuses a receiver.
pub fn check(config: &OtlpConfig) -> Result<(), ExportError> {
    if config.is_on() { Err(ExportError) } else { Ok(()) }
}

/// Refuses a receiver.
pub fn start(config: &OtlpConfig, _: &Env, _: &Arc<Recorder>, _: &Tasks) -> Result<Option<Arc<Exporter>>, ExportError> {
    check(config).map(|()| None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use essaim_config::TraceConfig;

    use super::*;

    #[tokio::test]
    async fn a_binary_without_the_export_refuses_receivers_and_says_how_to_build_one() {
        let (env, tasks) = (Env::simulated(1, Duration::ZERO), Tasks::without_node());
        let recorder = Recorder::new("a", &TraceConfig::default(), &env, 1);
        let start = |endpoint: &str| {
            let config = OtlpConfig { endpoint: endpoint.into(), ..OtlpConfig::default() };
            start(&config, &env, &recorder, &tasks).map(|exporter| exporter.is_some())
        };
        assert_eq!(start(""), Ok(false));
        let refused = start("http://127.0.0.1:4317").expect_err("there is no export").to_string();
        assert!(refused.contains("trace.otlp.endpoint") && refused.contains("feature `otlp`"), "{refused}");
    }
}
