//! Panics that were caught: their text, and the destruction of what they left behind.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops the rest of a future that has panicked or is given up; a panic in its destructors ends here too.
pub fn dismantle(drop_it: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(drop_it)) {
        tracing::error!(panic = panic_text(&*panic), "a destructor panicked while a handler was dropped");
    }
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}
