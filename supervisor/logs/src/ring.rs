//! The last log lines of a process, in memory, for operators.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use essaim_base::Env;
use essaim_base::lock::Mutex;
use essaim_trace::{Conditions, Cursor, Footprint, Ring};
use serde::{Deserialize, Serialize};

use crate::line::LogLine;

/// The lines of this process: its subscriber is one for all nodes that run in it, so this is too.
static INSTALLED: OnceLock<Arc<LogRing>> = OnceLock::new();

/// The last log lines, within so many bytes.
pub struct LogRing {
    env: Env,
    /// Bounded by its bytes (`log.ring_bytes`): the oldest lines go first.
    lines: Mutex<Ring<SharedLine>>,
    /// Tells this life of the process from its others.
    life: String,
}

/// A line that is read without a lock.
struct SharedLine(Arc<LogLine>);

impl Footprint for SharedLine {
    fn footprint(&self) -> usize {
        self.0.footprint()
    }
}

/// Some lines of a node, and where the next ones begin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where the next ones begin.
    pub next: Cursor,
    /// Lines that were gone before they were read.
    pub missed: u64,
    /// Whether there are more already.
    pub more: bool,
}

/// Which lines a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The first ones behind the cursor.
    First(u32),
    /// The last ones of all.
    Last(u32),
}

impl LogRing {
    /// A ring of so many bytes.
    pub fn of(env: &Env, bytes: usize) -> Arc<Self> {
        Arc::new(Self { env: env.clone(), lines: Mutex::new(Ring::of(bytes)), life: env.id().to_string() })
    }

    /// Makes this the ring that the nodes of this process read. The first one stays.
    pub fn install(self: Arc<Self>) {
        let _ = INSTALLED.set(self);
    }

    /// The ring of this process; none where no lines are kept.
    pub fn installed() -> Option<&'static Arc<Self>> {
        INSTALLED.get()
    }

    /// Keeps a line.
    pub(crate) fn push(&self, line: LogLine) {
        let line = LogLine { at_us: self.env.wall_ms() * 1_000, ..line };
        self.lines.lock().push(SharedLine(Arc::new(line)));
    }

    /// The lines behind a cursor that fulfil the conditions. Writers wait for no more than the copying of pointers.
    pub fn page(&self, after: &Cursor, conditions: &Conditions<LogLine>, take: Take) -> LogPage {
        let known = after.positions_of(&self.life).first().copied();
        let (lines, begin, missed) = {
            let ring = self.lines.lock();
            let from = known.unwrap_or(0);
            let lines: Vec<_> = ring.since(from).map(|line| line.0.clone()).collect();
            (lines, from.max(ring.first()).min(ring.end()), known.map_or(0, |from| ring.gone_since(from)))
        };
        let end = begin + lines.len() as u64;
        let now_us = self.env.wall_ms() * 1_000;
        let mut taken = (0..).zip(lines).filter(|(_, line)| conditions.takes_at(line, now_us));
        let page = |lines: Vec<LogLine>, position: u64| LogPage {
            lines,
            next: Cursor::at(&self.life, vec![position]),
            missed,
            more: position < end,
        };
        match take {
            Take::First(most) => {
                let (mut lines, mut position) = (Vec::new(), end);
                for (offset, line) in &mut taken {
                    if lines.len() as u64 == u64::from(most) {
                        position = begin + offset;
                        break;
                    }
                    lines.push(LogLine::clone(&line));
                }
                page(lines, position)
            }
            Take::Last(most) => {
                // Bounded by `most`.
                let mut last = VecDeque::new();
                for (_, line) in taken {
                    last.push_back(line);
                    if last.len() as u64 > u64::from(most) {
                        last.pop_front();
                    }
                }
                page(last.iter().map(|line| LogLine::clone(line)).collect(), end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::line::LogLevel;

    fn line(number: u32) -> LogLine {
        let level = if number.is_multiple_of(2) { LogLevel::Info } else { LogLevel::Warn };
        LogLine { level, text: format!("line {number}"), ..LogLine::default() }
    }

    fn ring(lines: usize) -> Arc<LogRing> {
        LogRing::of(&Env::simulated(1, Duration::from_secs(9)), lines * line(1).footprint() + 99)
    }

    fn texts(page: &LogPage) -> Vec<&str> {
        page.lines.iter().map(|line| line.text.trim_start_matches("line ")).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_learns_what_it_missed() {
        let (ring, all) = (ring(4), Conditions::default());
        (1..=3).for_each(|number| ring.push(line(number)));
        let first = ring.page(&Cursor::default(), &all, Take::First(2));
        assert_eq!((texts(&first), first.more), (vec!["1", "2"], true));
        let second = ring.page(&first.next, &all, Take::First(2));
        assert_eq!((texts(&second), second.more, second.missed), (vec!["3"], false, 0));
        (4..=9).for_each(|number| ring.push(line(number)));
        let third = ring.page(&second.next, &all, Take::First(9));
        assert_eq!((texts(&third), third.missed), (vec!["6", "7", "8", "9"], 2));
        let last = ring.page(&Cursor::default(), &all, Take::Last(1));
        assert_eq!((texts(&last), &last.next, last.more, last.missed), (vec!["9"], &third.next, false, 0));
    }

    #[test]
    fn levels_are_compared_by_how_grave_they_are() {
        let ring = ring(9);
        (1..=4).for_each(|number| ring.push(line(number)));
        for (condition, expected) in [
            ("level>=warn", vec!["1", "3"]),
            ("level<WARN", vec!["2", "4"]),
            ("level~arn", vec!["1", "3"]),
            ("text~LINE 2", vec!["2"]),
            ("trace=", vec!["1", "2", "3", "4"]),
        ] {
            let conditions = Conditions::of([condition]).unwrap();
            assert_eq!(texts(&ring.page(&Cursor::default(), &conditions, Take::Last(9))), expected, "{condition}");
        }
        let error = |text: &str| Conditions::<LogLine>::of([text]).unwrap_err().to_string();
        assert!(error("level>=loud").contains("trace, debug, info"));
        assert!(error("colour=red").contains("log lines have no field `colour`"));
    }
}
