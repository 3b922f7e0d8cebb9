//! `[trace.otlp]`: the export of message records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[trace.otlp]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Base URL of the receiver; empty: nothing is exported.
    pub endpoint: String,
    /// How spans are sent there.
    pub protocol: OtlpProtocol,
    /// Headers of each export, `name=value,…`; see [`pairs`].
    pub headers: String,
    /// `service.name` of the exported spans.
    pub service_name: String,
    /// `deployment.environment.name` of them; empty: none.
    pub environment: String,
    /// Other attributes of the resource, `name=value,…`; see [`pairs`].
    pub attributes: String,
    /// How often new records are exported, in milliseconds.
    pub interval_ms: u64,
    /// The most spans of one export.
    pub batch_spans: u32,
    /// How long one export may take, in milliseconds.
    pub timeout_ms: u64,
    /// The longest pause between failed exports, in milliseconds.
    pub backoff_most_ms: u64,
    /// How long the last export of a node that ends may take, in milliseconds.
    pub flush_ms: u64,
}

/// The transport of exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtlpProtocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary bodies.
    Http,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: OtlpProtocol::Grpc,
            headers: String::new(),
            service_name: "essaim".into(),
            environment: String::new(),
            attributes: String::new(),
            interval_ms: 1_000,
            batch_spans: 512,
            timeout_ms: 5_000,
            backoff_most_ms: 30_000,
            flush_ms: 2_000,
        }
    }
}

impl OtlpConfig {
    /// Whether records are exported.
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }
}

/// A list that is no list of pairs; its text is not told, since it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("be pairs such as name=value,other=value")]
pub struct NoPairs;

/// The pairs of a text in the form of `OTEL_EXPORTER_OTLP_HEADERS`: `name=value`, separated by commas; `%2C` in a value is a comma.
///
/// # Errors
/// If a part of it is no pair, or has no name.
pub fn pairs(text: &str) -> Result<BTreeMap<String, String>, NoPairs> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or(NoPairs)?;
            let name = name.trim();
            let value = decoded(value.trim()).ok_or(NoPairs)?;
            (!name.is_empty()).then(|| (name.to_string(), value)).ok_or(NoPairs)
        })
        .collect()
}

/// Percent-decoding; a `%` that begins no code stands for itself.
fn decoded(text: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_those_of_the_sdks() {
        let read = pairs("authorization=Basic%20dXNlcjpwYXNz==, x-tenant = a%2Cb ,share=100%,").unwrap();
        let expected = [("authorization", "Basic dXNlcjpwYXNz=="), ("share", "100%"), ("x-tenant", "a,b")];
        assert_eq!(read, expected.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
        assert_eq!(pairs(" ").unwrap(), BTreeMap::new());
        for wrong in ["Bearer abc", "=x", "a=b,c", "a=%ff"] {
            assert_eq!(pairs(wrong), Err(NoPairs), "{wrong}");
        }
    }
}
