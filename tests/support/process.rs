//! A child process: its output, the signals it is sent, and its end.

use std::process::{Child, Command, ExitStatus, Stdio};

use super::output::Output;
use super::{eventually, keeper};

/// The signals that tests send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End at once (kill -9).
    Kill,
    /// End in order.
    Term,
    /// What Ctrl-C sends.
    Int,
    /// Pause: the process keeps its sockets and answers nothing.
    Stop,
    /// Go on after a pause.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// Sends a signal to any process; whether there was one.
pub fn send(pid: u32, signal: Signal) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "kill -s \"$0\" \"$1\"", signal.name(), &pid.to_string()]);
    command.stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// The processes that this process started and that have not ended.
pub fn children_of(pid: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted");
    let pids = processes.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| parent_of(*child) == Some(pid)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; what follows its last parenthesis is state and parent.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}

/// How many lines of a process are shown when its test fails.
const LINES_SHOWN: usize = 60;

/// A process that ends with the value. Its output is shown when its test fails.
pub struct Process {
    name: String,
    child: Child,
    output: Output,
    ended: Option<ExitStatus>,
    last_signal: Signal,
}

impl Process {
    /// Starts a process.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self::start_ended_by(name, command, Signal::Kill)
    }

    /// As [`Process::start`]; `last_signal` is what ends it with the value, or with the test binary.
    pub fn start_ended_by(name: &str, command: &mut Command, last_signal: Signal) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_owned();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name}: {program:?} cannot be started: {e}"));
        keeper::watch(child.id(), last_signal.name());
        let output = Output::default();
        output.read(child.stdout.take().expect("it was piped"));
        output.read(child.stderr.take().expect("it was piped"));
        Self { name: name.to_string(), child, output, ended: None, last_signal }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, on both its outputs.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines()
    }

    /// Whether it has written a line that contains `text`.
    pub fn has_line(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    /// Waits until it writes a line that contains `text`.
    ///
    /// # Panics
    /// If it ends, or patience does, without that line.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_line_after(0, text).1
    }

    /// As [`Process::wait_for_line`], from line number `from`; the line's number and itself.
    #[track_caller]
    pub fn wait_for_line_after(&self, from: usize, text: &str) -> (usize, String) {
        let found = self.output.wait_for(text, from);
        found.unwrap_or_else(|| panic!("{} never wrote `{text}`:\n{}", self.name, self.lines().join("\n")))
    }

    /// Whether it is running.
    pub fn is_running(&mut self) -> bool {
        self.look().is_none()
    }

    /// Sends a signal, if the process is running.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            send(self.pid(), signal);
        }
    }

    /// Waits until it has ended and its output has been read.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let status = eventually(&format!("the end of {name}"), || self.look());
        self.output.wait_for_end();
        status
    }

    /// Waits until it has ended; its exit code, or `None` if a signal ended it.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        self.wait().code()
    }

    /// As [`Process::exit_code`], of a process that has much to do: patience lasts that many times as long.
    #[track_caller]
    pub fn exit_code_after(&mut self, patiences: u32) -> Option<i32> {
        let _ = (0..patiences).find(|_| self.output.wait_for_end());
        self.exit_code()
    }

    /// Ends it at once and waits until it has ended.
    pub fn kill(&mut self) {
        self.signal(Signal::Kill);
        self.wait();
    }

    fn look(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
            if self.ended.is_some() {
                keeper::forget(self.child.id(), self.last_signal.name());
            }
        }
        self.ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.look().is_none() {
            // The signal may find the process stopped; only KILL works then, and going on harms none of the others.
            send(self.pid(), self.last_signal);
            send(self.pid(), Signal::Continue);
            let _ = self.child.wait();
            keeper::forget(self.child.id(), self.last_signal.name());
        }
        if std::thread::panicking() {
            self.output.wait_for_end();
            let (name, pid, lines) = (&self.name, self.pid(), self.lines());
            let last = lines.len().saturating_sub(LINES_SHOWN);
            eprintln!(
                "--- {name} (process {pid}) wrote {} lines, in the end:\n{}\n---",
                lines.len(),
                lines[last..].join("\n")
            );
        }
    }
}

#[test]
fn a_process_tells_its_lines_and_its_exit_code() {
    let mut process = Process::start("sh", Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
    assert_eq!(process.exit_code(), Some(3));
    let mut lines = process.lines();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
}

#[test]
fn a_process_ends_with_its_value_even_when_it_is_stopped() {
    let mut process = Process::start("sleep", Command::new("sleep").arg("1000"));
    let pid = process.pid();
    assert!(children_of(std::process::id()).contains(&pid));
    process.signal(Signal::Stop);
    drop(process);
    assert!(!children_of(std::process::id()).contains(&pid));
}
