//! The export of a node's message records, if the configuration names a receiver.

use std::sync::Arc;

use essaim_base::Env;
use essaim_base::task::Tasks;
use essaim_config::OtlpConfig;
pub use essaim_otlp::{Exporter, OtlpError as ExportError};
use essaim_trace::Recorder;

/// Checks that there can be such an export, if there is to be one. Must be called inside a runtime.
pub fn check(config: &OtlpConfig) -> Result<(), ExportError> {
    if config.is_on() { Exporter::check(config) } else { Ok(()) }
}

/// Begins the export, if there is to be one.
pub fn start(
    config: &OtlpConfig,
    env: &Env,
    recorder: &Arc<Recorder>,
    tasks: &Tasks,
) -> Result<Option<Arc<Exporter>>, ExportError> {
    config.is_on().then(|| Exporter::start(config, env, recorder, tasks)).transpose()
}
