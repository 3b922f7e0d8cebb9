//! A wall clock of a test's own, which jumps.

use std::path::PathBuf;
use std::process::Command;

use super::Scratch;

/// Where Debian's package `libfaketime` puts its library, below `/usr/lib` and the machine's triplet.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The wall clock of processes that are started with it. Their monotonic clock is the machine's.
pub struct Clock {
    directory: Scratch,
    preloaded: PathBuf,
}

impl Clock {
    /// A clock that shows the right time.
    ///
    /// # Panics
    /// If libfaketime is not installed; `scripts/setup test` installs it.
    pub fn new() -> Self {
        let libraries = std::fs::read_dir("/usr/lib").expect("/usr/lib is there");
        let library = libraries.filter_map(|entry| Some(entry.ok()?.path().join(LIBRARY))).find(|path| path.exists());
        let preloaded = library.expect("libfaketime is installed: scripts/setup test");
        let clock = Self { directory: Scratch::new("clock"), preloaded };
        clock.shows(0);
        clock
    }

    /// Has the clock be so many seconds ahead of the machine's, or behind it if that is negative.
    pub fn shows(&self, seconds: i64) {
        // A file that is read while it is written would show another time.
        let (new, file) = (self.directory.path().join("new"), self.file());
        std::fs::write(&new, format!("{seconds:+}")).expect("the directory can be written to");
        std::fs::rename(new, file).expect("the file can be replaced");
    }

    /// Has a process, and its children, read this clock.
    pub fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.preloaded).env("FAKETIME_TIMESTAMP_FILE", self.file());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_RESET", "1");
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("clock")
    }
}

#[test]
fn a_process_sees_the_clock_jump() {
    let clock = Clock::new();
    let seconds = || {
        let mut date = Command::new("date");
        clock.rule(date.arg("+%s"));
        let text = String::from_utf8(date.output().expect("date runs").stdout).expect("a number is text");
        text.trim().parse::<i64>().expect("date prints a number")
    };
    let before = seconds();
    clock.shows(2 * 86_400);
    assert!(seconds() >= before + 2 * 86_400);
    clock.shows(-3_600);
    assert!(seconds() < before);
}
