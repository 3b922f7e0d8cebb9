//! Where log lines go: to stderr, pretty for people or one JSON object a line, and into a ring for `essaim logs`.

use std::io::IsTerminal;

use essaim::Env;
use essaim::config::{LogConfig, LogFormat};
use essaim::exit::{self, Fatal};
use essaim::logs::{Bearing, LogLayer, LogRing, log_panics};
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Levels of libraries that log too much at `info`; `log.filter` can raise them by name. actix-http logs bad requests
/// of clients as errors, and the access log has these already.
const TAMED: &str = "sqlx=warn,sea_orm=warn,sea_orm_migration=warn,actix_server=warn,actix_http=off,actix_web=warn,\
                     redis=warn,rustls=warn,ureq=warn,mio=warn";

/// Starts logging for this node. `RUST_LOG` wins over `log.filter`.
///
/// # Errors
/// If the filter is none.
pub fn start(config: &LogConfig, node: &str) -> Result<(), Fatal> {
    let (name, wanted) = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.trim().is_empty() => ("RUST_LOG", filter),
        _ => ("log.filter", config.filter.clone()),
    };
    let filter = EnvFilter::builder().parse(format!("{TAMED},{wanted}")).map_err(|error| {
        Fatal::new(exit::CONFIG, format!("{name}: \"{wanted}\" is no log filter, such as info,essaim=debug: {error}"))
    })?;
    // A process whose parent is gone has nowhere to write; that must not become a panic in the code that logs.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = match config.format {
        LogFormat::Pretty => {
            let format = format().with_ansi(colours()).with_target(false);
            lines.with_ansi(colours()).event_format(Bearing::pretty(format, node, colours())).boxed()
        }
        LogFormat::Json => {
            let format = format().json().flatten_event(true).with_current_span(true).with_span_list(false);
            lines.fmt_fields(JsonFields::new()).event_format(Bearing::json(format, node)).boxed()
        }
    };
    let kept = (config.ring_bytes > 0).then(|| {
        let ring = LogRing::of(&Env::system(), config.ring_bytes as usize);
        ring.clone().install();
        LogLayer::of(ring, node)
    });
    tracing_subscriber::registry().with(filter).with(lines).with(kept).init();
    log_panics();
    Ok(())
}

/// Whether to colour stderr.
pub fn colours() -> bool {
    is_coloured(&std::io::stderr())
}

/// Whether to colour an output: on a terminal, or when the environment asks for it; never with `NO_COLOR`.
pub fn is_coloured(output: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
    !is_set("NO_COLOR") && (is_set("CLICOLOR_FORCE") || output.is_terminal())
}
