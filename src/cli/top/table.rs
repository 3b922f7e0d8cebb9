//! The table of `essaim top`: its columns, the order of its rows, and all of it as text.

use std::cmp::Ordering;

use clap::ValueEnum;
use essaim::operators::{Row, Sample};
use essaim::trace::duration;

use super::super::print::columns;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// The capability's name
    Capability,
    /// The node's name
    Node,
    /// Instances that are up, of all
    Up,
    /// Messages in its mailboxes and handlers, of those that may be
    Busy,
    /// Messages a second
    Rate,
    /// Failed ones a second
    Errors,
    /// Half of the messages waited no longer for their handler
    Wait50,
    /// 99 of a hundred
    Wait99,
    /// Half of the handlers ran no longer
    Run50,
    /// 99 of a hundred
    Run99,
    /// Restarts of instances
    Restarts,
    /// Durable messages that wait in the log, in all nodes
    Waiting,
    /// Those parked in the database
    Parked,
    /// Dead letters
    Dead,
}

/// How many columns there are.
pub const COLUMNS: usize = 14;

impl Column {
    /// All of them, from left to right.
    pub const ALL: [Self; COLUMNS] = [
        Self::Capability,
        Self::Node,
        Self::Up,
        Self::Busy,
        Self::Rate,
        Self::Errors,
        Self::Wait50,
        Self::Wait99,
        Self::Run50,
        Self::Run99,
        Self::Restarts,
        Self::Waiting,
        Self::Parked,
        Self::Dead,
    ];

    pub fn heading(self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Node => "NODE",
            Self::Up => "UP",
            Self::Busy => "BUSY",
            Self::Rate => "MSG/S",
            Self::Errors => "ERR/S",
            Self::Wait50 => "WAIT P50",
            Self::Wait99 => "WAIT P99",
            Self::Run50 => "RUN P50",
            Self::Run99 => "RUN P99",
            Self::Restarts => "RESTARTS",
            Self::Waiting => "WAITING",
            Self::Parked => "PARKED",
            Self::Dead => "DEAD",
        }
    }

    pub fn cell(self, row: &Row) -> String {
        let rate = |rate: f64| format!("{rate:.1}");
        let time = |us: Option<u64>| us.map_or("-".into(), duration);
        let count = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
        match self {
            Self::Capability => row.capability.clone(),
            Self::Node => row.node.clone(),
            Self::Up => format!("{}/{}", row.up, row.instances),
            Self::Busy => format!("{}/{}", row.admitted, row.limit),
            Self::Rate => rate(row.rate),
            Self::Errors => rate(row.errors),
            Self::Wait50 => time(row.waited_p50),
            Self::Wait99 => time(row.waited_p99),
            Self::Run50 => time(row.ran_p50),
            Self::Run99 => time(row.ran_p99),
            Self::Restarts => row.restarts.to_string(),
            Self::Waiting => count(row.waiting),
            Self::Parked => count(row.parked),
            Self::Dead => count(row.dead),
        }
    }

    /// Names rise; of numbers the largest come first, but for instances that are up.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let number = |row: &Row| match self {
            Self::Capability | Self::Node => 0.0,
            Self::Up => row.instances as f64 - row.up as f64,
            Self::Busy => row.admitted as f64,
            Self::Rate => row.rate,
            Self::Errors => row.errors,
            Self::Wait50 => row.waited_p50.unwrap_or(0) as f64,
            Self::Wait99 => row.waited_p99.unwrap_or(0) as f64,
            Self::Run50 => row.ran_p50.unwrap_or(0) as f64,
            Self::Run99 => row.ran_p99.unwrap_or(0) as f64,
            Self::Restarts => row.restarts as f64,
            Self::Waiting => row.waiting.unwrap_or(0) as f64,
            Self::Parked => row.parked.unwrap_or(0) as f64,
            Self::Dead => row.dead.unwrap_or(0) as f64,
        };
        match self {
            Self::Node => a.node.cmp(&b.node),
            _ => number(b).total_cmp(&number(a)),
        }
    }
}

/// Which rows are shown, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub sort: Column,
    pub is_reversed: bool,
    pub filter: String,
}

impl View {
    pub fn by(sort: Column, filter: &str) -> Self {
        Self { sort, is_reversed: false, filter: filter.into() }
    }

    /// Sorts by a column so many places to the right, or to the left.
    pub fn move_by(&mut self, columns: isize) {
        let at = Column::ALL.iter().position(|column| *column == self.sort).unwrap_or(0) as isize;
        self.sort = Column::ALL[(at + columns).rem_euclid(COLUMNS as isize) as usize];
    }

    /// The rows, by capability and node where the column does not tell them apart.
    pub fn rows<'a>(&self, sample: &'a Sample) -> Vec<&'a Row> {
        let wanted = self.filter.to_lowercase();
        let is_shown =
            |row: &&Row| row.capability.to_lowercase().contains(&wanted) || row.node.to_lowercase().contains(&wanted);
        let mut rows: Vec<_> = sample.rows.iter().filter(is_shown).collect();
        rows.sort_by(|a, b| {
            let by_column =
                self.sort.compare(a, b).then_with(|| (&a.capability, &a.node).cmp(&(&b.capability, &b.node)));
            if self.is_reversed { by_column.reverse() } else { by_column }
        });
        rows
    }
}

/// The table as text, after what is wrong.
pub fn text(sample: &Sample, view: &View) -> String {
    let mut text: String = sample.troubles.iter().map(|trouble| format!("! {trouble}\n")).collect();
    let cells = |row: &&Row| Column::ALL.map(|column| column.cell(row));
    let heading = std::iter::once(Column::ALL.map(|column| column.heading().to_string()));
    let rows: Vec<_> = heading.chain(view.rows(sample).iter().map(cells)).collect();
    text += &columns(&rows);
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::report;
    use super::*;

    #[test]
    fn the_table_shows_each_capability_of_each_node_after_what_is_wrong() {
        let expected = "\
! front: the log does not work for 12 s: refused
! shop: no report: it is not heard
CAPABILITY  NODE   UP   BUSY    MSG/S  ERR/S  WAIT P50  WAIT P99  RUN P50  RUN P99  RESTARTS  WAITING  PARKED  DEAD
orders      front  3/4  7/1024  10.0   1.0    -         -         17 µs    24 µs    2         5        1       9
";
        assert_eq!(text(&Sample::of(report(10, 90, 10), None), &View::by(Column::Capability, "")), expected);
    }

    #[test]
    fn rows_are_filtered_and_sorted_by_any_column() {
        let row = |capability: &str, node: &str, rate| Row {
            capability: capability.into(),
            node: node.into(),
            rate,
            ..Row::default()
        };
        let rows = vec![row("users", "a", 1.0), row("orders", "b", 9.0), row("orders", "a", 3.0)];
        let sample = Sample { rows, ..Sample::default() };
        let shown = |view: &View| view.rows(&sample).iter().map(|row| row.rate).collect::<Vec<_>>();
        let mut view = View::by(Column::Capability, "");
        assert_eq!(shown(&view), [3.0, 9.0, 1.0]);
        view.sort = Column::Rate;
        assert_eq!(shown(&view), [9.0, 3.0, 1.0]);
        view.is_reversed = true;
        assert_eq!(shown(&view), [1.0, 3.0, 9.0]);
        view.filter = "ORD".into();
        assert_eq!(shown(&view), [3.0, 9.0]);
        view.filter = "nothing".into();
        assert_eq!(shown(&view), [0.0; 0]);
        for column in Column::ALL {
            assert_eq!(View::by(column, "").rows(&sample).len(), 3, "{column:?}");
        }
    }

    #[test]
    fn the_column_moves_around() {
        let mut view = View::by(Column::Capability, "");
        view.move_by(-1);
        assert_eq!(view.sort, Column::Dead);
        view.move_by(2);
        assert_eq!(view.sort, Column::Node);
    }
}
