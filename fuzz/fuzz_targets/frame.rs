//! Any bytes as a frame: nothing panics, and what can be read survives being written and read again.
//!
//! The decoder's files are taken as they are, without the runtime around them: so this builds in a minute.
#![no_main]
#![allow(dead_code, unused_imports)]

use libfuzzer_sys::fuzz_target;

#[path = "../../supervisor/base/src/codec.rs"]
mod codec;
#[path = "../../supervisor/src/remote/frame.rs"]
mod frame;
#[path = "../../supervisor/src/fuzz.rs"]
mod fuzz;
mod remote {
    pub(crate) use crate::frame;
}

fuzz_target!(|bytes: &[u8]| {
    fuzz::frame(bytes);
});
