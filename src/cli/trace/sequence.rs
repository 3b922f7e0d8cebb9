//! A trace as a sequence diagram for a terminal.

use essaim::trace::{Step, Steps, TraceTree};

/// Room between two lifelines, at least.
const GAP: usize = 26;
/// The longest text over an arrow.
const LONGEST: usize = 60;

pub fn text(tree: &TraceTree) -> String {
    let Steps { participants, steps } = Steps::of(tree);
    let columns: Vec<usize> = participants
        .iter()
        .scan(0, |left, name| {
            let column = *left + name.chars().count() / 2;
            *left += name.chars().count().max(GAP) + 2;
            Some(column)
        })
        .collect();
    let mut head = Line::default();
    for (name, column) in participants.iter().zip(&columns) {
        head.write(column - name.chars().count() / 2, name);
    }
    let mut text = head.finished();
    for step in &steps {
        text += &label(step, &columns);
        text += &arrow(step, &columns);
    }
    text
}

/// The text over an arrow, from its left end on.
fn label(step: &Step, columns: &[usize]) -> String {
    let mut line = Line::of(columns);
    let mut text: String = step.text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if step.text.chars().count() > LONGEST {
        text.push('…');
    }
    line.write(columns[step.from].min(columns[step.to]) + 2, &text);
    line.finished()
}

fn arrow(step: &Step, columns: &[usize]) -> String {
    let (from, to) = (columns[step.from], columns[step.to]);
    let mut line = Line::of(columns);
    let shaft = if step.is_answer || !step.is_asked { "╌" } else { "─" };
    if from == to {
        line.write(from, if step.is_answer { "◀╌┘" } else { "├─┐" });
        return line.finished();
    }
    let (left, right) = (from.min(to), from.max(to));
    line.write(left + 1, &shaft.repeat(right - left - 1));
    let head = match (step.is_well, to > from) {
        (false, _) => "✗",
        (true, true) => "▶",
        (true, false) => "◀",
    };
    line.write(if to > from { right - 1 } else { left + 1 }, head);
    line.finished()
}

/// A line of characters at columns.
#[derive(Default)]
struct Line(Vec<char>);

impl Line {
    /// A line with all lifelines.
    fn of(columns: &[usize]) -> Self {
        let mut line = Self::default();
        columns.iter().for_each(|column| line.write(*column, "│"));
        line
    }

    fn write(&mut self, column: usize, text: &str) {
        let end = column + text.chars().count();
        if self.0.len() < end {
            self.0.resize(end, ' ');
        }
        self.0.splice(column..end, text.chars());
    }

    fn finished(&self) -> String {
        let text: String = self.0.iter().collect();
        format!("{}\n", text.trim_end())
    }
}
