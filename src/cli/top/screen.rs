//! The live table: a full screen that is drawn anew at each look and each key.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use essaim::NodeStatus;
use essaim::exit::{self, Fatal};
use essaim::operators::{Row, Sample};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row as TableRow, Table};

use super::table::{Column, View};

/// Most troubles that are shown above the table.
const MOST_TROUBLES: usize = 5;

/// A key is awaited this long before the screen is drawn anew with what was found meanwhile.
const TICK: Duration = Duration::from_millis(100);

const HELP: &str = "q quits   ← → sort by column   r reverses   / filters";

/// What is on the screen.
struct Screen {
    view: View,
    sample: Sample,
    /// Why the last look failed.
    problem: Option<String>,
    /// Whether keys are typed into the filter.
    is_typing: bool,
}

/// Shows the table, and looks again and again, until it is left.
pub fn show(
    look: impl Fn() -> Result<NodeStatus, Fatal> + Send + 'static,
    view: View,
    every: Duration,
) -> Result<(), Fatal> {
    let sample = Sample::of(look()?, None);
    let mut screen = Screen { view, sample, problem: None, is_typing: false };
    let unusable =
        |error: std::io::Error| Fatal::new(exit::UNAVAILABLE, format!("the terminal cannot be used: {error}"));
    let looks = Looks::begin(look, every).map_err(unusable)?;
    let mut terminal = ratatui::try_init().map_err(unusable)?;
    let ended = loop {
        if let Err(error) = terminal.draw(|frame| screen.draw(frame)) {
            break Err(unusable(error));
        }
        match event::poll(TICK).and_then(|is_there| is_there.then(event::read).transpose()) {
            Err(error) => break Err(unusable(error)),
            Ok(Some(Event::Key(key))) if key.kind == KeyEventKind::Press && screen.press(key) => break Ok(()),
            Ok(_) => looks.found.try_iter().for_each(|looked| screen.take(looked)),
        }
    };
    ratatui::restore();
    ended
}

/// Looks at all nodes on a thread of its own: keys are taken although a node is awaited that does not answer.
struct Looks {
    found: mpsc::Receiver<Result<NodeStatus, Fatal>>,
    /// Ends the thread when it is dropped.
    _left: mpsc::SyncSender<()>,
}

impl Looks {
    fn begin(look: impl Fn() -> Result<NodeStatus, Fatal> + Send + 'static, every: Duration) -> std::io::Result<Self> {
        // Bounded by one: the next look waits until the one before is taken.
        let (finding, found) = mpsc::sync_channel(1);
        let (_left, left) = mpsc::sync_channel(0);
        let look_again = move || {
            while let Err(RecvTimeoutError::Timeout) = left.recv_timeout(every) {
                if finding.send(look()).is_err() {
                    return;
                }
            }
        };
        #[allow(clippy::disallowed_methods)] // A command, not a node: a panic ends up on the terminal.
        std::thread::Builder::new().name("look".into()).spawn(look_again)?;
        Ok(Self { found, _left })
    }
}

impl Screen {
    fn take(&mut self, looked: Result<NodeStatus, Fatal>) {
        match looked {
            Ok(report) => {
                self.sample = Sample::of(report, Some(&self.sample));
                self.problem = None;
            }
            Err(fatal) => self.problem = Some(fatal.to_string()),
        }
    }

    /// Takes a key; whether the table is left.
    fn press(&mut self, key: KeyEvent) -> bool {
        let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            _ if is_interrupt => return true,
            KeyCode::Enter | KeyCode::Esc if self.is_typing => self.is_typing = false,
            KeyCode::Backspace if self.is_typing => drop(self.view.filter.pop()),
            KeyCode::Char(c) if self.is_typing => self.view.filter.push(c),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('/') => {
                self.is_typing = true;
                self.view.filter.clear();
            }
            KeyCode::Char('r') => self.view.is_reversed = !self.view.is_reversed,
            KeyCode::Left => self.view.move_by(-1),
            KeyCode::Right => self.view.move_by(1),
            _ => {}
        }
        false
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let troubles: Vec<_> = self.problem.iter().chain(&self.sample.troubles).take(MOST_TROUBLES).collect();
        let parts = [Constraint::Length(troubles.len() as u16), Constraint::Min(0), Constraint::Length(1)];
        let [above, middle, below] = Layout::vertical(parts).areas(frame.area());
        let troubles: Vec<_> = troubles.into_iter().map(|trouble| Line::from(format!("! {trouble}")).red()).collect();
        frame.render_widget(Text::from(troubles), above);
        frame.render_widget(self.table(), middle);
        let filter = &self.view.filter;
        let help = match (self.is_typing, filter.is_empty()) {
            (true, _) => format!("filter: {filter}█"),
            (false, true) => HELP.to_string(),
            (false, false) => format!("{HELP}   filter: {filter}"),
        };
        frame.render_widget(Line::from(help).dim(), below);
    }

    fn table(&self) -> Table<'static> {
        let rows = self.view.rows(&self.sample);
        let cells: Vec<_> = rows.iter().map(|row| Column::ALL.map(|column| column.cell(row))).collect();
        let width = |index: usize, column: Column| {
            let widest = cells.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
            Constraint::Length(widest.max(column.heading().chars().count() + 1) as u16)
        };
        let widths: Vec<_> = Column::ALL.into_iter().enumerate().map(|(index, column)| width(index, column)).collect();
        let heading = Column::ALL.map(|column| {
            let arrow = if self.view.is_reversed { "▴" } else { "▾" };
            if column == self.view.sort { format!("{}{arrow}", column.heading()) } else { column.heading().into() }
        });
        let style = |row: &&Row| match () {
            () if row.up < row.instances || row.errors > 0.0 => Style::new().yellow(),
            () => Style::new(),
        };
        let rows = cells.iter().zip(&rows).map(|(cells, row)| TableRow::new(cells.clone()).style(style(row)));
        Table::new(rows.collect::<Vec<_>>(), widths).header(TableRow::new(heading).bold()).column_spacing(2)
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::report::report;
    use super::*;

    fn screen() -> Screen {
        let sample = Sample::of(report(10, 90, 10), None);
        Screen { view: View::by(Column::Capability, ""), sample, problem: None, is_typing: false }
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal of a test");
        terminal.draw(|frame| screen.draw(frame)).expect("it is drawn");
        // The backend of tests cannot print a terminal without columns.
        if width == 0 { String::new() } else { terminal.backend().to_string() }
    }

    #[test]
    fn a_look_that_is_not_answered_is_not_waited_for() {
        let (answer, answered) = mpsc::sync_channel(1);
        let look = move || {
            // A test that has to wait for it fails, instead of waiting for ever.
            let _ = answered.recv_timeout(Duration::from_secs(60));
            Ok(report(12, 100, 10))
        };
        let looks = Looks::begin(look, Duration::from_millis(1)).expect("there can be a thread");
        assert!(looks.found.try_recv().is_err());
        answer.send(()).expect("the thread is there");
        assert!(looks.found.recv().expect("the thread is there").is_ok());
    }

    #[test]
    fn no_size_of_a_terminal_is_wrong() {
        for (width, height) in [(0, 0), (1, 1), (3, 2), (500, 1), (1, 200), (160, 20)] {
            drawn(&screen(), width, height);
        }
        let shown = drawn(&screen(), 160, 9);
        for part in ["! front: the log", "CAPABILITY▾", "orders", "10.0", "q quits"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn keys_sort_filter_and_leave() {
        let mut screen = screen();
        let mut press = |code: KeyCode| screen.press(KeyEvent::from(code));
        assert!(!press(KeyCode::Left) && !press(KeyCode::Char('r')) && !press(KeyCode::Char('/')));
        "quux".chars().for_each(|c| assert!(!press(KeyCode::Char(c)), "it is typed"));
        assert!(!press(KeyCode::Backspace) && !press(KeyCode::Enter));
        assert!(press(KeyCode::Char('q')));
        assert_eq!(screen.view, View { sort: Column::Dead, is_reversed: true, filter: "quu".into() });
        assert!(!drawn(&screen, 160, 9).contains("orders"));
        assert!(screen.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn a_look_that_fails_is_told_above_the_last_figures() {
        let mut screen = screen();
        screen.take(Err(Fatal::new(exit::UNAVAILABLE, "it is gone")));
        let shown = drawn(&screen, 160, 9);
        assert!(shown.contains("! it is gone") && shown.contains("orders"), "{shown}");
        screen.take(Ok(report(12, 100, 10)));
        assert!(!drawn(&screen, 160, 9).contains("it is gone"));
    }
}
