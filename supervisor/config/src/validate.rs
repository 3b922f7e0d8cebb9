//! The ranges of settings, which types cannot express.

use std::collections::BTreeSet;

use super::Settings;
use super::settings::{BridgeConfig, NoPairs, pairs};
use super::url;

/// The most instances of one capability in one node.
const MOST_INSTANCES: usize = 4_096;
/// The most messages admitted at a time to one capability in one node.
const MOST_MAILBOX: u32 = 1_000_000;
/// The most partitions of one capability.
const MOST_PARTITIONS: u32 = 1_024;
/// The most threads of one kind in one node.
const MOST_THREADS: usize = 1_024;
/// The most connections of one pool.
const MOST_CONNECTIONS: u32 = 1_000;
/// A secret of fewer bytes could be guessed.
const SHORTEST_SECRET: usize = 32;
/// The longest name of a node, in bytes: it is part of every channel and lease.
const LONGEST_NAME: usize = 64;
/// The most spans of one export: receivers take requests of 4 MiB.
const MOST_BATCH_SPANS: u32 = 4_096;
/// A smaller store of records would be emptied by each page that is added.
const SMALLEST_STORE_BYTES: u64 = 8 << 20;
/// A smaller audit would forget what was done a moment ago.
const SMALLEST_AUDIT_BYTES: u64 = 256 << 10;
/// Frames and messages smaller than this could not hold their own header.
const SMALLEST_BYTES: u64 = 1_024;

/// A rule that a setting breaks.
#[derive(Debug)]
pub struct BrokenRule {
    pub key: String,
    /// What the setting must be, and what it is, as the rest of a sentence.
    pub must: String,
}

/// Checks the ranges of all settings.
pub fn check_ranges(s: &Settings) -> Result<(), BrokenRule> {
    node(s)?;
    links(s)?;
    data(s)?;
    durable(s)?;
    otlp(s)?;
    records(s)?;
    capabilities(s)
}

fn rule(kept: bool, key: &str, must: impl FnOnce() -> String) -> Result<(), BrokenRule> {
    if kept { Ok(()) } else { Err(BrokenRule { key: key.into(), must: must() }) }
}

fn at_least_1(key: &str, value: u64) -> Result<(), BrokenRule> {
    rule(value >= 1, key, || "be 1 or more, not 0".into())
}

fn at_most(key: &str, value: u64, most: u64) -> Result<(), BrokenRule> {
    rule(value <= most, key, || format!("be {most} or less, not {value}"))
}

/// Checks that `less` is below (or, where equality makes sense, not above) `more`.
fn ordered(less: (&str, u64), more: (&str, u64), equal: bool) -> Result<(), BrokenRule> {
    let kept = less.1 < more.1 || (equal && less.1 == more.1);
    let relation = if equal { "not be more than" } else { "be less than" };
    rule(kept, less.0, || format!("{relation} `{}` ({}), but it is {}", more.0, more.1, less.1))
}

fn node(s: &Settings) -> Result<(), BrokenRule> {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = &s.node.name;
    rule(!name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fit), "node.name", || {
        format!("be 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`, not \"{name}\"")
    })?;
    rule(!s.node.data_dir.as_os_str().is_empty(), "node.data_dir", || "name a directory, not be empty".into())?;
    let listen = &s.node.admin_listen;
    rule(listen.is_empty() || is_address(listen), "node.admin_listen", || {
        format!("be an address with a port, such as 127.0.0.1:9100, not \"{listen}\"")
    })?;
    let n = &s.node;
    certificates(("node.admin_ca", &n.admin_ca), ("node.admin_cert", &n.admin_cert), ("node.admin_key", &n.admin_key))?;
    operators(s)?;
    at_most("node.arbiters", s.node.arbiters as u64, MOST_THREADS as u64)?;
    at_most("node.blocking_threads", s.node.blocking_threads as u64, MOST_THREADS as u64)?;
    at_least_1("drain.timeout_ms", s.drain.timeout_ms)?;
    ordered(("drain.announce_ms", s.drain.announce_ms), ("drain.timeout_ms", s.drain.timeout_ms), true)?;
    let v = &s.supervision;
    at_least_1("supervision.max_failures", v.max_failures.into())?;
    at_least_1("supervision.backoff_first_ms", v.backoff_first_ms)?;
    at_least_1("supervision.failed_retry_ms", v.failed_retry_ms)?;
    let first = ("supervision.backoff_first_ms", v.backoff_first_ms);
    ordered(first, ("supervision.backoff_most_ms", v.backoff_most_ms), true)
}

/// Checks that tokens tell operators apart.
fn operators(s: &Settings) -> Result<(), BrokenRule> {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let mut tokens = BTreeSet::from([&*s.node.operator_token]);
    for (name, token) in &s.node.operators {
        let key = format!("node.operators.{name}");
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(fit);
        rule(is_name, &key, || format!("have a name of 1 to {LONGEST_NAME} letters, digits, `-`, `_`, `.` or `@`"))?;
        let is_token = !token.is_empty() && !token.contains(char::is_whitespace);
        rule(is_token, &key, || "be a token without spaces, not empty".into())?;
        rule(tokens.insert(token), &key, || "be a token that nobody else has".into())?;
    }
    at_least_1("audit.keep_days", s.audit.keep_days)?;
    let bytes = s.audit.max_bytes;
    rule(bytes >= SMALLEST_AUDIT_BYTES, "audit.max_bytes", || format!("be {SMALLEST_AUDIT_BYTES} or more, not {bytes}"))
}

/// Whether the text is a host and a port.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Certificates and a key of these keys of the configuration, as far as can be seen without reading them.
fn certificates(ca: (&str, &str), cert: (&str, &str), own: (&str, &str)) -> Result<(), BrokenRule> {
    for ((key, pem), label) in [(ca, "CERTIFICATE"), (cert, "CERTIFICATE"), (own, "PRIVATE KEY")] {
        rule(pem.is_empty() || pem.contains(&format!("{label}-----")), key, || {
            format!("be the text of a PEM file with a {label}: {key}_file = \"PATH\" reads it from there")
        })?;
    }
    rule(cert.1.is_empty() == own.1.is_empty(), cert.0, || {
        format!("come together with {}: a certificate is nothing without its key", own.0)
    })
}

fn bridge_certificates(bridge: &BridgeConfig, scheme: &str) -> Result<(), BrokenRule> {
    let (ca, cert, own) = (("bridge.ca", &*bridge.ca), ("bridge.cert", &*bridge.cert), ("bridge.key", &*bridge.key));
    for (key, pem) in [ca, cert, own] {
        let is_tls = scheme.starts_with("rediss");
        rule(pem.is_empty() || is_tls, key, || "be empty, since bridge.url does not begin with rediss://".into())?;
    }
    certificates(ca, cert, own)
}

/// Checks that a URL leads where it was meant to.
fn well_formed(key: &str, url: &str) -> Result<(), BrokenRule> {
    url::mistake(url.trim()).map_or(Ok(()), |must| Err(BrokenRule { key: key.into(), must }))
}

fn links(s: &Settings) -> Result<(), BrokenRule> {
    let url = &s.bridge.url;
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let is_known = matches!(scheme, "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel");
    rule(url.is_empty() || is_known, "bridge.url", || {
        "begin with redis:// or rediss:// (or redis+sentinel://, rediss+sentinel://), or be empty for a single process"
            .into()
    })?;
    well_formed("bridge.url", url)?;
    rule(
        !s.bridge.namespace.is_empty() && !s.bridge.namespace.contains(char::is_whitespace),
        "bridge.namespace",
        || format!("be a word, not \"{}\"", s.bridge.namespace),
    )?;
    bridge_certificates(&s.bridge, scheme)?;
    at_least_1("bridge.connection_life_ms", s.bridge.connection_life_ms)?;
    secrets(&s.bridge)?;
    at_least_1("ask.timeout_ms", s.ask.timeout_ms)?;
    at_most("ask.retry_percent", s.ask.retry_percent.into(), 100)?;
    let w = &s.wire;
    for (key, bytes) in [("wire.max_message_bytes", w.max_message_bytes), ("wire.frame_bytes", w.frame_bytes)] {
        rule(bytes >= SMALLEST_BYTES, key, || format!("be {SMALLEST_BYTES} or more, not {bytes}"))?;
    }
    let largest = ("wire.max_message_bytes", w.max_message_bytes);
    ordered(largest, ("wire.window_bytes", w.window_bytes), true)?;
    ordered(largest, ("wire.queue_bytes", w.queue_bytes), true)?;
    at_least_1("wire.duplicate_frames", w.duplicate_frames as u64)?;
    at_least_1("wire.senders", w.senders as u64)?;
    at_least_1("wire.ping_interval_ms", w.ping_interval_ms)?;
    ordered(("wire.ping_interval_ms", w.ping_interval_ms), ("wire.ping_timeout_ms", w.ping_timeout_ms), false)?;
    at_least_1("wire.response_timeout_ms", w.response_timeout_ms)?;
    at_least_1("wire.reconnect_first_ms", w.reconnect_first_ms)?;
    let first = ("wire.reconnect_first_ms", w.reconnect_first_ms);
    ordered(first, ("wire.reconnect_most_ms", w.reconnect_most_ms), true)?;
    let m = &s.members;
    at_least_1("members.heartbeat_ms", m.heartbeat_ms)?;
    ordered(("members.heartbeat_ms", m.heartbeat_ms), ("members.silent_ms", m.silent_ms), false)?;
    ordered(("members.silent_ms", m.silent_ms), ("members.lease_ms", m.lease_ms), false)?;
    at_least_1("members.refused_nodes", m.refused_nodes.into())?;
    let percentages =
        [("parity.duplicate_percent", s.parity.duplicate_percent), ("parity.loss_percent", s.parity.loss_percent)];
    for (key, percent) in percentages {
        rule((0.0..=100.0).contains(&percent), key, || format!("be from 0 to 100, not {percent}"))?;
    }
    Ok(())
}

/// Neither rule tells a secret.
fn secrets(b: &BridgeConfig) -> Result<(), BrokenRule> {
    let is_long = |secret: &str| secret.len() >= SHORTEST_SECRET;
    rule(b.secret.is_empty() || is_long(&b.secret), "bridge.secret", || {
        format!(
            "have {SHORTEST_SECRET} characters or more, not {}: `openssl rand -hex 32` makes one",
            b.secret.chars().count()
        )
    })?;
    rule(b.old_secrets.iter().all(|secret| is_long(secret)), "bridge.old_secrets", || {
        format!("have {SHORTEST_SECRET} characters or more each: `openssl rand -hex 32` makes one")
    })?;
    rule(b.old_secrets.is_empty() || !b.secret.is_empty(), "bridge.old_secrets", || {
        "be empty where `bridge.secret` is: a node that believes signatures makes them".into()
    })
}

fn data(s: &Settings) -> Result<(), BrokenRule> {
    at_least_1("store.transaction_limit_ms", s.store.transaction_limit_ms)?;
    at_least_1("store.file_check_ms", s.store.file_check_ms)?;
    at_least_1("store.acquire_timeout_ms", s.store.acquire_timeout_ms)?;
    at_least_1("store.connection_life_ms", s.store.connection_life_ms)?;
    at_least_1("store.recheck_first_ms", s.store.recheck_first_ms)?;
    let first = ("store.recheck_first_ms", s.store.recheck_first_ms);
    ordered(first, ("store.recheck_most_ms", s.store.recheck_most_ms), true)?;
    at_least_1("store.postgres_connections", s.store.postgres_connections.into())?;
    at_most("store.postgres_connections", s.store.postgres_connections.into(), MOST_CONNECTIONS.into())?;
    at_most("store.node_connections", s.store.node_connections.into(), MOST_CONNECTIONS.into())?;
    at_least_1("store.idle_connection_ms", s.store.idle_connection_ms)?;
    at_least_1("store.sqlite_readers", s.store.sqlite_readers.into())?;
    at_most("store.sqlite_readers", s.store.sqlite_readers.into(), MOST_CONNECTIONS.into())
}

fn durable(s: &Settings) -> Result<(), BrokenRule> {
    let d = &s.durable;
    let counts = [
        ("durable.partitions", d.partitions.into()),
        ("durable.partition_messages", d.partition_messages),
        ("durable.sends_waiting", d.sends_waiting as u64),
        ("durable.send_timeout_ms", d.send_timeout_ms),
        ("durable.replicas", d.replicas.into()),
        ("durable.replicas_timeout_ms", d.replicas_timeout_ms),
        ("durable.tend_ms", d.tend_ms),
        ("durable.readers", d.readers.into()),
        ("durable.window", d.window as u64),
        ("durable.handler_timeout_ms", d.handler_timeout_ms),
        ("durable.attempts", d.attempts.into()),
        ("durable.backoff_first_ms", d.backoff_first_ms),
        ("durable.inbox_retention_hours", d.inbox_retention_hours),
        ("durable.inbox_ids", d.inbox_ids),
        ("durable.kept_events", d.kept_events),
        ("durable.outbox_messages", d.outbox_messages),
        ("durable.overflow_messages", d.overflow_messages),
    ];
    counts.into_iter().try_for_each(|(key, value)| at_least_1(key, value))?;
    at_most("durable.partitions", d.partitions.into(), MOST_PARTITIONS.into())?;
    at_most("durable.readers", d.readers.into(), MOST_CONNECTIONS.into())?;
    let bytes = d.batch_bytes as u64;
    rule(bytes >= SMALLEST_BYTES, "durable.batch_bytes", || format!("be {SMALLEST_BYTES} or more, not {bytes}"))?;
    let timeout = ("durable.replicas_timeout_ms", d.replicas_timeout_ms);
    ordered(timeout, ("wire.response_timeout_ms", s.wire.response_timeout_ms), false)?;
    ordered(("durable.tend_ms", d.tend_ms), ("durable.lease_ms", d.lease_ms), false)?;
    let first = ("durable.backoff_first_ms", d.backoff_first_ms);
    ordered(first, ("durable.backoff_most_ms", d.backoff_most_ms), true)
}

fn otlp(s: &Settings) -> Result<(), BrokenRule> {
    let o = &s.trace.otlp;
    let is_url = ["http://", "https://"].iter().any(|scheme| o.endpoint.starts_with(scheme));
    rule(o.endpoint.is_empty() || is_url, "trace.otlp.endpoint", || {
        "begin with http:// or https://, or be empty where nothing is exported".into()
    })?;
    rule(!o.endpoint.contains('@'), "trace.otlp.endpoint", || {
        "tell no password: give it as `trace.otlp.headers`, or as `trace.otlp.headers_file`".into()
    })?;
    rule(!o.is_on() || s.trace.ring_bytes > 0, "trace.otlp.endpoint", || {
        "be empty where no records are kept (`trace.ring_bytes` is 0)".into()
    })?;
    rule(!o.service_name.is_empty(), "trace.otlp.service_name", || "be a name, not empty".into())?;
    for (key, text) in [("trace.otlp.headers", &o.headers), ("trace.otlp.attributes", &o.attributes)] {
        rule(pairs(text).is_ok(), key, || NoPairs.to_string())?;
    }
    at_least_1("trace.otlp.interval_ms", o.interval_ms)?;
    at_least_1("trace.otlp.batch_spans", o.batch_spans.into())?;
    at_most("trace.otlp.batch_spans", o.batch_spans.into(), MOST_BATCH_SPANS.into())?;
    at_least_1("trace.otlp.timeout_ms", o.timeout_ms)?;
    let interval = ("trace.otlp.interval_ms", o.interval_ms);
    ordered(interval, ("trace.otlp.backoff_most_ms", o.backoff_most_ms), true)
}

fn records(s: &Settings) -> Result<(), BrokenRule> {
    let (t, named) = (&s.trace, &s.trace.store_node);
    let is_known = named.is_empty() || s.nodes.is_empty() || s.nodes.contains_key(named);
    rule(is_known, "trace.store_node", || {
        let nodes: Vec<_> = s.nodes.keys().map(String::as_str).collect();
        format!("name a node of the topology ({}), not \"{named}\"", nodes.join(", "))
    })?;
    rule(t.store_bytes == 0 || t.store_bytes >= SMALLEST_STORE_BYTES, "trace.store_bytes", || {
        format!("be {SMALLEST_STORE_BYTES} or more, or 0, not {}", t.store_bytes)
    })?;
    at_least_1("trace.store_hours", t.store_hours)?;
    at_least_1("trace.store_records_per_second", t.store_records_per_second.into())?;
    at_least_1("trace.store_interval_ms", t.store_interval_ms)
}

fn capabilities(s: &Settings) -> Result<(), BrokenRule> {
    for (name, c) in &s.capabilities {
        at_most(&format!("capabilities.{name}.instances"), c.instances as u64, MOST_INSTANCES as u64)?;
        at_most(&format!("capabilities.{name}.mailbox"), c.mailbox.into(), MOST_MAILBOX.into())?;
        at_most(&format!("capabilities.{name}.mailbox_per_key"), c.mailbox_per_key.into(), MOST_MAILBOX.into())?;
        at_most(&format!("capabilities.{name}.partitions"), c.partitions.into(), MOST_PARTITIONS.into())?;
        let known = ["postgres://", "postgresql://", "sqlite://"];
        let fits = c.database.is_empty() || known.iter().any(|k| c.database.starts_with(k));
        rule(fits, &format!("capabilities.{name}.database"), || {
            "begin with postgres:// or sqlite://, or be empty for a SQLite file in node.data_dir".into()
        })?;
        if !c.database.starts_with("sqlite://") {
            well_formed(&format!("capabilities.{name}.database"), &c.database)?;
        }
    }
    Ok(())
}
