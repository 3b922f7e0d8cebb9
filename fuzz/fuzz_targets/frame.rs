//! Any bytes as a frame: nothing panics, and what can be read survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    essaim_protocol::fuzz::frame(bytes);
});
