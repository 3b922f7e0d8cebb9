//! Output of a process so far, line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::Instant;

use super::PATIENCE;
use essaim::lock::{Condvar, Mutex, MutexGuard};

/// The lines of a process. Clones see the same lines.
#[derive(Clone, Default)]
pub struct Output(Arc<Inner>);

#[derive(Default)]
struct Inner {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    /// Streams that are still read.
    open: usize,
}

impl Output {
    /// Reads a stream to its end, on a thread of its own.
    pub fn read(&self, stream: impl Read + Send + 'static) {
        self.written().open += 1;
        let output = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                output.written().lines.push(without_colours(&String::from_utf8_lossy(&line)));
                output.0.changed.notify_all();
            }
            output.written().open -= 1;
            output.0.changed.notify_all();
        });
    }

    pub fn lines(&self) -> Vec<String> {
        self.written().lines.clone()
    }

    /// Waits for a line that contains `text`, at or after line number `from`; its number and itself. `None` when
    /// every stream has ended, or [`PATIENCE`] has, without it.
    pub fn wait_for(&self, text: &str, from: usize) -> Option<(usize, String)> {
        let started = Instant::now();
        let mut next = from;
        let mut written = self.written();
        loop {
            while next < written.lines.len() {
                if written.lines[next].contains(text) {
                    return Some((next, written.lines[next].clone()));
                }
                next += 1;
            }
            let left = PATIENCE.checked_sub(started.elapsed())?;
            if written.open == 0 {
                return None;
            }
            self.0.changed.wait_for(&mut written, left);
        }
    }

    /// Waits until every stream has ended: nothing that holds the process's output is alive any more.
    pub fn wait_for_end(&self) -> bool {
        let mut written = self.written();
        self.0.changed.wait_while_for(&mut written, |w| w.open > 0, PATIENCE);
        written.open == 0
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.written.lock()
    }
}

/// The text without the terminal's colour codes.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.trim_end_matches('\r').chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // A code ends with its first letter.
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[test]
fn lines_are_found_once_they_are_there_and_streams_end() {
    let output = Output::default();
    output.read(&b"one\n\x1b[32mtwo\x1b[0m words\r\n"[..]);
    assert_eq!(output.wait_for("two", 0), Some((1, "two words".to_string())));
    assert_eq!(output.wait_for("one", 1), None, "it is before the line to begin with");
    assert!(output.wait_for_end());
}
