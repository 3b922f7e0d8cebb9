//! A value with the time until which it counts: eight bytes, big endian, milliseconds since 1970; then the value.

use bytes::{BufMut, Bytes, BytesMut};
use essaim_cache_contract::Blob;

pub(crate) fn until(until_ms: u64, value: &[u8]) -> Bytes {
    let mut stored = BytesMut::with_capacity(8 + value.len());
    stored.put_u64(until_ms);
    stored.put_slice(value);
    stored.freeze()
}

/// The value, unless its time is over.
pub(crate) fn value_at(stored: &[u8], now_ms: u64) -> Option<Blob> {
    let (until_ms, value) = stored.split_first_chunk()?;
    (now_ms < u64::from_be_bytes(*until_ms)).then(|| Blob(value.to_vec()))
}
