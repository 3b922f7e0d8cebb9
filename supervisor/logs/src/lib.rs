//! Log lines: what each of them bears, and the last ones of a process, in memory, for operators.
//!
//! # Layout
//! - `bearing`: lines that tell their node and, in a handler, its message and trace.
//! - `line`: a line as operators read it; `ring`: the memory that keeps them; `layer`: what writes into it.

mod bearing;
mod layer;
mod line;
mod ring;

pub use self::bearing::Bearing;
pub use self::layer::LogLayer;
pub use self::line::{LogLevel, LogLine};
pub use self::ring::{LogPage, LogRing, Take};
