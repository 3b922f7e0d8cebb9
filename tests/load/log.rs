//! Log of the nodes in this process: warnings and errors, of all tests together.

use std::io::{self, Write};
use std::sync::Once;

use crate::support::eventually;
use essaim::lock::Mutex;

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to keep log lines; called before the node starts.
pub fn keep() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        subscriber.with_writer(|| Writer).init();
    });
}

/// Waits for a line that contains all of these words.
#[track_caller]
pub fn wait_for_line(words: &[&str]) -> String {
    eventually(&format!("a line with {words:?}"), || {
        let written = WRITTEN.lock();
        let text = String::from_utf8_lossy(&written);
        text.lines().find(|line| words.iter().all(|w| line.contains(w))).map(String::from)
    })
}
