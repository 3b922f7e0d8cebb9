//! Panics: the log line of each, their text and place, and the destruction of what they left behind.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// The target of the lines that panics write.
pub const TARGET: &str = "essaim::panic";

thread_local! {
    /// Text and place of this thread's last panic.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Has every panic of this process log a line with its text and its place in the source, in the place of the lines that Rust
/// writes to stderr. Where nothing logs at the level `error`, Rust's lines stay.
pub fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        log(info);
        if !tracing::enabled!(target: TARGET, tracing::Level::ERROR) {
            before(info);
        }
    }));
}

fn log(info: &PanicHookInfo<'_>) {
    let panic = panic_text(info.payload());
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let captured = Backtrace::capture();
    let backtrace = (captured.status() == BacktraceStatus::Captured).then(|| captured.to_string());
    tracing::error!(target: TARGET, panic, location, thread, backtrace, "a panic");
    // A thread that ends has no place for it any more.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = Some((panic, location))));
}

/// Where in the source this thread's last panic was, if that had this text and [`log_panics`] was called.
pub fn panic_location(text: &str) -> Option<String> {
    LAST.with(|last| last.take()).filter(|(panic, _)| panic == text).map(|(_, location)| location)
}

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
