//! Log lines: what each of them bears.
//!
//! # Layout
//! - `bearing`: lines that tell their node and, in a handler, its message and trace.

mod bearing;

pub use self::bearing::Bearing;
