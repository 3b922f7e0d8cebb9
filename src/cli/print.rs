//! Output of commands: pages and JSON on stdout, lines for people on stderr.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use essaim::NodeStatus;
use essaim::config::{Config, without_password};
use essaim::exit::{self, Fatal};
use serde::Serialize;

use super::mark::{self, painted, wrong};
use super::operator::admin_url;
use crate::logging::{colours, is_coloured};

/// The one line with which a process ends in error.
pub fn error(fatal: &Fatal) {
    line(&format!("{} {fatal}", wrong("essaim:")));
}

/// Writes a line to stderr, coloured as it is marked. A reader that is gone is no reason to panic.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", painted(text, colours()));
}

/// The first error with which stdout took nothing more.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Writes what a command was asked for to stdout, coloured as it is marked; [`all_written`] says whether it is there.
pub fn page(text: &str) {
    written(io::stdout().lock().write_all(painted(text, is_coloured(&io::stdout())).as_bytes()));
}

/// Writes a part of an endless page; whether anybody still reads.
pub fn was_read(text: &str) -> bool {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Whether it was written; an error is kept.
pub fn written(result: io::Result<()>) -> bool {
    result.map_err(|error| UNWRITTEN.set(error)).is_ok()
}

/// Writes what is still held back of the pages of this process.
///
/// # Errors
/// If a part of them could not be written. A reader that has read enough is none.
pub fn all_written() -> Result<(), Fatal> {
    written(io::stdout().lock().flush());
    match UNWRITTEN.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fatal::new(exit::OUTPUT, format!("what was asked for cannot be written to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON to stdout.
pub fn json<T: Serialize>(value: &T) {
    page(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// Text that leaves room for the rest of its line.
pub fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A span of time in its largest two units.
pub fn span(ms: u64) -> String {
    let (s, m, h, d) = (ms / 1_000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match () {
        () if ms < 1_000 => format!("{ms} ms"),
        () if s < 60 => format!("{s} s"),
        () if m < 60 => format!("{m} min {} s", s % 60),
        () if h < 24 => format!("{h} h {} min", m % 60),
        () => format!("{d} d {} h", h % 24),
    }
}

/// Rows with every column as wide as its widest cell.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|r| mark::width(&r[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let padded = |(cell, width): (&String, &usize)| format!("{cell}{}", " ".repeat(width - mark::width(cell)));
        let cells: Vec<String> = row.iter().zip(&widths).map(padded).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Where a node listens, what it hosts and where its data is.
pub struct Places {
    node: String,
    hosts: Vec<String>,
    listen: Option<String>,
    console: Option<String>,
    admin: String,
    admin_url: String,
    data: String,
    bridge: String,
}

impl Places {
    /// The places that the configuration names.
    pub fn of(config: &Config, hosts: &[String]) -> Self {
        let s = &config.settings;
        let listen_of =
            |name: &str| config.value::<String>(name, "listen").filter(|_| hosts.iter().any(|host| host == name));
        let absolute = std::path::absolute(&s.node.data_dir).unwrap_or_else(|_| s.node.data_dir.clone());
        Self {
            node: s.node.name.clone(),
            hosts: hosts.to_vec(),
            listen: listen_of("gateway"),
            console: listen_of("console"),
            admin: s.node.admin_listen.clone(),
            admin_url: admin_url(&s.node),
            data: absolute.display().to_string(),
            bridge: if s.bridge.url.is_empty() { "embedded".into() } else { without_password(&s.bridge.url) },
        }
    }

    /// Whether the system chooses the port, so that the configuration does not tell it.
    pub fn leaves_port_open(&self) -> bool {
        [&self.listen, &self.console].into_iter().flatten().any(|listen| listen.ends_with(":0"))
    }

    /// Takes the address from the node's own status.
    pub fn found(&mut self, status: &NodeStatus) {
        for (name, place) in [("gateway", &mut self.listen), ("console", &mut self.console)] {
            let figures = status.capabilities.get(name).map(|capability| &capability.figures);
            if let Some(listen) = figures.and_then(|figures| figures["listen"].as_str()) {
                *place = Some(listen.to_string());
            }
        }
    }

    /// Prints the places as lines for people, or as one log event.
    pub fn announce(&self, pretty: bool) {
        let Self { node, hosts, listen, console, admin, admin_url, data, bridge } = self;
        let (version, hosts) = (env!("CARGO_PKG_VERSION"), hosts.join(", "));
        if !pretty {
            let [listen, console] = [listen, console].map(|place| place.as_deref().unwrap_or_default());
            tracing::info!(version, node, hosts, listen, console, admin, data, bridge, "started");
            return;
        }
        line(&format!("essaim {version}, node {node}"));
        line(&format!("  hosts   {hosts}"));
        if let Some(listen) = listen {
            line(&format!("  listens http://{listen} (documentation at /docs)"));
        }
        if let Some(console) = console {
            line(&format!("  console http://{console}"));
        }
        if !admin.is_empty() {
            line(&format!("  admin   {admin_url}/status"));
        }
        line(&format!("  data    {data}"));
        line(&format!("  bridge  {bridge}"));
    }
}
